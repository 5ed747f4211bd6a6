"""Read landed files into typed rows. No value becomes null silently; every bad row keeps its file and line.

Each line is read by itself, so that a broken line does not affect others; a field cannot contain a line break. A value
that cannot be read as its column's type, a missing required value and a line that is not a row each break a rule; the
line is kept as text.

Text is normalised: composed (NFC), without marks that have no picture, without outer blanks, every kind of blank as the
plain one, and words for "no value" (`NULL`, `N/A`, ...) as null. Without this, two spellings of a key would be two
keys, and all aircraft named "NULL" one aircraft. Numbers and moments are not normalised: a blank or a word in them
breaks a rule.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from difflib import get_close_matches
from itertools import groupby

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from mlops.contract import Column, FileFormat, Source
from mlops.contract.text import BLANK_LETTERS, printable
from mlops.data.file_formats import LONGEST_HEADER, File

_PATTERNS = {
    "long": r"^-?\d{1,18}$",
    "double": r"^-?(\d+(\.\d*)?|\.\d+)([eE](\+?\d{1,2}|-\d{1,3}))?$",
    "timestamp": r"^\d{4}-\d\d-\d\dT\d\d:[0-5]\d:[0-5]\dZ$",
}
ARROW_TYPES = {
    "string": pa.string(),
    "long": pa.int64(),
    "double": pa.float64(),
    "boolean": pa.bool_(),
    "timestamp": pa.timestamp("us", "UTC"),
}
"""Arrow's type of each type of a source's column or of a feature."""
_SKEW = timedelta(days=1)
"""Longest time that a row may be known after its file was written; beyond it one of the two clocks is wrong."""
_FRACTIONS = r"^\d{4}-\d\d-\d\dT\d\d:[0-5]\d:[0-5]\d(\.\d{1,6}(0{3})?)?Z$"
"""Pattern of a timestamp of JSON lines or Parquet: at most six digits of a second, or nine that end in 000."""
_SPARE = 200
"""Number of header names among which the likely new name of a column is searched."""
_BLANKS = " \t\u200c\u200d"
"""Characters that are stripped from both ends of a text, after every kind of blank became the plain one. Within a text
the joiners U+200C and U+200D shape letters."""
_INVISIBLE = re.compile("[\u034f\u180b-\u180d\ufe00-\ufe0f]")
"""Invisible characters outside of Unicode's categories of format characters: grapheme joiner, variation selectors."""
_WORDS = ("null", "none", "nil", "nan", "nat", "n/a", "undefined")
_NOTHING = pa.array(
    ["", r"\n", "n.a.", "-nan", *_WORDS]
    + [f"{start}{word}{end}" for start, end in ("()", "<>", "[]") for word in (*_WORDS, "na")]
    + [f"#{error}" for error in ("n/a", "n/a n/a", "na", "null!", "value!", "ref!", "div/0!", "name?", "num!")]
)
"""Texts that mean "no value", in lower case; the last ones are errors of spreadsheets. `NA` alone counts in capitals
only, as R writes it: `na` can be a word."""
_ONLY_MARKS = r"^[-?\x{2010}-\x{2015}\x{2212}]+$"
"""Text of dashes and question marks only, which means "no value", too."""


@dataclass(frozen=True)
class Rows:
    """The rows of one source's new files. A row's position is its index in all of these fields."""

    table: pa.Table
    """The source's columns, typed; null where a value is missing or cannot be read."""
    raw: list[str]
    """The lines as they were landed."""
    file: np.ndarray[tuple[int], np.dtype[np.int64]]
    """Number of the row's file."""
    line: list[int]
    """The row's line in its file; the header is line 1."""
    broken: dict[int, list[str]]
    """Broken rules by position of the row; readable rows have no entry."""

    @property
    def read(self) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        """Positions of the readable rows, which expectations are run on."""
        return np.flatnonzero(valid_mask(len(self.raw), self.broken))


def to_pandas(table: pa.Table) -> pd.DataFrame:
    """Convert rows to pandas; whole numbers stay such also where one is missing.

    By default they become floats then: 7 becomes the text 7.0, and two large keys become one.
    """
    frame: pd.DataFrame = table.to_pandas(types_mapper={pa.int64(): pd.Int64Dtype()}.get)
    return frame


