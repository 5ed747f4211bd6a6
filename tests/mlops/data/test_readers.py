"""Generated files against a reader in plain Python: every line is good or has its rule, and none is lost."""

from __future__ import annotations

import csv
import math
import re
import unicodedata
from datetime import datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from things import NOW, make_things

from mlops.contract.text import printable
from mlops.data import quarantine, readers
from mlops.data.file_formats import File

THINGS = make_things(id="string", seen="timestamp", size="double")
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


Values = tuple[str, datetime, float]
"""Id, moment and size of a row; a size that is missing is less than any other."""


def good_lines(content: bytes) -> dict[int, Values | None] | None:
    """The values of each line below the header, None: it is no row; in place of all, None: the header does not fit."""
    lines = re.split(rb"\r\n|\r|\n", content.removeprefix(b"\xef\xbb\xbf"))
    filled = [(number, line) for number, line in enumerate(lines, start=1) if line]
    if not filled:
        return None
    header = next(csv.reader([filled[0][1].decode("utf-8", "replace")]))
    if not {"id", "seen", "size"} <= set(header):
        return None
    return {number: values_of(line, header) if number < len(lines) else None for number, line in filled[1:]}


def values_of(line: bytes, header: list[str]) -> Values | None:
    try:
        text = line.decode()
        values = next(csv.reader([text], strict=True)) if '"' in text else text.split(",")
        if len(values) != len(header) or any(not c.isprintable() and c != "\u00a0" for c in text):
            return None
        key, seen, size = (values[header.index(name)] for name in ("id", "seen", "size"))
        moment, key = datetime.strptime(seen, "%Y-%m-%dT%H:%M:%S%z"), unicodedata.normalize("NFC", key.strip())
        number = -math.inf if size == "" else float(size)
        good = moment <= NOW and key not in {"", "NULL", "n/a"} and (size == "" or math.isfinite(number))
        return (key, moment, number) if good else None  # noqa: TRY300 (the errors are of every line above)
    except (ValueError, csv.Error):
        return None


def contradicted(rows: dict[int, Values]) -> set[int]:
    """The rows that a greater one of their id and moment contradicts."""
    return {n for n, row in rows.items() if any(row[:2] == other[:2] and row < other for other in rows.values())}


@settings(deadline=None, max_examples=100)
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
    good = {line: values for line, values in expected.items() if values is not None}
    by_rule = {each.line: each.rule == "id:contradiction" for each in judged.broken}
    assert {line for line, contradiction in by_rule.items() if not contradiction} == expected.keys() - good.keys()
    assert {line for line, contradiction in by_rule.items() if contradiction} == contradicted(good)
    assert judged.rows == judged.good.num_rows + judged.bad + judged.repeated + judged.conflicting
    assert all(len(each.row) < 11_000 and each.row.replace("\u00a0", "").isprintable() for each in judged.broken)


@pytest.mark.parametrize("spelling", ["bc", " bc", "bc\u00a0", "\ufeffbc\u200b", "bc\t"])
def test_spellings_that_look_alike_are_one_key(spelling):
    content = f"id,seen,size\n{spelling},2024-01-02T00:00:00Z,2\nbc,2024-01-01T00:00:00Z,1\n".encode()
    rows = readers.read_files(THINGS, [File("a.csv", "0", 0, NOW, content)])
    assert rows.table["id"].to_pylist() == ["bc", "bc"]


UNSEEN = [chr(code) for code in range(0x110000) if unicodedata.category(chr(code)) == "Cf"]
"""Marks of format: byte orders, directions, soft hyphens, tags. Two of them join letters, and count within a text."""


@given(st.sampled_from([*UNSEEN, "\u034f", "\ufe0f", "\u3164", "\u2800", "\u3000"]), st.integers(0, 2))
def test_a_mark_that_nobody_sees_makes_no_other_key(mark, place):
    key = "bc"[:place] + mark + "bc"[place:]
    content = f"id,seen,size\n{key},2024-01-02T00:00:00Z,2\n{mark},2024-01-01T00:00:00Z,1\n"
    rows = readers.read_files(THINGS, [File("a.csv", "0", 0, NOW, content.encode())])
    shown = rows.table["id"].to_pylist()
    if rows.broken.get(0) != ["row:control"]:
        inside = place == 1 and (mark in "\u200c\u200d" or not unicodedata.category(mark).startswith(("Cf", "Mn")))
        assert shown[0] in ({key, "b c"} if inside else {"bc"})
        assert rows.broken[1] == ["id:required"]


WORDS = ["NULL", "None", "#N/A", "#DIV/0!", "#value!", "NaT", "undefined", "(null)", "[NA]", "<none>", "-", "---", "??"]


@pytest.mark.parametrize("word", [*WORDS, "\u2014", "N/\u200bA", "null\u200e"])
def test_words_for_no_value_are_no_key(word):
    content = f"id,seen,size\n{word},2024-01-02T00:00:00Z,2\n"
    rows = readers.read_files(THINGS, [File("a.csv", "0", 0, NOW, content.encode())])
    assert rows.broken == {0: ["id:required"]}


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
