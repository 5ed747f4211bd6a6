"""A file that is read in parts gives the rows, lines, broken rules and columns of the whole file."""

from __future__ import annotations

import gzip
import io
import json
import os
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from things import make_things

from mlops.contract import DataError, FileFormat
from mlops.data import file_parts, readers
from mlops.data.file_formats import File
from mlops.data.landing import LandedFile

THINGS = make_things(id="long", seen="timestamp", kind="string")
HEAD = "id,seen,kind,more"
FIELDS = st.sampled_from(
    ["x", "", '"x"', '"a,b"', '"a""b"', '"open', 'q"', "é\u00a0", "\ufeff", "\x1b", "\udc80", "1,2"]
)
END = st.sampled_from(["\n", "\n", "\r\n", "\r", "\n\n", "\r\n\r\n"])
ROWS = st.lists(st.tuples(st.integers(0, 99), FIELDS, END), max_size=12)
START = st.sampled_from(["", "\ufeff", "\n", "\r\n\n", "\ufeff\n", "\n\ufeff"])


def land(folder: Path, name: str, content: bytes) -> LandedFile:
    path = folder / name
    path.write_bytes(content)
    stat = path.stat()
    modified = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=stat.st_mtime_ns // 1000)
    return LandedFile(name, "things", path, stat.st_size, modified)


def whole_of(landed: LandedFile, form: FileFormat) -> File:
    content, sha256 = landed.read_content(form)
    return File(landed.name, sha256, landed.size, landed.modified, content, form)


def check_equal(landed: LandedFile, form: FileFormat, size: int) -> int:
    """Compare the rows of the parts with those of the whole file; returns the number of parts."""
    source = replace(THINGS, files=form)
    whole, survey = whole_of(landed, form), file_parts.survey_file(landed, form, size)
    head = File(landed.name, survey.sha256, landed.size, landed.modified, survey.head, form)
    assert survey.sha256 == whole.sha256
    assert head.header == whole.header
    assert readers.header_error(head, source) == readers.header_error(whole, source)
    if readers.header_error(whole, source):
        return 0
    assert readers.unknown_columns([head], source) == readers.unknown_columns([whole], source)
    expected = readers.read_files(source, [whole])
    tables, raw, line, broken = [], [], [], {}
    for part, shift in file_parts.read_parts(landed, head, survey.parts):
        rows = readers.read_files(source, [part])
        broken |= {len(raw) + position: rules for position, rules in rows.broken.items()}
        tables.append(rows.table)
        raw += rows.raw
        line += [number + shift for number in rows.line]
    assert (raw, line, broken) == (expected.raw, expected.line, expected.broken)
    assert pa.concat_tables(tables).to_pylist() == expected.table.to_pylist()
    return len(survey.parts)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("parts")


@settings(deadline=None, max_examples=60)
@given(START, ROWS, END, st.booleans(), st.sampled_from([1, 2, 7, 20, 60, 10_000]), st.booleans())
def test_the_parts_of_a_csv_file_are_the_whole_file(
    folder: Path, start: str, rows: list[tuple[int, str, str]], end: str, cut_off: bool, size: int, packed: bool
) -> None:
    text = start + HEAD + end + "".join(f"{key},2024-01-01T00:00:00Z,{kind},z{end}" for key, kind, end in rows)
    content = text.encode("utf-8", "surrogateescape")
    content = content[:-1] if cut_off else content
    landed = land(folder, "a.csv.gz" if packed else "a.csv", gzip.compress(content) if packed else content)
    check_equal(landed, FileFormat(), size)


@settings(deadline=None, max_examples=60)
@given(
    st.sampled_from(["", "\ufeff", "\n"]),
    st.lists(st.tuples(st.sampled_from(["id", "kind", "other", "\x1b"]), FIELDS, END), max_size=10),
    st.sampled_from([1, 20, 60]),
)
def test_the_parts_of_json_lines_are_the_whole_file(
    folder: Path, start: str, rows: list[tuple[str, str, str]], size: int
) -> None:
    lines = [json.dumps({"seen": "2024-01-01T00:00:00Z", name: kind}) + end for name, kind, end in rows]
    content = (start + "".join(["{\n", *lines, '{"id":1,"kind":"x","seen":""}'])).encode("utf-8", "surrogateescape")
    check_equal(land(folder, "a.jsonl", content), FileFormat(kind="jsonl"), size)


