"""From the bytes of landed files to typed rows: nothing is nulled in silence, every bad row keeps its file and line.

Each line is read on its own, so that a broken one spoils no other: a field cannot hold a line break. A value that does
not read as its column's type, a missing one that is required and a line that is no row each break a rule; what they
were is kept as text.
"""

from __future__ import annotations

import csv
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from difflib import get_close_matches
from itertools import groupby

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from mlops.contract import Column, Source

_PATTERNS = {
    "long": r"^-?\d{1,18}$",
    "double": r"^-?(\d+(\.\d*)?|\.\d+)([eE](\+?\d{1,2}|-\d{1,3}))?$",
    "timestamp": r"^\d{4}-\d\d-\d\dT\d\d:[0-5]\d:[0-5]\dZ$",
}
_ARROW = {"string": pa.string(), "long": pa.int64(), "double": pa.float64(), "timestamp": pa.timestamp("us", "UTC")}
_SKEW = timedelta(days=1)
"""A row that is known later than this after its file was written is wrong about one of the two clocks."""
_NO_TEXT = re.compile("[\udc80-\udcff\x00]")
"""What bytes that are no UTF-8 were decoded to, and what no text holds."""


@dataclass(frozen=True)
class File:
    """One landed file, known by its content."""

    name: str
    sha256: str
    size: int
    modified: datetime
    content: bytes

    @property
    def header(self) -> list[str]:
        """Its column names, as they stand there."""
        first = self.content.partition(b"\n")[0].decode("utf-8-sig", "replace")
        return next(csv.reader(first.splitlines()), [])


@dataclass(frozen=True)
class Rows:
    """The rows of one source's new files. A row's position is its place in all of these."""

    table: pa.Table
    """The source's columns, typed; null where a value was missing or could not be read."""
    raw: list[str]
    """The lines as they came."""
    file: np.ndarray[tuple[int], np.dtype[np.int64]]
    """Number of the row's file."""
    line: list[int]
    """The row's line in its file; the header is line 1."""
    broken: dict[int, list[str]]
    """Rules that a row breaks, by position; rows that could be read are not in it."""

    @property
    def read(self) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        """Positions of the rows that could be read: expectations judge these."""
        return np.flatnonzero(unbroken(len(self.raw), self.broken))


def unbroken(count: int, broken: Collection[int]) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Whether each of so many rows breaks no rule; `broken` are the positions of those that do."""
    whole = np.ones(count, dtype=bool)
    whole[list(broken)] = False
    return whole


def misfit(file: File, source: Source) -> str:
    """Why a file's header does not fit the source, in words, with the likely new name of a column; "" if it fits."""
    header = file.header
    wanted = [column.name for column in source.columns]
    missing = [name for name in wanted if name not in header]
    twice = sorted({name for name in header if header.count(name) > 1})
    if not missing and not twice:
        return ""
    if twice:
        return f"{source.name}/{file.name} has {', '.join(twice)} more than once"
    if not file.content:
        return f"{source.name}/{file.name} is empty, without even a header"
    if "\0" in "".join(header) or "\ufffd" in "".join(header):
        return f"{source.name}/{file.name} is no UTF-8 text"
    spare = [name for name in header if name not in wanted]
    renamed = [f"{name} (renamed to {near[0]}?)" for name in missing if (near := _alike(name, spare))]
    plain = [name for name in missing if not _alike(name, spare)]
    found = ", ".join(header)
    return f"{source.name}/{file.name} lacks {', '.join(renamed + plain)}; it has {found[:300]}"


def _alike(name: str, spare: Sequence[str]) -> list[str]:
    lower = {other.strip().lower(): other for other in spare}
    return [lower[near] for near in get_close_matches(name, lower, 1, 0.5)]


def unknown_columns(files: Iterable[File], source: Source) -> tuple[str, ...]:
    """Columns that files have and the source does not know: they are reported and left out."""
    known = {column.name for column in source.columns}
    return tuple(sorted({name for file in files for name in file.header} - known))


