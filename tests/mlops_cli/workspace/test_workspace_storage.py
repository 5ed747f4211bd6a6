"""Storage against the Files and DBFS APIs: through the real SDK, on a double that pages, throttles and fails."""

from __future__ import annotations

import json
import logging
import time
from pathlib import Path

import pytest
from double import TOKEN, Double, Refused, away, busy, denied
from storedfiles import read_file, write_file

from mlops.contract import ConfigError, MlopsError
from mlops.platform.storage import resolve_local_path
from mlops_cli import storage

VOLUME = "/Volumes/prod/flights/landing"
BIG = bytes(range(256)) * 10_000  # 2.4 MiB: three DBFS blocks


def test_a_volume_is_written_and_read_through_the_files_api(double: Double) -> None:
    write_file(f"{VOLUME}/schedule/2013-01-01.csv", "a,b\n1,2\n")
    assert double.files == {f"{VOLUME}/schedule/2013-01-01.csv": b"a,b\n1,2\n"}
    assert read_file(f"{VOLUME}/schedule/2013-01-01.csv") == b"a,b\n1,2\n"


def test_both_spellings_of_a_volume_are_one_place(double: Double) -> None:
    write_file(f"dbfs:{VOLUME}/a.csv", "x")
    assert read_file(f"{VOLUME}/a.csv") == read_file(f"/dbfs{VOLUME}/a.csv") == b"x"
    assert not double.dbfs


def test_a_folder_is_listed_across_pages_and_depths(double: Double) -> None:
    double.files = {f"{VOLUME}/{name}": b"x" * i for i, name in enumerate(("a", "b", "c", "d/e", "d/f/g", "h"))}
    assert storage.list_tree(VOLUME) == (("a", 0), ("b", 1), ("c", 2), ("d/e", 3), ("d/f/g", 4), ("h", 5))
    assert double.count("GET", "/fs/directories/") > 3
    assert storage.list_tree(f"{VOLUME}/nowhere") == ()