def test_a_long_file_is_cut_and_a_quoted_line_break_is_where_it_is_cut(folder: Path) -> None:
    row = '1,2024-01-01T00:00:00Z,"a\nb",z\n'
    assert check_equal(land(folder, "a.csv", f"{HEAD}\n{row * 50}".encode()), FileFormat(), 1) == 101


def test_other_encodings_are_cut_as_text_and_parquet_is_one_part(folder: Path) -> None:
    content = f"{HEAD}\n" + "1,2024-01-01T00:00:00Z,ÄÖ,z\n" * 50
    assert check_equal(land(folder, "a.csv", content.encode("utf-16")), FileFormat(encoding="utf-16"), 100) > 5
    out = io.BytesIO()
    pq.write_table(pa.table({"id": [1, 2], "seen": ["2024-01-01T00:00:00Z"] * 2, "kind": ["x", "\n"]}), out)
    assert check_equal(land(folder, "a.parquet", out.getvalue()), FileFormat(kind="parquet"), 1) == 1


ACCIDENTS = {
    "deleted": lambda path: path.unlink(),
    "renamed": lambda path: path.rename(f"{path}.old"),
    "appended to": lambda path: path.write_bytes(path.read_bytes() + b"2"),
    "cut short": lambda path: path.write_bytes(path.read_bytes()[:-9]),
    "emptied": lambda path: path.write_bytes(b""),
    "overwritten later": lambda path: os.utime(path, (1, 1)),
    "a folder": lambda path: (path.unlink(), path.mkdir()),
}
SENTENCE = {
    "deleted": "was deleted or renamed after ingestion listed it: run ingestion again; if its rows are wanted, land",
    "a folder": "cannot be read: Is a directory",
    "changed": r"was changed after ingestion listed it with \d+ bytes: run ingestion again when it is complete",
}


def overwrite_alike(path: Path) -> None:
    """Write other content of the same length, and set the time back."""
    stat, content = path.stat(), path.read_bytes()
    other = gzip.compress(gzip.decompress(content).replace(b"x", b"y"), mtime=0) if path.suffix == ".gz" else (
        content.replace(b"x", b"y"))  # fmt: skip
    assert other != content
    path.write_bytes(other[: len(content)].ljust(len(content), b"\0"))
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


@pytest.mark.parametrize("name", ["b.csv", "b.csv.gz", "b.jsonl", "b.parquet"])
@pytest.mark.parametrize("accident", [*ACCIDENTS, "overwritten alike"])
def test_a_file_that_changes_before_it_is_read_is_named_in_one_sentence(
    tmp_path: Path, name: str, accident: str
) -> None:
    kind = "csv" if "csv" in name else name.partition(".")[2]
    form, out = FileFormat(kind=kind), io.BytesIO()  # type: ignore[arg-type]
    record = {"id": "1", "seen": "2024-01-01T00:00:00Z", "kind": "x"}
    pq.write_table(pa.Table.from_pylist([record]), out, compression="none")
    text = f"{','.join(record)}\n{','.join(record.values())}\n".encode()
    contents = {"csv": text, "jsonl": json.dumps(record).encode() + b"\n", "parquet": out.getvalue()}
    landed = land(tmp_path, name, gzip.compress(text, mtime=0) if name.endswith(".gz") else contents[kind])
    survey = file_parts.survey_file(landed, form, 1000)
    head = File(name, survey.sha256, landed.size, landed.modified, survey.head, form)
    assert len(list(file_parts.read_parts(landed, head, survey.parts))) == len(survey.parts)
    (overwrite_alike if accident == "overwritten alike" else ACCIDENTS[accident])(landed.path)
    kind_of_accident = {"renamed": "deleted"}.get(accident, accident if accident in SENTENCE else "changed")
    with pytest.raises(DataError, match=rf"^things/{re.escape(name)} ({SENTENCE[kind_of_accident]}|.*land it again$)"):
        list(file_parts.read_parts(landed, head, survey.parts))
    if accident != "overwritten alike":  # content and digest are then read at once
        for read in (landed.read_content, lambda form: file_parts.survey_file(landed, form, 1000)):
            with pytest.raises(DataError, match=rf"^things/{re.escape(name)} {SENTENCE[kind_of_accident]}"):
                read(form)
