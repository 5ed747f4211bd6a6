"""Which files leave the landing folder, and that none is lost, moved unread or replaced."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

from test_landing import put, sources

from mlops.data import archive, landing

DAY = timedelta(days=1)


def list_all(folder, *names):
    return landing.list_files(str(folder), sources(*names))[0]


def test_files_that_were_read_are_archived_and_none_is_lost_or_moved_unread(tmp_path):
    for name in ("a/1.csv", "a/2013/01/2.csv", "a/2013/01/3.csv", "a/2013/02/4.csv", "a/5.csv", "b/6.csv"):
        put(tmp_path, name.encode(), name.encode())
    put(tmp_path, b"_archived/a/1.csv", b"an earlier file of this name")
    (tmp_path / "a" / "link.csv").symlink_to("1.csv")
    files, unread = landing.list_files(str(tmp_path), sources("a", "b"))
    assert not unread
    put(tmp_path, b"a/2013/01/3.csv", b"changed since it was listed")
    (tmp_path / "a/5.csv").unlink()
    later = max(file.modified for file in files) + timedelta(seconds=1)
    assert archive.archive_files(str(tmp_path), files, later - DAY) == (0, [])
    moved, stayed = archive.archive_files(str(tmp_path), files, later)
    assert (moved, sorted(stayed)) == (
        4, ["a/2013/01/3.csv (it was changed, and is read by the next run)", "a/link.csv (it is a link)"]
    )  # fmt: skip
    left, unread = landing.list_files(str(tmp_path), sources("a", "b"))
    assert [f"{file.source}/{file.name}" for file in left] == ["a/2013/01/3.csv"]
    assert unread == ["a/link.csv"]  # what it links to was moved
    assert not (tmp_path / "a/2013/02").exists()  # a folder without files would be listed for ever
    contents = {path.read_text() for path in tmp_path.rglob("*.csv") if not path.is_symlink()}
    assert contents == {
        "a/1.csv", "an earlier file of this name", "a/2013/01/2.csv", "changed since it was listed", "a/2013/02/4.csv",
        "b/6.csv",
    }  # fmt: skip
    archived, unread = archive.list_archived(str(tmp_path), sources("a"))
    assert not unread
    assert sorted(Path(file.name).name for file in archived) == ["1.csv", "1.csv", "2.csv", "4.csv"]
    assert archive.list_archived(str(tmp_path), sources("c")) == ([], [])
    assert archive.archive_files(str(tmp_path), files, later)[0] == 0


def test_a_run_archives_a_limited_number_of_files_and_those_that_cannot_move_stop_no_other(tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "_MOST_MOVED", 3)
    for number in range(9):
        put(tmp_path, f"a/{9 - number}.csv".encode())
        os.utime(tmp_path / f"a/{9 - number}.csv", (1_000_000 + number,) * 2)
    files = list_all(tmp_path, "a")
    for number in (9, 8, 7):
        put(tmp_path, f"a/{number}.csv".encode(), b"changed")
    moved, stayed = archive.archive_files(str(tmp_path), files, files[0].modified + DAY)
    assert (moved, len(stayed)) == (3, 3)
    assert [file.name for file in list_all(tmp_path, "a")] == ["1.csv", "2.csv", "3.csv", "7.csv", "8.csv", "9.csv"]


def test_a_file_that_cannot_be_moved_stays_and_says_why(tmp_path):
    put(tmp_path, b"a/1.csv")
    files = list_all(tmp_path, "a")
    put(tmp_path, b"_archived", b"a file in the place of the folder")
    stayed = ["a/1.csv (Not a directory)"]
    assert archive.archive_files(str(tmp_path), files, files[0].modified + DAY) == (0, stayed)
    assert list_all(tmp_path, "a") == files


def test_a_file_that_is_replaced_while_it_is_moved_goes_back_unread(tmp_path, monkeypatch):
    put(tmp_path, b"a/1.csv")
    files, rename = list_all(tmp_path, "a"), Path.rename

    def replace_first(path, target):
        if path.parent.name == "a" and path.parent.parent == tmp_path:
            path.write_bytes(b"other content")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", replace_first)
    moved, stayed = archive.archive_files(str(tmp_path), files, files[0].modified + DAY)
    assert (moved, stayed) == (0, ["a/1.csv (it was changed, and is read by the next run)"])
    assert (tmp_path / "a/1.csv").read_bytes() == b"other content"


def test_archived_files_that_the_source_no_longer_reads_are_named(tmp_path):
    put(tmp_path, b"_archived/a/1.jsonl")
    assert archive.list_archived(str(tmp_path), sources("a")) == ([], ["_archived/a/1.jsonl"])
