"""Landed files of the sources: which are new, and their content."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from mlops.contract import DataError
from mlops.contract.text import printable
from mlops.platform import storage

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, order=True)
class LandedFile:
    """A CSV file of a source as the folder lists it."""

    name: str
    source: str
    path: Path
    size: int
    modified: datetime

    def read_content(self) -> tuple[bytes, str]:
        """Its content, and the content's sha256.

        Raises:
            DataError: it cannot be read.
        """
        try:
            content = self.path.read_bytes()
        except OSError as error:
            raise DataError(f"{self.source}/{self.name} cannot be read: {error.strerror}") from None
        return content, hashlib.sha256(content).hexdigest()


def list_new_files(
    landing: str, sources: Collection[str], seen: Collection[tuple[str, str, int, datetime]]
) -> tuple[list[LandedFile], list[str]]:
    """Files of the sources by name, but for those seen before: same source, name, size and moment of change.

    That only spares reading a year of files again every hour; whether a file's content is known, its digest says.

    Also what else lies in the landing folder and is not read, by name: another ending, a folder, no source's.
    """
    found = []
    unread = [
        f"{_name(path)} (no source's folder)"
        for path in storage.list_entries(landing)
        if path.name not in sources or not path.is_dir()
    ]
    for source in sources:
        for path in storage.list_entries(f"{landing}/{source}"):
            if not _is_read(path):
                unread.append(f"{source}/{_name(path)}{' (a folder)' if path.is_dir() else ''}")
                continue
            stat = path.stat()
            modified = _EPOCH + timedelta(microseconds=stat.st_mtime_ns // 1000)
            if (source, _name(path), stat.st_size, modified) not in seen:
                found.append(LandedFile(_name(path), source, path, stat.st_size, modified))
    return sorted(found), unread


def _is_read(path: Path) -> bool:
    """Names that begin so are hidden files, resource forks of macOS, and locks of editors."""
    return path.suffix == ".csv" and not path.name.startswith((".", "~")) and path.is_file()


def _name(path: Path) -> str:
    """As it can be written anywhere: a name need not be UTF-8, nor one line."""
    return printable(path.name)


def split_into_batches(files: Sequence[LandedFile], limit: int) -> list[list[LandedFile]]:
    """Cut files into runs of at most `limit` bytes in all, or one larger file: what is held in memory at once."""
    runs: list[list[LandedFile]] = []
    size = 0
    for file in files:
        if not runs or size + file.size > limit:
            runs.append([])
            size = 0
        runs[-1].append(file)
        size += file.size
    return runs
