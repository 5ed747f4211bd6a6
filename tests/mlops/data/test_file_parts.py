"""A file that is read in parts gives the rows, lines, broken rules and columns of the whole file."""

from __future__ import annotations

import gzip
import io
import json
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


def test_a_file_that_changes_while_it_is_read_is_refused(folder: Path) -> None:
    landed = land(folder, "b.csv", f"{HEAD}\n1,2024-01-01T00:00:00Z,x,z\n".encode())
    survey = file_parts.survey_file(landed, THINGS.files, 1000)
    head = File("b.csv", survey.sha256, landed.size, landed.modified, survey.head)
    landed.path.write_bytes(landed.path.read_bytes() + b"2")
    with pytest.raises(DataError, match=r"things/b\.csv was changed while it was read: run ingestion again"):
        list(file_parts.read_parts(landed, head, survey.parts))
