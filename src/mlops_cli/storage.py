"""List and copy files of volumes, DBFS root and the file system, also from outside of Databricks.

Paths are those of `mlops.platform.storage`. The Files API reaches a volume that is not mounted. DBFS root works, with a
warning, so that its content can be looked at and moved: `mlops copy-dbfs`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from tempfile import SpooledTemporaryFile
from typing import IO, BinaryIO, cast

from mlops.contract import MlopsError
from mlops.platform import sdk
from mlops_cli.storage_places import CHUNK, Place, resolve_storage


def list_tree(path: str) -> tuple[tuple[str, int], ...]:
    """List every file below a folder, at any depth, by name: its path below the folder and its bytes."""
    place, inner = resolve_storage(path)
    with sdk.translate_errors(f"listing {path}"):
        return tuple(sorted(place.below(inner)))


@dataclass(frozen=True)
class Copied:
    """The result of a copy, of which every file was read back after writing."""

    copied: int
    there: int
    """Number of files that existed before with the same content."""
    size: int


def copy_folder(source: str, target: str, say: Callable[[str], None]) -> Copied:
    """Copy a folder with all files below it; existing files with the same content stay, so a repeat continues.

    Every file's sha256 is computed while it is read, and again from the written file.

    Args:
        source: a folder; of DBFS, a volume or the file system.
        target: a folder; created if needed.
        say: called with one line per file.

    Raises:
        MlopsError: the source has no file; a target file exists with another content, and is
            kept; or a written file reads back differently.
    """
    (from_, start), (to, end) = resolve_storage(source), resolve_storage(target)
    files = list_tree(source)
    if not files:
        raise MlopsError(f"{source} holds no file, or is not there: name a folder that has some")
    copied = 0
    for name, size in files:
        with sdk.translate_errors(f"copying {name} from {source} to {target}"):
            fresh = _copy_one((from_, f"{start}/{name}", size), (to, f"{end}/{name}"))
        copied += fresh
        say(f"{'copied' if fresh else 'was there'}  {size:>12,}  {name}")
    return Copied(copied, len(files) - copied, sum(size for _, size in files))


def _copy_one(source: tuple[Place, str, int], target: tuple[Place, str]) -> bool:
    """Copy one file; returns False if it existed with the same content."""
    (from_, path, size), (to, destination) = source, target
    with SpooledTemporaryFile(max_size=64 * CHUNK) as buffer, from_.open(path) as file:
        digest = _digest_file(file, into=cast("BinaryIO", buffer))
        if buffer.tell() != size:
            raise MlopsError(f"{path} has {buffer.tell()} bytes and had {size} when it was listed: copy again")
        existing_size = to.size(destination)
        if existing_size is None:
            buffer.seek(0)
            to.put(destination, cast("BinaryIO", buffer))
    with to.open(destination) as written:
        same = _digest_file(written) == digest
    if same:
        return existing_size is None
    if existing_size is None:
        raise MlopsError(f"{destination} reads back differently from what was written: delete it and copy again")
    raise MlopsError(f"{destination} is there with another content: delete it, or copy to another folder")


def _digest_file(file: IO[bytes], into: BinaryIO | None = None) -> str:
    total = hashlib.sha256()
    while block := file.read(CHUNK):
        total.update(block)
        if into is not None:
            into.write(block)
    return total.hexdigest()
