"""Cut landed files into parts that end at line ends, so that no process holds a large file whole.

A field cannot contain a line break (`readers`), so every LF ends a line, also one between quotes. A part is
read by the same functions as a whole file: as a file of its own, with the header before its first line.

Only UTF-8 text is cut in the landing folder. Files of gzip and of other encodings are read whole and their text is cut,
a Parquet file is one part. A file whose lines end with CR alone is one part, too.
"""

from __future__ import annotations

import hashlib
import io
import json
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import BinaryIO

from mlops.contract import FileFormat
from mlops.data.file_formats import File
from mlops.data.landing import LandedFile

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Part:
    """Lines of a file that follow each other."""

    start: int
    """Position of the first byte in the file's text."""
    end: int
    """Position behind the last byte."""
    lines_before: int
    """Number of lines of the file before the part."""
    checksum: int
    """CRC-32 of its bytes: a part that was overwritten meanwhile is not read as the file that was surveyed."""


@dataclass(frozen=True)
class Survey:
    """A file's digest, its columns and its parts."""

    sha256: str
    """Of the file as it was landed."""
    head: bytes
    """Content of a file that has the same header and no row."""
    parts: tuple[Part, ...]


def can_cut(name: str, file_format: FileFormat) -> bool:
    """Whether bytes of the file as it was landed are text that can be cut at LF."""
    return file_format.kind != "parquet" and file_format.encoding == "utf-8" and not name.endswith(".gz")


def survey_file(landed: LandedFile, file_format: FileFormat, size: int) -> Survey:
    """Read a file once to find its digest, its header and its parts of about `size` bytes.

    Raises:
        DataError: the file cannot be read, or was deleted or changed since it was listed.
    """
    if can_cut(landed.name, file_format):
        digest = hashlib.sha256()
        with landed.open_bytes() as stream:
            head, parts = _survey_pieces(_hash_pieces(cut_lines(stream, size), digest), file_format)
        return Survey(digest.hexdigest(), head, parts)
    content, sha256 = landed.read_content(file_format)
    if file_format.kind == "parquet":
        return Survey(sha256, _drop_rows(content), (Part(0, len(content), 0, zlib.crc32(content)),))
    head, parts = _survey_pieces(cut_lines(io.BytesIO(content), size), file_format)
    return Survey(sha256, head, parts)


def cut_lines(stream: BinaryIO, size: int) -> Iterator[bytes]:
    """Yield a stream in pieces of at least `size` bytes, each but the last one with LF at its end."""
    while piece := stream.read(size):
        yield piece if piece.endswith(b"\n") else piece + stream.readline()


def _hash_pieces(pieces: Iterable[bytes], digest: hashlib._Hash) -> Iterator[bytes]:
    for piece in pieces:
        digest.update(piece)
        yield piece


def _survey_pieces(pieces: Iterable[bytes], file_format: FileFormat) -> tuple[bytes, tuple[Part, ...]]:
    """Find the head and the parts of a text; its first part has the header."""
    head, names = b"", dict[str, None]()
    parts: list[Part] = []
    start = end = lines = lines_before = checksum = 0
    for piece in pieces:
        file = _as_file(b"\n" + piece if end else piece, file_format)  # U+FEFF is a mark at the file's start alone
        end += len(piece)
        checksum = zlib.crc32(piece, checksum)
        lines += piece.count(b"\n") + piece.count(b"\r") - piece.count(b"\r\n")
        if file_format.kind == "jsonl":
            names |= dict.fromkeys(file.header)
        elif not head:
            head = file.first_line
            if not head:  # empty lines before the header
                continue
        parts.append(Part(start, end, lines_before, checksum))
        start, lines_before, checksum = end, lines, 0
    if file_format.kind == "jsonl":
        head = json.dumps(dict.fromkeys(names, "")).encode() if names else b""
    return (b"\n" + head + b"\n" if head else b""), tuple(parts)


def read_parts(landed: LandedFile, file: File, parts: Sequence[Part]) -> Iterator[tuple[File, int]]:
    """Read parts of a file, each as a file with the same header; yields also what to add to its line numbers.

    Args:
        landed: the file in the landing folder.
        file: the same with its head as content.
        parts: some of its parts; all of them if the file cannot be cut.

    Raises:
        DataError: the file cannot be read, or was deleted or changed since it was surveyed.
    """
    if not can_cut(landed.name, file.format):
        content, _ = landed.read_content(file.format)
        yield from _make_files(landed, file, parts, io.BytesIO(content))
        return
    with landed.open_bytes() as stream:
        yield from _make_files(landed, file, parts, stream)


def _make_files(landed: LandedFile, file: File, parts: Sequence[Part], stream: BinaryIO) -> Iterator[tuple[File, int]]:
    for part in parts:
        stream.seek(part.start)
        content = stream.read(part.end - part.start)
        if zlib.crc32(content) != part.checksum:
            raise landed.make_change_error()
        before = b"" if not part.start else file.content if file.format.kind == "csv" else b"\n"
        shift = part.lines_before - before.count(b"\n")
        yield File(file.name, file.sha256, file.size, file.modified, before + content, file.format), shift


def _as_file(content: bytes, file_format: FileFormat) -> File:
    return File("", "", len(content), _EPOCH, content, file_format)


def _drop_rows(content: bytes) -> bytes:
    """Make a Parquet file of the same columns and no row."""
    import pyarrow.parquet as pq

    out = io.BytesIO()
    pq.write_table(pq.ParquetFile(io.BytesIO(content)).schema_arrow.empty_table(), out)
    return out.getvalue()