def valid_mask(count: int, broken: Collection[int]) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Return a mask of `count` rows that is False at the positions `broken`."""
    whole = np.ones(count, dtype=bool)
    whole[list(broken)] = False
    return whole


def header_error(file: File, source: Source) -> str:
    """Say why a file's header does not fit the source, with the likely new name of a column; "" if it fits."""
    why = _no_header(file) or _other_columns(file.header, source)
    return f"{source.name}/{file.name} {why}" if why else ""


def _no_header(file: File) -> str:
    """Say why the first line is not a header at all; "" if it is one."""
    if file.format.kind != "csv":
        empty = "has no column" if file.format.kind == "parquet" else "has no line that is a JSON object"
        return "" if file.header else empty
    line = file.first_line
    if not line:
        return "is empty, without even a header"
    if b"\0" in line or "\ufffd" in line.decode("utf-8", "replace"):
        return "is no UTF-8 text"
    if len(line) > LONGEST_HEADER:
        start = printable(line[:60].decode("utf-8", "replace"))
        return (
            f"has no header: its first line has {len(line):,} bytes, of {LONGEST_HEADER:,} at most, and begins {start}"
        )
    return ""


def _other_columns(header: list[str], source: Source) -> str:
    """Say which columns of the source the header lacks or has twice; "" if none."""
    counts = Counter(header)
    if twice := sorted(printable(name) for name, count in counts.items() if name and count > 1):
        return f"has {', '.join(twice)} more than once"
    missing = [column.name for column in source.columns if column.name not in counts]
    if not missing:
        return ""
    known = {column.name for column in source.columns}
    spare = [name for name in header if name not in known][:_SPARE]
    renamed = [f"{name} (renamed to {printable(near[0])}?)" for name in missing if (near := _same_name(name, spare))]
    plain = [name for name in missing if not _same_name(name, spare)]
    actual = printable(", ".join(header)[:300])
    return f"lacks {', '.join(renamed + plain)}; it has {actual}"


def _same_name(name: str, spare: Sequence[str]) -> list[str]:
    lower = {candidate.strip().lower(): candidate for candidate in spare}
    return [lower[near] for near in get_close_matches(name, lower, 1, 0.5)]


def unknown_columns(files: Iterable[File], source: Source) -> tuple[str, ...]:
    """List the columns of files that the source does not declare; they are reported and left out."""
    known = {column.name for column in source.columns}
    named = {(n, name) for header in {tuple(file.header) for file in files} for n, name in enumerate(header, start=1)}
    return tuple(sorted({printable(name) or f"number {n} (no name)" for n, name in named if name not in known}))


def read_files(source: Source, files: Sequence[File]) -> Rows:
    """Read files whose headers fit the source into rows, in the order of files and lines.

    Rules that a row can break: those of a line (`ROW_RULES`); `<column>:<type>`, the value cannot be read;
    `<column>:required`, the value is missing; `<known_at>:future`, the row is known more than a day after its file was
    last changed. (Rejected: a day after the run's `as_of`, since a run as of an older moment would put good rows into
    quarantine for ever.)
    """
    raw: list[str] = []
    line: list[int] = []
    counts: list[int] = []
    broken: dict[int, list[str]] = defaultdict(list)
    parts: list[pa.Table] = []
    for header, group in groupby(files, lambda file: file.header):
        fields: list[Sequence[str]] = []
        for file in group:
            before = len(raw)
            for number, text, values, rule in file.rows():
                if rule:
                    broken[len(raw)].append(rule)
                fields.append([""] * len(header) if rule else values)
                raw.append(text)
                line.append(number)
            counts.append(len(raw) - before)
        parts.append(_to_texts(source, header, fields))
    texts = pa.concat_tables(parts)
    whole = valid_mask(len(raw), broken)
    columns = {c.name: _check_fields(c, texts[c.name], source.files, whole, broken) for c in source.columns}
    owner = np.repeat(np.arange(len(files)), counts)
    latest = pa.array([file.modified + _SKEW for file in files], ARROW_TYPES["timestamp"]).take(pa.array(owner))
    for position in np.flatnonzero(_valid_values(pc.greater(columns[source.known_at], latest))):
        broken[int(position)].append(f"{source.known_at}:future")
    return Rows(pa.table(columns), raw, owner, line, dict(broken))


def _to_texts(source: Source, header: list[str], fields: list[Sequence[str]]) -> pa.Table:
    by_name = dict(zip(header, zip(*fields, strict=True), strict=True)) if fields else {}
    missing = [""] * len(fields)  # no record of a part of JSON lines has the column, records of other parts have it
    return pa.table({c.name: pa.array(by_name.get(c.name, missing), pa.string()) for c in source.columns})


