"""Turn the bytes of a landed file into rows of text: CSV, JSON lines or Parquet, plain or gzip.

In every format a value is returned as text, which `readers` converts to its type. So the same rules apply to every
format.
"""

from __future__ import annotations

import csv
import io
import json
import re
import zlib
from codecs import BOM_UTF8
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from mlops.contract import DataError, FileFormat
from mlops.contract.text import printable

Row = tuple[int, str, Sequence[str], str]
"""Number of the line in its file, the line as it was landed, its values as the header names them, and the broken rule;
"" if there is none. A row that breaks a rule has no values."""
ROW_RULES = {
    "row:encoding": "bytes that are no text in the source's encoding, or a zero byte",
    "row:control": "a control character",
    "row:csv": "an open quote, or a value in quotes of more than 131,072 characters",
    "row:json": "a line that is no JSON object, or a value that is a list or an object",
    "row:fields": "another number of fields than the header has",
    "row:truncated": "the file ends in the middle of the line",
}
"""Rules about a whole line, with what breaks each of them."""
LONGEST_HEADER = 100_000
"""Largest number of bytes of a header. (Names are compared pairwise: a header of megabytes would take hours.)"""
_EXPANDED = 2**30
"""Largest number of bytes of a file that was compressed with gzip, after it was expanded."""
_SUFFIXES = {"csv": (".csv", ".csv.gz"), "jsonl": (".jsonl", ".jsonl.gz"), "parquet": (".parquet",)}
_MOST_NANOSECONDS = 2**63 - 1
_NO_TEXT = re.compile("[\udc80-\udcff\x00]")
"""Surrogates, to which undecodable bytes are converted, and the zero byte."""
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Lone surrogates, which are no text, and characters that move or hide neighbouring text on a terminal or a page. The
tab is allowed."""
_HEADER = re.compile(rb"[^\r\n]+")
CSV = FileFormat()


@dataclass(frozen=True)
class File:
    """One landed file with its content."""

    name: str
    sha256: str
    size: int
    modified: datetime
    content: bytes
    """As `expand_content` returns it."""
    format: FileFormat = CSV

    @cached_property
    def first_line(self) -> bytes:
        """The first line that is not empty, without line end; b"" if there is none."""
        line = _HEADER.search(self.content, len(BOM_UTF8) if self.content.startswith(BOM_UTF8) else 0)
        return line[0] if line else b""

    @cached_property
    def header(self) -> list[str]:
        """The column names as the file has them; empty if it has none, or its first line is too long for a header."""
        if self.format.kind == "parquet":
            return list(self._table.column_names)
        if self.format.kind == "jsonl":
            return list(dict.fromkeys(name for *_, record in self._records if record for name in record))
        if not 0 < len(self.first_line) <= LONGEST_HEADER:
            return []
        return next(csv.reader([self.first_line.decode("utf-8", "replace")], delimiter=self.format.delimiter))

    def rows(self) -> Iterator[Row]:
        """Yield the rows in the order of the file; empty lines are none."""
        if self.format.kind == "parquet":
            return self._parquet_rows()
        return self._json_rows() if self.format.kind == "jsonl" else self._csv_rows()

    @cached_property
    def _table(self) -> pa.Table:
        return _read_parquet(self.content)

    @cached_property
    def _records(self) -> list[tuple[int, str, str, dict[str, str] | None]]:
        """Number, text, broken rule and object of each line; None: it holds none."""
        lines = _split_lines(self.content, has_header=False)
        return [(number, text, rule, None if rule else _read_record(text)) for number, text, rule in lines]

    def _csv_rows(self) -> Iterator[Row]:
        wanted = len(self.header)
        for number, text, broken in _split_lines(self.content, has_header=True):
            values, rule = ([], broken) if broken else _split_fields(text, wanted, self.format.delimiter)
            yield number, text, values if not rule else [], rule

    def _json_rows(self) -> Iterator[Row]:
        for number, text, broken, record in self._records:
            if record is None:
                yield number, text, [], broken or "row:json"
            else:
                yield number, text, [record.get(name, "") for name in self.header], ""

    def _parquet_rows(self) -> Iterator[Row]:
        texts = [_column_texts(column) for column in self._table.columns]
        for number, values in enumerate(zip(*texts, strict=True), start=1):
            raw = json.dumps(dict(zip(self.header, values, strict=True)), ensure_ascii=False)
            rule = "row:control" if _breaks_line("".join(values)) else ""
            yield number, printable(raw) if rule else raw, [] if rule else values, rule


def has_format(name: str, file_format: FileFormat) -> bool:
    """Whether a file of that name is read as the format: by its ending."""
    return name.endswith(_SUFFIXES[file_format.kind])


def describe_endings(file_format: FileFormat) -> str:
    """Name the endings that are read, as ".csv or .csv.gz"."""
    return " or ".join(_SUFFIXES[file_format.kind])


def expand_content(name: str, landed: bytes, file_format: FileFormat) -> bytes:
    """Return the content of a landed file as plain UTF-8 text, or as Parquet.

    Raises:
        DataError: the gzip stream is broken or expands to more than 1 GiB, the file is no Parquet or has columns of
            lists, or it is no text in its encoding.
    """
    content = _expand_gzip(name, landed) if name.endswith(".gz") else landed
    if file_format.kind == "parquet":
        _check_parquet(name, content)
    elif file_format.encoding != "utf-8":
        # Bytes that the encoding does not have are kept as they are, and break the rule row:encoding.
        try:
            text = content.decode(file_format.encoding, "surrogateescape")
        except UnicodeError as error:  # encodings of several bytes have no way to keep them
            raise DataError(f"{name} is no text in {file_format.encoding}: {error}") from None
        content = text.encode("utf-8", "surrogateescape")
    return content


def _expand_gzip(name: str, landed: bytes) -> bytes:
    parts, size, left = [], 0, landed
    try:
        while left:
            stream = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
            part = stream.decompress(left, _EXPANDED - size + 1)
            size += len(part)
            if size > _EXPANDED:
                raise DataError(f"{name} expands to more than {_EXPANDED:,} bytes: land it in several files")
            if not stream.eof:
                raise DataError(f"{name} ends in the middle of its gzip stream: land it again")
            parts.append(part)
            left = stream.unused_data
    except zlib.error as error:
        raise DataError(f"{name} is no gzip file: {error}") from None
    return b"".join(parts)


def _check_parquet(name: str, content: bytes) -> None:
    try:
        # Read to the end: a file that was damaged in transfer can have an intact footer.
        table = _read_parquet(content)
        table.validate(full=True)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        reason = printable(f"{error} ".splitlines()[0].strip())
        raise DataError(f"{name} is no Parquet file, or is damaged: {reason}: land it again") from None
    for field in table.schema:
        if _is_unreadable(field.type):
            raise DataError(
                f"{name} has column {printable(field.name)} of type {field.type}: only plain values are read"
            )


def _read_parquet(content: bytes) -> pa.Table:
    import pyarrow.parquet as pq

    # Not pq.read_table, which cannot read a file that has a column twice.
    file = pq.ParquetFile(io.BytesIO(content))
    table = file.read()
    if all(file.schema.column(leaf).physical_type != "INT96" for leaf in range(len(file.schema))):
        return table
    # Spark and Hive write moments as INT96, which Arrow reads as nanoseconds: 9999-12-31 would become a day of 1816.
    coarse = pq.ParquetFile(io.BytesIO(content), coerce_int96_timestamp_unit="us").read()
    for place, column in enumerate(coarse.columns):
        if column.type != table.column(place).type and _is_beyond_nanoseconds(column):
            table = table.set_column(place, coarse.schema.field(place), column)
    return table


def _is_beyond_nanoseconds(column: pa.ChunkedArray) -> bool:
    """Whether some moment of a column, in microseconds, lies before 1677 or after 2262."""
    ends = pc.min_max(column.cast(pa.int64())).as_py()
    return any(end is not None and abs(end) > _MOST_NANOSECONDS // 1000 for end in ends.values())


def _is_unreadable(kind: pa.DataType) -> bool:
    """Whether values have no plain text form: lists, bytes, and durations, whose number would not state its unit."""
    checks = (pa.types.is_nested, pa.types.is_binary, pa.types.is_large_binary, pa.types.is_fixed_size_binary)
    return any(check(kind) for check in (*checks, pa.types.is_duration, pa.types.is_interval))


def _split_lines(content: bytes, *, has_header: bool) -> Iterable[tuple[int, str, str]]:
    """Yield number, text and broken rule ("" if none) of every line that is not empty, below the header if it has one.

    LF, CR LF and CR each end a line.
    """
    text = content.decode("utf-8-sig", "surrogateescape")
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    odd = _CONTROL.search(text) is not None
    lines = text.split("\n")
    start = next((number for number, line in enumerate(lines) if line), 0) + 1 if has_header else 0
    for number, line in enumerate(lines[start:], start=start + 1):
        if not line:
            continue
        if number == len(lines) and has_header:  # a JSON object that ends early lacks its end
            yield number, printable(line), "row:truncated"
        elif odd and _CONTROL.search(line):
            yield number, printable(line), "row:encoding" if _NO_TEXT.search(line) else "row:control"
        else:
            yield number, line, ""


def _split_fields(line: str, wanted: int, delimiter: str) -> tuple[list[str], str]:
    """Split a line into its values; returns them with the broken rule, "" if there are `wanted` values."""
    try:
        values = next(csv.reader([line], delimiter=delimiter, strict=True)) if '"' in line else line.split(delimiter)
    except csv.Error:
        return [], "row:csv"
    return values, "" if len(values) == wanted else "row:fields"


def _read_record(line: str) -> dict[str, str] | None:
    """Read a JSON object with its numbers as they are written; None: it is none, or holds lists or objects."""
    try:
        # A name that stands twice in an object has two values, of which neither can be preferred.
        pairs = json.loads(line, parse_float=str, parse_int=str, parse_constant=str, object_pairs_hook=list)
    except (ValueError, RecursionError):
        return None
    is_object = line.lstrip().startswith("{")
    if not is_object or any(isinstance(value, list) for _, value in pairs) or len(dict(pairs)) < len(pairs):
        return None
    texts = {name: _json_text(value) for name, value in pairs}
    return None if any(map(_breaks_line, texts.values())) else texts


def _breaks_line(text: str) -> bool:
    """Whether a value has a character that a field may not have: a control character or a line break."""
    return "\n" in text or _CONTROL.search(text) is not None


def _json_text(value: Any) -> str:
    return {True: "true", False: "false", None: ""}[value] if value is None or isinstance(value, bool) else str(value)


def _column_texts(column: pa.ChunkedArray) -> list[str]:
    """Write the values of a Parquet column as text; missing ones are "", moments UTC (without zone: taken as UTC)."""
    if pa.types.is_timestamp(column.type):
        # Arrow writes the digits of the unit: what is finer than a microsecond stays, and is refused when it is typed.
        if column.type.tz is not None:
            column = pc.cast(column, pa.timestamp(column.type.unit, "UTC"))
        texts = pc.strftime(column, format="%Y-%m-%dT%H:%M:%S", locale="C")
        texts = pc.binary_join_element_wise(texts, "Z", "")
    else:
        texts = pc.cast(column, pa.string())
    return ["" if text is None else text for text in texts.to_pylist()]
