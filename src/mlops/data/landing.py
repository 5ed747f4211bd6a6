"""List the files of the landing folder, and read their content."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from io import BufferedReader
from pathlib import Path

from mlops.contract import DataError, FileFormat, Source
from mlops.contract.text import printable
from mlops.data.file_formats import expand_content, has_format
from mlops.platform import storage

MARKER = re.compile(r"_SUCCESS|_(started|committed)_\d+|\..*\.crc")
"""Names of the marker files that Spark writes into a folder; they are skipped without a message."""
CHECKPOINTS = "_checkpoints"
"""Folder of the landing volume in which streams remember what they took; no source's name begins with _."""
ARCHIVED = "_archived"
"""Folder of the landing volume to which ingestion moves files that were read, after `Policy.archive_after`."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


Entry = os.DirEntry[str]
KnownFile = tuple[str, str, int, datetime]
"""Source, name, size and time of a file, by which a file that was read is told from one that is new."""


@dataclass(frozen=True, slots=True)
class LandedFile:
    """One file of a source, as the landing folder lists it."""

    name: str
    """Path below the source's folder, as `2013/01/a.csv`."""
    source: str
    path: Path
    size: int
    modified: datetime

    @property
    def identity(self) -> KnownFile:
        """What the ledger knows a file by that was read; the digest of its content decides about any other."""
        return self.source, self.name, self.size, self.modified

    @property
    def memory(self) -> int:
        """Bytes of its content, about ten times its size if it is compressed."""
        return self.size * (10 if self.name.endswith((".gz", ".parquet")) else 1)

    @contextmanager
    def open_bytes(self) -> Iterator[BufferedReader]:
        """Open the file as it was landed, and check at the end that it is what was listed.

        Raises:
            DataError: the file cannot be read, was deleted or was changed.
        """
        try:
            with self.path.open("rb") as stream:
                yield stream
                stat = os.fstat(stream.fileno())
        except FileNotFoundError:
            raise DataError(
                f"{self.source}/{self.name} was deleted or renamed after ingestion listed it: run ingestion again; if "
                "its rows are wanted, land it first"
            ) from None
        except OSError as error:
            raise DataError(f"{self.source}/{self.name} cannot be read: {error.strerror}") from None
        if not self.is_unchanged(stat):
            raise self.make_change_error()

    def is_unchanged(self, stat: os.stat_result) -> bool:
        """Whether a file has the size and the time with which this one was listed."""
        return (stat.st_size, _find_modified(stat)) == (self.size, self.modified)

    def make_change_error(self) -> DataError:
        """Make the error about a file that is not the one that was listed or surveyed."""
        return DataError(
            f"{self.source}/{self.name} was changed after ingestion listed it with {self.size:,} bytes: run ingestion "
            "again when it is complete; a file that is written under a name that begins with a dot, and renamed at "
            "the end, is never read half"
        )

    def compute_digest(self) -> str:
        """Compute the sha256 of the file without holding its content; raises as `open_bytes`."""
        with self.open_bytes() as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()

    def read_content(self, file_format: FileFormat) -> tuple[bytes, str]:
        """Read the content as plain text or Parquet; returns it with the sha256 of the file as it was landed.

        Raises:
            DataError: the file cannot be read, or was deleted or changed since it was listed.
        """
        with self.open_bytes() as stream:
            content = stream.read()
        name = f"{self.source}/{self.name}"
        return expand_content(name, content, file_format), hashlib.sha256(content).hexdigest()


def list_files(landing: str, sources: Sequence[Source]) -> tuple[list[LandedFile], list[str]]:
    """List the files of the sources, with one call to the file system per folder and one per file.

    Args:
        landing: the landing folder.
        sources: the sources; files of one are in its folder and the folders below, by the endings of its format.

    Returns:
        Files, sorted by name, and the names of entries that are not read: other endings, hidden files and folders,
        unknown sources.
    """
    names = {source.name for source in sources}
    unread = [
        f"{printable(entry.name)} (no source's folder)"
        for entry in storage.list_entries(landing)
        if entry.name not in {*names, CHECKPOINTS, ARCHIVED} or not entry.is_dir()
    ]
    files = []
    for source in sources:
        landed, others = list_source(f"{landing}/{source.name}", source)
        files += landed
        unread += others
    return sorted(files, key=lambda file: (file.name, file.source)), unread


def list_source(folder: str, source: Source) -> tuple[list[LandedFile], list[str]]:
    """List the files of a source in a folder, and the names of entries that are not read."""
    files, unread = [], []
    for name, entry in _list_tree(storage.list_entries(folder), ""):
        if MARKER.fullmatch(entry.name):
            continue
        # Names with . or ~ are hidden files, macOS resource forks and editor locks.
        if entry.name.startswith((".", "~")) or not entry.is_file() or not has_format(entry.name, source.files):
            unread.append(f"{source.name}/{name}{' (a folder)' if entry.is_dir() else ''}")
            continue
        with suppress(FileNotFoundError):  # deleted since its folder was listed
            stat = entry.stat()
            files.append(LandedFile(name, source.name, Path(entry.path), stat.st_size, _find_modified(stat)))
    return files, unread


def _find_modified(stat: os.stat_result) -> datetime:
    return _EPOCH + timedelta(microseconds=stat.st_mtime_ns // 1000)


def _list_tree(entries: Sequence[Entry], above: str) -> Iterator[tuple[str, Entry]]:
    """Yield the printable name of every file below a folder, and of hidden folders, which are not entered.

    A name need not be UTF-8, and it can contain a line break.
    """
    for entry in entries:
        name = f"{above}{printable(entry.name)}"
        if entry.is_dir(follow_symlinks=False) and not entry.name.startswith((".", "~")):
            yield from _list_tree(storage.scan_folder(entry.path), f"{name}/")
        else:
            yield name, entry
