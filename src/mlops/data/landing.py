"""List the new files of the landing folder, and read their content."""

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
    """One CSV file of a source, as the landing folder lists it."""

    name: str
    source: str
    path: Path
    size: int
    modified: datetime

    def read_content(self) -> tuple[bytes, str]:
        """Read the content; returns it with its sha256.

        Raises:
            DataError: the file cannot be read.
        """
        try:
            content = self.path.read_bytes()
        except OSError as error:
            raise DataError(f"{self.source}/{self.name} cannot be read: {error.strerror}") from None
        return content, hashlib.sha256(content).hexdigest()


def list_new_files(
    landing: str, sources: Collection[str], seen: Collection[tuple[str, str, int, datetime]]
) -> tuple[list[LandedFile], list[str]]:
    """List the files of the sources that were not seen before.

    Args:
        landing: the landing folder.
        sources: names of the sources.
        seen: source, name, size and modification time of files seen before. They are skipped so that an hourly run does
            not read a year of files again; the digest of a file's content decides whether the content is known.

    Returns:
        New files, sorted by name, and the names of entries that are not read: other endings, folders, unknown sources.
    """
    new = []
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
                new.append(LandedFile(_name(path), source, path, stat.st_size, modified))
    return sorted(new), unread


def _is_read(path: Path) -> bool:
    """Whether ingestion reads the file: names with . or ~ are hidden files, macOS resource forks and editor locks."""
    return path.suffix == ".csv" and not path.name.startswith((".", "~")) and path.is_file()


def _name(path: Path) -> str:
    """Make a file name printable: a name need not be UTF-8, and it can contain a line break."""
    return printable(path.name)


def split_into_batches(files: Sequence[LandedFile], limit: int) -> list[list[LandedFile]]:
    """Split files into runs of at most `limit` bytes, or of one larger file. A run is held in memory at once."""
    runs: list[list[LandedFile]] = []
    size = 0
    for file in files:
        if not runs or size + file.size > limit:
            runs.append([])
            size = 0
        runs[-1].append(file)
        size += file.size
    return runs