def test_dbfs_root_works_and_says_what_replaces_it(double: Double, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        write_file("dbfs:/mnt/old.bin", BIG)
    assert double.dbfs == {"/mnt/old.bin": BIG}
    assert read_file("/dbfs/mnt/old.bin") == BIG
    assert storage.list_tree("dbfs:/mnt") == (("old.bin", len(BIG)),)
    assert "DBFS root, which is deprecated" in caplog.text
    assert "mlops copy-dbfs SRC DST" in caplog.text


def test_a_file_of_dbfs_is_replaced_whole(double: Double) -> None:
    double.dbfs["/a"] = b"old"
    write_file("dbfs:/a", b"new one")
    assert double.dbfs == {"/a": b"new one"}


def test_an_upload_to_dbfs_that_breaks_off_leaves_the_old_file(double: Double) -> None:
    double.dbfs["/a"] = b"old"
    double.fail("POST", "/dbfs/add-block", denied("MODIFY"))
    with pytest.raises(MlopsError, match=r"writing dbfs:/a: User does not have MODIFY.*you lack the right"):
        write_file("dbfs:/a", b"new one")
    assert double.dbfs["/a"] == b"old"


def test_throttling_is_waited_out_as_long_as_the_platform_says(double: Double) -> None:
    double.files[f"{VOLUME}/a"] = b"x"
    double.fail("GET", "/fs/directories/", busy(1), away(0))
    start = time.monotonic()
    assert storage.list_tree(VOLUME) == (("a", 1),)
    assert time.monotonic() - start >= 1
    assert double.count("GET", "/fs/directories/") == 3


@pytest.mark.parametrize(
    ("refusal", "said"),
    [
        (denied("READ VOLUME on Volume 'prod.flights.landing'"), "you lack the right"),
        (Refused(409, "RESOURCE_CONFLICT", "being changed"), "somebody else is changing it"),
        (Refused(401, "UNAUTHENTICATED", "no credential"), "log in again: databricks auth login"),
        (Refused(500, "INTERNAL_ERROR", "oops"), "the platform failed"),
    ],
)
def test_a_refusal_is_told_with_its_place_and_cure(double: Double, refusal: Refused, said: str) -> None:
    double.refuse("GET", "/fs/directories/", refusal)
    with pytest.raises(MlopsError, match=f"listing {VOLUME}.*{said}"):
        storage.list_tree(VOLUME)


def test_a_missing_file_is_told(double: Double) -> None:
    with pytest.raises(MlopsError, match=rf"reading {VOLUME}/no.csv.*it is not there, or you may not see it"):
        read_file(f"{VOLUME}/no.csv")


def test_no_secret_reaches_an_error(double: Double) -> None:
    double.refuse("GET", "/fs/directories/", denied(f"rights; request had Authorization: Bearer {TOKEN}"))
    with pytest.raises(MlopsError) as failure:
        storage.list_tree(VOLUME)
    assert TOKEN not in str(failure.value)
    assert "[redacted]" in str(failure.value)


@pytest.mark.parametrize(
    "path",
    [
        "relative/file", "/data/../etc/x", "/Volumes/a/b/c/../../x",
        "/Volumes/prod/../secret", "/Volumes/prod/flights", "/Volumes/pr od/flights/landing/x",
        "/Volumes/prod/fli;ghts/landing", f"/Volumes/{'a' * 256}/b/c", f"/Volumes/a/b/c/{'é' * 128}", "/a\nb", "",
    ],
)  # fmt: skip
def test_a_path_that_unity_catalog_would_refuse_is_refused_everywhere(
    path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAPTOP_HOME", str(tmp_path))
    with pytest.raises(ConfigError, match=r"path .*"):
        write_file(path, "x")
    assert not list(tmp_path.iterdir())


def test_on_a_laptop_volumes_and_dbfs_are_folders_of_the_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAPTOP_HOME", str(tmp_path))
    write_file(f"dbfs:{VOLUME}/a.csv", "x")
    write_file("dbfs:/mnt/b.csv", "y")
    assert (tmp_path / "Volumes/prod/flights/landing/a.csv").read_text() == "x"
    assert (tmp_path / "dbfs/mnt/b.csv").read_text() == "y"
    assert resolve_local_path(f"{VOLUME}/a.csv") == tmp_path / "Volumes/prod/flights/landing/a.csv"


def test_what_spark_reads_cannot_lie_on_dbfs_root(double: Double) -> None:
    with pytest.raises(ConfigError, match=r"serverless compute cannot read; use a volume"):
        resolve_local_path("dbfs:/mnt/landing")


# --- copying ---------------------------------------------------------------------------------------------------------


def test_a_folder_of_dbfs_is_copied_into_a_volume_and_a_repeat_copies_nothing(double: Double) -> None:
    double.dbfs = {"/old/a.csv": b"1", "/old/deep/b.bin": BIG, "/old/empty": b"", "/older/no": b"x"}
    lines: list[str] = []
    done = storage.copy_folder("dbfs:/old", f"{VOLUME}/new", lines.append)
    assert done == storage.Copied(3, 0, len(BIG) + 1)
    assert double.files == {f"{VOLUME}/new/{n[5:]}": data for n, data in double.dbfs.items() if n.startswith("/old/")}
    assert len(lines) == 3
    assert storage.copy_folder("dbfs:/old", f"{VOLUME}/new", lines.append) == storage.Copied(0, 3, len(BIG) + 1)
    assert double.count("PUT", "/fs/files/") == 3


def test_a_copy_that_broke_off_goes_on_where_it_was(double: Double) -> None:
    double.dbfs = {f"/old/{n}": n.encode() for n in "abcd"}
    double.fail("PUT", "/fs/files/.*/c", denied("WRITE VOLUME"))
    with pytest.raises(MlopsError, match="copying c from dbfs:/old"):
        storage.copy_folder("dbfs:/old", f"{VOLUME}/new", lambda _: None)
    assert len(double.files) == 2
    assert storage.copy_folder("dbfs:/old", f"{VOLUME}/new", lambda _: None) == storage.Copied(2, 2, 4)


def test_a_file_with_another_content_is_left_alone(double: Double) -> None:
    double.dbfs = {"/old/a": b"mine"}
    double.files = {f"{VOLUME}/new/a": b"his!"}
    with pytest.raises(MlopsError, match="is there with another content: delete it, or copy to another folder"):
        storage.copy_folder("dbfs:/old", f"{VOLUME}/new", lambda _: None)
    assert double.files == {f"{VOLUME}/new/a": b"his!"}


def test_what_reads_back_differently_is_an_error(double: Double, monkeypatch: pytest.MonkeyPatch) -> None:
    double.dbfs = {"/old/a": b"mine"}

    class Rotten(dict[str, bytes]):
        def __setitem__(self, path: str, data: bytes) -> None:
            super().__setitem__(path, data[:-1] + b"!")

    double.files = Rotten()
    with pytest.raises(MlopsError, match="reads back differently from what was written"):
        storage.copy_folder("dbfs:/old", f"{VOLUME}/new", lambda _: None)


def test_a_source_that_is_shorter_than_it_was_listed_is_not_taken_for_copied(double: Double) -> None:
    class Shrunk(bytes):
        def __len__(self) -> int:
            return super().__len__() + 5

    double.dbfs = {"/old/a": Shrunk(b"mine")}
    with pytest.raises(MlopsError, match="/old/a has 4 bytes and had 9 when it was listed: copy again"):
        storage.copy_folder("dbfs:/old", f"{VOLUME}/new", lambda _: None)
    assert double.files == {}


def test_a_source_without_files_is_told(double: Double) -> None:
    with pytest.raises(MlopsError, match="dbfs:/nowhere holds no file, or is not there"):
        storage.copy_folder("dbfs:/nowhere", f"{VOLUME}/new", lambda _: None)


def test_the_command_copies_and_tells_what_it_did(double: Double, capsys: pytest.CaptureFixture[str]) -> None:
    from mlops_cli import cli

    double.dbfs = {"/FileStore/flights/a.csv": b"a,b\n"}
    assert cli.run_args(["copy-dbfs", "dbfs:/FileStore/flights", f"{VOLUME}/old"]) == 0
    told = capsys.readouterr().out.splitlines()
    assert told[0].split() == ["copied", "4", "a.csv"]
    assert told[1] == "1 files copied, 0 were there; 4 bytes verified by sha256"
    assert cli.run_args(["copy-dbfs", "dbfs:/FileStore/flights", f"{VOLUME}/old", "--output", "json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"copied": 0, "there": 1, "size": 4}
    double.files[f"{VOLUME}/old/a.csv"] = b"else"
    assert cli.run_args(["copy-dbfs", "dbfs:/FileStore/flights", f"{VOLUME}/old"]) == 1
    assert "is there with another content" in capsys.readouterr().err
    assert double.files[f"{VOLUME}/old/a.csv"] == b"else"