def _check_fields(
    column: Column,
    texts: pa.ChunkedArray,
    file_format: FileFormat,
    whole: np.ndarray[tuple[int], np.dtype[np.bool_]],
    broken: dict[int, list[str]],
) -> pa.ChunkedArray:
    """Convert a column to its type, and add the rules that its values break to `broken`."""
    given = _clean_text(texts) if column.type == "string" else _keep_texts(texts, pc.not_equal(texts, ""))
    typed = _cast_columns(column.type, given, file_format)
    lost = _valid_values(pc.and_(pc.is_valid(given), pc.is_null(typed)))
    for position in np.flatnonzero(lost):
        broken[int(position)].append(f"{column.name}:{column.type}")
    if column.required:
        for position in np.flatnonzero(_valid_values(pc.is_null(given)) & whole):
            broken[int(position)].append(f"{column.name}:required")
    return typed


def _valid_values(array: pa.ChunkedArray) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Convert an array of booleans to numpy; null becomes False."""
    return np.asarray(array.to_numpy(), dtype=bool)


def _cast_columns(kind: str, given: pa.ChunkedArray, file_format: FileFormat) -> pa.ChunkedArray:
    if kind == "string":
        return given
    if kind == "timestamp":
        return _cast_timestamps(given, file_format)
    if kind == "double" and file_format.decimal != ".":
        # A point would separate thousands: it is kept as a second point, so that the number is refused.
        given = pc.replace_substring(pc.replace_substring(given, ".", ".."), file_format.decimal, ".")
    if file_format.kind != "csv":  # other formats have truth values of their own
        given = pc.if_else(pc.equal(given, "true"), "1", pc.if_else(pc.equal(given, "false"), "0", given))
    numbers = _keep_texts(given, pc.match_substring_regex(given, _PATTERNS[kind])).cast(ARROW_TYPES[kind])
    return pc.if_else(pc.is_finite(numbers), numbers, None)  # Arrow reads 400 digits as infinity


def _cast_timestamps(given: pa.ChunkedArray, file_format: FileFormat) -> pa.ChunkedArray:
    form, readable = file_format.timestamp, given
    if form == FileFormat.timestamp:
        pattern = _PATTERNS["timestamp"] if file_format.kind == "csv" else _FRACTIONS
        form = form if file_format.kind == "csv" else "ISO8601"
        readable = _keep_texts(given, pc.match_substring_regex(given, pattern))
    # Not Arrow's own parser, which reads 30 February as 2 March.
    moments = pd.to_datetime(readable.to_pandas(), format=form, errors="coerce", utc=True)
    return pa.chunked_array([pa.array(moments.dt.as_unit("us"), ARROW_TYPES["timestamp"])])


def _clean_text(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    """Normalise text as the module's docstring says; words for "no value" become null."""
    # Normalising in Python is slow, so it is done once per distinct text that has a character outside of "!" to "~".
    untidy = texts.filter(pc.match_substring_regex(texts, "[^!-~]")).unique()
    if len(untidy):
        tidied = pa.array([_clean_column(text) for text in untidy.to_pylist()], pa.string())
        texts = pc.coalesce(pc.take(tidied, pc.index_in(texts, untidy)), texts)
    nothing = pc.or_(pc.is_in(pc.utf8_lower(texts), _NOTHING), pc.equal(texts, "NA"))
    nothing = pc.or_(nothing, pc.match_substring_regex(texts, _ONLY_MARKS))
    return _keep_texts(texts, pc.invert(nothing))


def _keep_texts(texts: pa.ChunkedArray, kept: pa.ChunkedArray) -> pa.ChunkedArray:
    """Keep the texts for which `kept` is true; the others become null."""
    # (Rejected: None instead of nulls, with which Arrow returns other bytes of an array that is a part of another one.)
    return pc.if_else(kept, texts, pa.nulls(len(texts), pa.string()))


def _clean_column(text: str) -> str:
    # (Rejected: Arrow's utf8_normalize, whose NFC of version 21 decomposes.)
    composed = _INVISIBLE.sub("", unicodedata.normalize("NFC", text))
    return "".join(map(_clean_character, composed)).strip(_BLANKS)


def _clean_character(character: str) -> str:
    """Return a blank for every kind of blank, and nothing for a mark without a picture (a byte order, a direction)."""
    category = unicodedata.category(character)
    if category == "Zs" or character in BLANK_LETTERS:
        return " "
    return "" if category == "Cf" and character not in _BLANKS else character