def read(source: Source, files: Sequence[File]) -> Rows:
    """Rows of files whose headers fit, in their order; none can be known long after its file was written.

    Rules: `row:encoding` no UTF-8; `row:csv` an open quote; `row:fields` another number of fields than the header has;
    `row:truncated` the file ends in the middle of the line; `<column>:<type>` unreadable; `<column>:required` missing;
    `<known_at>:future` known more than a day after the file was last changed. (Rejected: a day after the run's `as_of`:
    a run as of an older moment would set good rows aside for ever.)
    """
    raw: list[str] = []
    line: list[int] = []
    counts: list[int] = []
    broken: dict[int, list[str]] = defaultdict(list)
    parts: list[pa.Table] = []
    for header, group in groupby(files, lambda file: file.header):
        fields: list[list[str]] = []
        for file in group:
            before = len(raw)
            for number, text, rule in _lines(file.content):
                values, why = ([], rule) if rule else _fields(text, len(header))
                if why:
                    broken[len(raw)].append(why)
                    values = [""] * len(header)
                fields.append(values)
                raw.append(text)
                line.append(number)
            counts.append(len(raw) - before)
        parts.append(_texts(source, header, fields))
    texts = pa.concat_tables(parts)
    whole = unbroken(len(raw), broken)
    columns = {c.name: _judged(c, texts[c.name], whole, broken) for c in source.columns}
    owner = np.repeat(np.arange(len(files)), counts)
    latest = pa.array([file.modified + _SKEW for file in files], _ARROW["timestamp"]).take(pa.array(owner))
    for position in np.flatnonzero(_mask(pc.greater(columns[source.known_at], latest))):
        broken[int(position)].append(f"{source.known_at}:future")
    return Rows(pa.table(columns), raw, owner, line, dict(broken))


def _lines(content: bytes) -> Iterable[tuple[int, str, str]]:
    """Number, text and broken rule ("" if none) of every line below the header that is not blank."""
    text = content.decode("utf-8-sig", "surrogateescape")
    odd = _NO_TEXT.search(text) is not None
    lines = text.split("\n")
    for number, line in enumerate(lines[1:], start=2):
        if line and line != "\r":
            if number == len(lines):
                yield number, _shown(line), "row:truncated"
            elif odd and _NO_TEXT.search(line):
                yield number, _shown(line), "row:encoding"
            else:
                yield number, line.removesuffix("\r"), ""


def _shown(line: str) -> str:
    return line.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace").replace("\0", "\\x00")


def _fields(line: str, wanted: int) -> tuple[list[str], str]:
    """A line's values, and the rule that it breaks if it cannot be cut into as many as are wanted."""
    try:
        values = next(csv.reader([line], strict=True)) if '"' in line else line.split(",")
    except csv.Error:
        return [], "row:csv"
    return values, "" if len(values) == wanted else "row:fields"


def _texts(source: Source, header: list[str], fields: list[list[str]]) -> pa.Table:
    by_name = dict(zip(header, zip(*fields, strict=True), strict=True)) if fields else {}
    return pa.table({c.name: pa.array(by_name.get(c.name, ()), pa.string()) for c in source.columns})


def _judged(
    column: Column,
    texts: pa.ChunkedArray,
    whole: np.ndarray[tuple[int], np.dtype[np.bool_]],
    broken: dict[int, list[str]],
) -> pa.ChunkedArray:
    """A column typed; rules that its values break are noted at their positions."""
    given = pc.if_else(pc.equal(texts, ""), None, texts)
    typed = _typed(column.type, given)
    lost = _mask(pc.and_(pc.is_valid(given), pc.is_null(typed)))
    for position in np.flatnonzero(lost):
        broken[int(position)].append(f"{column.name}:{column.type}")
    if column.required:
        for position in np.flatnonzero(_mask(pc.is_null(given)) & whole):
            broken[int(position)].append(f"{column.name}:required")
    return typed


def _mask(array: pa.ChunkedArray) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """As truth values; null is false."""
    return np.asarray(array.to_numpy(), dtype=bool)


def _typed(kind: str, given: pa.ChunkedArray) -> pa.ChunkedArray:
    if kind == "string":
        return given
    readable = pc.if_else(pc.match_substring_regex(given, _PATTERNS[kind]), given, None)
    if kind == "timestamp":  # not Arrow's own reading, for which 30 February is 2 March
        moments = pd.to_datetime(readable.to_pandas(), format="%Y-%m-%dT%H:%M:%SZ", errors="coerce", utc=True)
        return pa.chunked_array([pa.array(moments.dt.as_unit("us"), _ARROW[kind])])
    return readable.cast(_ARROW[kind])
