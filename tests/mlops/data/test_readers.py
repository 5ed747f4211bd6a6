"""Generated files against a reader in plain Python: every line is good or has its rule, and none is lost."""

from __future__ import annotations

import csv
import math
import re
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops.contract import Column, Source
from mlops.contract.text import printable
from mlops.data import quarantine, readers
from mlops.data.readers import File

NOW = datetime(2024, 1, 10, tzinfo=UTC)
THINGS = Source(
    name="things",
    comment="Things",
    columns=(
        Column(name="id", type="string", comment="Name"),
        Column(name="seen", type="timestamp", comment="When it was seen, UTC"),
        Column(name="size", type="double", comment="Size", required=False),
    ),
    key=("id",),
    known_at="seen",
)
KEYS = [
    "a",
    "b ",
    "\u00a0b",
    "c",
    "e\u0301",
    "\u00e9",
    "NULL",
    "n/a",
    " ",
    "",
    '"q"',
    '"q',
    "a\x1b[31m",
    "\u202ea",
    "\0",
]
MOMENTS = ["2024-01-01T00:00:00Z", "2024-01-02T00:00:00Z", "2024-02-30T00:00:00Z", "2031-01-01T00:00:00Z", ""]
SIZES = ["1", "2.5", "", "NaN", "1e999", "9" * 400, "x" * 140_000, '"' + "7" * 140_000 + '"', "1,", '"1"']
GOOD = (["a", "\u00a0b", "e\u0301"], MOMENTS[:2], SIZES[:3])
LINES = st.sampled_from([GOOD, (KEYS, MOMENTS, SIZES)]).flatmap(lambda v: st.tuples(*map(st.sampled_from, v)))
LINES = LINES.map(lambda values: ",".join(values).encode())
GARBAGE = st.sampled_from(
    [b"", b"\xff\xfe", b"\xe9,2024-01-01T00:00:00Z,1", b"\0" * 9, b",", b",,", b'"', b"id,seen,size"]
)
HEADERS = [b"id,seen,size", b'"id","seen","size"', b"id,seen,size,", b"id,seen,size,,", b"id,seen"]
ENDS = st.sampled_from([b"\n", b"\r\n", b"\r", b"\n\n"])
FILES = st.tuples(
    st.sampled_from([b"", b"\xef\xbb\xbf", b"\n", b"\r\n\r"]),
    st.sampled_from(HEADERS),
    ENDS,
    st.lists(st.tuples(LINES | GARBAGE, ENDS), max_size=8),
    st.booleans(),
).map(lambda f: f[0] + f[1] + f[2] + b"".join(line + end for line, end in f[3]) + (b"cut,off" if f[4] else b""))


def good_lines(content: bytes) -> dict[int, bool] | None:
    """Whether each line below the header is a row to keep; None: the header fits no table of things."""
    lines = re.split(rb"\r\n|\r|\n", content.removeprefix(b"\xef\xbb\xbf"))
    filled = [(number, line) for number, line in enumerate(lines, start=1) if line]
    if not filled:
        return None
    header = next(csv.reader([filled[0][1].decode("utf-8", "replace")]))
    if not {"id", "seen", "size"} <= set(header):
        return None
    return {number: number < len(lines) and is_good(line, header) for number, line in filled[1:]}


def is_good(line: bytes, header: list[str]) -> bool:
    try:
        text = line.decode()
        values = next(csv.reader([text], strict=True)) if '"' in text else text.split(",")
        if len(values) != len(header) or any(not c.isprintable() and c != "\u00a0" for c in text):
            return False
        key, seen, size = (values[header.index(name)] for name in ("id", "seen", "size"))
        if datetime.strptime(seen, "%Y-%m-%dT%H:%M:%S%z") > NOW:
            return False
        return key.strip() not in {"", "NULL", "n/a"} and (size == "" or math.isfinite(float(size)))
    except (ValueError, csv.Error):
        return False


@settings(deadline=None, max_examples=300)
@given(FILES)
def test_every_line_is_a_row_or_has_its_rule(content):
    file = File("a.csv", "0", len(content), NOW, content)
    expected = good_lines(content)
    assert bool(readers.header_error(file, THINGS)) is (expected is None)
    if expected is None:
        return
    rows = readers.read_files(THINGS, [file])
    judged = quarantine.split_valid_rows(THINGS, [file], rows, (), ())
    assert rows.line == list(expected)
    # Rows that another row of the file contradicts are good lines, and are set aside for what stands beside them.
    unreadable = {each.line for each in judged.broken if not each.rule.endswith(":contradiction")}
    assert unreadable == {line for line, good in expected.items() if not good}
    assert judged.rows == judged.good.num_rows + judged.bad + judged.repeated + judged.conflicting
    assert all(len(each.row) < 11_000 and each.row.replace("\u00a0", "").isprintable() for each in judged.broken)


@pytest.mark.parametrize("spelling", ["b", " b", "b\u00a0", "\ufeffb\u200b", "b\t"])
def test_spellings_that_look_alike_are_one_key(spelling):
    content = f"id,seen,size\n{spelling},2024-01-02T00:00:00Z,2\nb,2024-01-01T00:00:00Z,1\n".encode()
    rows = readers.read_files(THINGS, [File("a.csv", "0", 0, NOW, content)])
    assert rows.table["id"].to_pylist() == ["b", "b"]


def test_other_spellings_stay_other_keys():
    keys = ["b", "B", "b b", "b  b", "nab", "Na", "na", "unknown", "0", "."]
    content = "".join(f"{key},2024-01-02T00:00:00Z,2\n" for key in keys)
    rows = readers.read_files(THINGS, [File("a.csv", "0", 0, NOW, f"id,seen,size\n{content}".encode())])
    assert rows.table["id"].to_pylist() == keys


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain é €", "plain é €"),
        ("a\nb\r\tc", r"a\nb\r\tc"),
        ("\x1b[31m\x00\x7f", r"\x1b[31m\x00\x7f"),
        ("\u202ered\u2028", r"\u202ered\u2028"),
        ("caf\udce9.csv", r"caf\xe9.csv"),
        ("\ufeffid\u00a0", r"\ufeffid\xa0"),
    ],
)
def test_foreign_text_is_shown_on_one_line_and_moves_nothing(text, shown):
    assert printable(text) == shown
    assert shown.encode().decode() == shown
