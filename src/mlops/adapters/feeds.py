"""Landed files of the sources: which are new, and their content."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from mlops.adapters import storage

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, order=True)
class Landed:
    """A CSV file of a source as the folder lists it."""

    name: str
    source: str
    path: Path
    size: int
    modified: datetime

    def read(self) -> tuple[bytes, str]:
        """Its content, and the content's sha256."""
        content = self.path.read_bytes()
        return content, hashlib.sha256(content).hexdigest()


def landed(landing: str, sources: Iterable[str], seen: Collection[tuple[str, str, int, datetime]]) -> list[Landed]:
    """Files of the sources by name, but for those seen before: same source, name, size and moment of change.

    That only spares reading a year of files again every hour; whether a file's content is known, its digest says.
    """
    found = []
    for source in sources:
        for path in filter(Path.is_file, storage.files(f"{landing}/{source}")):
            stat = path.stat()
            modified = _EPOCH + timedelta(microseconds=stat.st_mtime_ns // 1000)
            if (source, path.name, stat.st_size, modified) not in seen:
                found.append(Landed(path.name, source, path, stat.st_size, modified))
    return sorted(found)


def deliveries(files: Sequence[Landed], limit: int) -> list[list[Landed]]:
    """Cut files into runs of at most `limit` bytes in all, or one larger file: what is held in memory at once."""
    runs: list[list[Landed]] = []
    size = 0
    for file in files:
        if not runs or size + file.size > limit:
            runs.append([])
            size = 0
        runs[-1].append(file)
        size += file.size
    return runs
