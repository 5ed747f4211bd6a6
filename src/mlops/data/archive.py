"""Move files that were read out of the landing folder, and list them where a table is to be filled again."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from errno import EBUSY, EEXIST, EINVAL
from pathlib import Path

from mlops.contract import Source
from mlops.data.landing import ARCHIVED, LandedFile, list_source
from mlops.platform import storage

_MOST_MOVED = 1000
"""Largest number of files that one run moves, so that the first run with `archive_after` does not take an hour."""


def list_archived(landing: str, sources: Sequence[Source]) -> tuple[list[LandedFile], list[str]]:
    """List the archived files of sources, and the names of those that are not read; as `landing.list_files`."""
    files, unread = [], []
    for source in sources:
        of_source, others = list_source(f"{landing}/{ARCHIVED}/{source.name}", source)
        files += of_source
        unread += [f"{ARCHIVED}/{name}" for name in others]
    return files, unread


def archive_files(landing: str, files: Sequence[LandedFile], before: datetime) -> tuple[int, list[str]]:
    """Move files to `_archived/<source>` under their names; at most 1,000, the oldest first.

    Args:
        landing: the landing folder.
        files: listed files whose rows are in their tables.
        before: a file that was changed at this moment or later stays.

    Returns:
        How many were moved, and of each one that had to stay its name and the reason.
    """
    moved, stayed = 0, []
    for file in sorted((file for file in files if file.modified < before), key=lambda file: file.modified):
        folder = storage.resolve_local_path(f"{landing}/{file.source}")
        if not file.path.is_relative_to(folder):
            continue  # it is archived already
        try:
            _move_file(file, storage.resolve_local_path(f"{landing}/{ARCHIVED}/{file.source}"), folder)
        except FileNotFoundError:
            continue  # deleted since it was listed
        except OSError as error:
            stayed.append(f"{file.source}/{file.name} ({error.strerror or error})")
            continue
        moved += 1
        with suppress(OSError):  # a folder is not empty
            for parent in file.path.relative_to(folder).parents[:-1]:
                (folder / parent).rmdir()
        if moved == _MOST_MOVED:
            break
    return moved, stayed


def _move_file(file: LandedFile, archived: Path, folder: Path) -> None:
    """Move a file that is the one that was listed; raises OSError if it stays.

    A file that replaces it between the last two calls, and is as long, is taken for it.
    """
    if file.path.is_symlink():
        raise OSError(EINVAL, "it is a link")
    if not file.is_unchanged(file.path.stat()):
        raise OSError(EBUSY, "it was changed, and is read by the next run")
    name = file.path.relative_to(folder)
    target = archived / name
    if os.path.lexists(target):  # an earlier file of its name
        target = archived / f"{file.modified:%Y%m%dT%H%M%S.%f}" / name
    if os.path.lexists(target):
        raise OSError(EEXIST, f"{ARCHIVED} has it already")
    target.parent.mkdir(parents=True, exist_ok=True)
    file.path.rename(target)
    if target.stat().st_size != file.size and not os.path.lexists(file.path):
        target.rename(file.path)
        raise OSError(EBUSY, "it was changed, and is read by the next run")
