"""What of the landing folder is read, and what is named because it is not."""

from __future__ import annotations

import gzip
import hashlib
import os
import shutil
from dataclasses import replace
from pathlib import Path

from toy import RESULTS

from mlops.contract import FileFormat
from mlops.data import landing
from mlops.platform import storage

CSV = FileFormat()


def sources(*names):
    return [replace(RESULTS, name=name) for name in names]


def put(folder, name, content=b"id\n1\n"):
    path = os.path.join(os.fsencode(folder), name)  # noqa: PTH118 - bytes, which pathlib does not take
    os.makedirs(os.path.dirname(path), exist_ok=True)  # noqa: PTH103, PTH120
    Path(os.fsdecode(path)).write_bytes(content)


def test_files_of_sources_are_read_and_all_else_is_named(tmp_path):
    for name in (b"a/1.csv", b"b/2.csv", b"a/caf\xe9.csv", b"a/line\nend.csv", "a/grün.csv".encode()):
        put(tmp_path, name)
    odd = (b"a/3.CSV", b"a/4.csv.zip", b"a/._1.csv", b"a/.5.csv.swp", b"a/~$1.csv", b"a/1.csv~", b"a/.sub/6.csv")
    for name in (
        *odd,
        b"a/7.csv/part-0.csv",
        b"a/7.csv/_SUCCESS",
        b"a/7.csv/.part-0.csv.crc",
        b"a/7.csv/_other",
        b"typo/8.csv",
        b"9.csv",
        b"c",
        b"b/\x1b[2J.txt",
    ):
        put(tmp_path, name)
    (tmp_path / "a" / ".#1.csv").symlink_to("nowhere")
    (tmp_path / "a" / "gone.csv").symlink_to("nowhere")
    files, unread = landing.list_files(str(tmp_path), sources("a", "b", "c"))
    assert [(file.source, file.name) for file in files] == [
        ("a", "1.csv"), ("b", "2.csv"), ("a", "7.csv/part-0.csv"), ("a", r"caf\xe9.csv"), ("a", "grün.csv"),
        ("a", r"line\nend.csv"),
    ]  # fmt: skip
    named = ["a/3.CSV", "a/4.csv.zip", "a/._1.csv", "a/.5.csv.swp", "a/~$1.csv", "a/1.csv~", "a/.#1.csv", "a/gone.csv"]
    named += ["a/.sub (a folder)", "a/7.csv/_other", r"b/\x1b[2J.txt"]
    assert sorted(unread) == sorted(named + [f"{name} (no source's folder)" for name in ("9.csv", "typo", "c")])
    assert [file.read_content(CSV)[0] for file in files] == [b"id\n1\n"] * 6
    assert landing.list_files(str(tmp_path), sources("a", "b", "c"))[0] == files


def test_no_folder_has_no_files(tmp_path):
    assert landing.list_files(str(tmp_path / "none"), sources("a")) == ([], [])


def test_the_endings_of_a_source_are_those_of_its_format(tmp_path):
    for name in (b"a/1.csv", b"a/2.csv.gz", b"a/3.jsonl", b"a/4.parquet", b"a/5.jsonl.gz"):
        put(tmp_path, name, b"x")
    for kind, read in {
        "csv": ["1.csv", "2.csv.gz"], "jsonl": ["3.jsonl", "5.jsonl.gz"], "parquet": ["4.parquet"],
    }.items():  # fmt: skip
        (source,) = sources("a")
        files, unread = landing.list_files(str(tmp_path), [replace(source, files=FileFormat(kind=kind))])
        assert [file.name for file in files] == read
        assert len(unread) == 5 - len(read)


def test_the_digest_is_of_the_file_as_it_was_landed_and_the_content_is_expanded(tmp_path):
    packed = gzip.compress(b"id\n1\n")
    put(tmp_path, b"a/1.csv.gz", packed)
    ((file,), _) = landing.list_files(str(tmp_path), sources("a"))
    assert file.read_content(CSV) == (b"id\n1\n", hashlib.sha256(packed).hexdigest())
    assert file.memory == 10 * len(packed)  # about what it expands to


def test_each_folder_is_listed_once_and_no_file_is_asked_for_more_than_its_entry(tmp_path, monkeypatch):
    for number in range(40):
        put(tmp_path, f"a/{number % 4}/{number}.csv".encode())
    listed, scan = [], os.scandir

    def forbid(path, **_):
        raise AssertionError(f"{path} is asked for by its name")

    monkeypatch.setattr(os, "scandir", lambda folder: listed.append(folder) or scan(folder))
    monkeypatch.setattr(os, "stat", forbid)
    monkeypatch.setattr(Path, "stat", forbid)
    files, unread = landing.list_files(str(tmp_path), sources("a"))
    assert (len(files), unread) == (40, [])
    assert sorted(listed) == sorted(map(str, [tmp_path, tmp_path / "a", *(tmp_path / "a" / f"{n}" for n in range(4))]))


def test_what_is_deleted_while_it_is_listed_is_not_there(tmp_path, monkeypatch):
    for name in (b"a/1.csv", b"a/2.csv", b"a/b/3.csv"):
        put(tmp_path, name)
    enter = storage.list_entries

    def delete(folder):
        entries = enter(folder)
        if folder.endswith("/a"):
            (tmp_path / "a" / "1.csv").unlink()
            shutil.rmtree(tmp_path / "a" / "b")
        return entries

    monkeypatch.setattr(storage, "list_entries", delete)
    files, unread = landing.list_files(str(tmp_path), sources("a"))
    assert ([file.name for file in files], unread) == (["2.csv"], [])
