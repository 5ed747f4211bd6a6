"""Read, write and copy files of volumes, DBFS root and the file system, also from outside of Databricks.

Paths are those of `mlops.platform.storage`. The Files API reaches a volume that is not mounted. DBFS root works, with a
warning, so that its content can be looked at and moved: `mlops copy-dbfs`.
"""

from __future__ import annotations

import hashlib
import io
import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from tempfile import SpooledTemporaryFile
from typing import IO, TYPE_CHECKING, Any, BinaryIO, Protocol, cast

from mlops.contract import MlopsError
from mlops.platform import runtime, sdk
from mlops.platform.storage import INSTEAD, is_local, normalise_path

if TYPE_CHECKING:
    from databricks.sdk import WorkspaceClient

_CHUNK = 1 << 20


class Place(Protocol):
    """One kind of storage. Paths are absolute there, and have been checked."""

    def size(self, path: str) -> int | None:
        """Bytes of a file; None where there is no file."""
        ...

    def below(self, path: str) -> Iterator[tuple[str, int]]:
        """Every file below a folder, at any depth: its path below it, and bytes; none where there is no folder."""
        ...

    def open(self, path: str) -> IO[bytes]:
        """A file to read from its start; the caller closes it."""
        ...

    def put(self, path: str, content: BinaryIO) -> None:
        """Put a file in place, whole or not at all, over one that is there."""
        ...


def list_tree(path: str) -> tuple[tuple[str, int], ...]:
    """List every file below a folder, at any depth, by name: its path below the folder and its bytes."""
    place, inner = _resolve_storage(path)
    with sdk.translate_errors(f"listing {path}"):
        return tuple(sorted(place.below(inner)))


def read_file(path: str) -> bytes:
    """A file's content.

    Raises:
        MlopsError: there is no such file, or it may not be read.
    """
    place, inner = _resolve_storage(path)
    with sdk.translate_errors(f"reading {path}"), place.open(inner) as file:
        return file.read()


def write_file(path: str, content: str | bytes) -> bool:
    """Write a file completely or not at all; returns False if it exists with the same content."""
    data = content.encode() if isinstance(content, str) else content
    place, inner = _resolve_storage(path)
    with sdk.translate_errors(f"writing {path}"):
        if place.size(inner) == len(data):
            with place.open(inner) as file:
                if file.read() == data:
                    return False
        place.put(inner, io.BytesIO(data))
    return True


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
        target: a folder, made if it is not there.
        say: called with one line per file.

    Raises:
        MlopsError: the source has no file; a target file has another content, and is left alone; or what was written
            reads back differently.
    """
    (from_, start), (to, end) = _resolve_storage(source), _resolve_storage(target)
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
    with SpooledTemporaryFile(max_size=64 * _CHUNK) as buffer, from_.open(path) as file:
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
    while block := file.read(_CHUNK):
        total.update(block)
        if into is not None:
            into.write(block)
    return total.hexdigest()


def _resolve_storage(path: str) -> tuple[Place, str]:
    kind, clean = normalise_path(path)
    if kind == "dbfs":
        logging.getLogger("mlops.storage").warning("%s is on DBFS root, which is deprecated; %s", path, INSTEAD)
    if kind == "disk" or runtime.home() is not None:
        return _Disk(), str(is_local(path))
    if kind == "dbfs":
        return _Dbfs(sdk.workspace_client()), clean
    # The volume itself, not /Volumes: macOS keeps its disks there.
    if Path(*PurePosixPath(clean).parts[:5]).is_dir():
        return _Disk(), clean
    return _Volume(sdk.workspace_client()), clean


class _Disk:
    """The file system."""

    def size(self, path: str) -> int | None:
        file = Path(path)
        return file.stat().st_size if file.is_file() else None

    def below(self, path: str) -> Iterator[tuple[str, int]]:
        for file in Path(path).rglob("*"):
            if file.is_file():
                yield file.relative_to(path).as_posix(), file.stat().st_size

    def open(self, path: str) -> IO[bytes]:
        try:
            return Path(path).open("rb")
        except OSError as error:
            raise MlopsError(f"cannot read {path}: {error.strerror}") from None

    def put(self, path: str, content: BinaryIO) -> None:
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        half_written = target.with_name(f".{target.name}.part")
        with half_written.open("wb") as file:
            while block := content.read(_CHUNK):
                file.write(block)
        half_written.replace(target)


def _walk_folder(path: str, entries: Callable[[str], Iterable[Any]], folder: str) -> Iterator[tuple[str, int]]:
    """Path below a folder and bytes of each file in it; `folder` is the attribute that tells a folder from a file."""
    from databricks.sdk.errors import NotFound

    folders = [path]
    while folders:
        try:
            for entry in entries(folders.pop()):
                if getattr(entry, folder):
                    folders.append(entry.path or "")
                else:
                    yield str(PurePosixPath(entry.path or "").relative_to(path)), entry.file_size or 0
        except NotFound:
            return


class _Volume:
    """A volume through the Files API, whose upload puts a file in place whole or not at all."""

    def __init__(self, client: WorkspaceClient) -> None:
        self._files = client.files

    def size(self, path: str) -> int | None:
        from databricks.sdk.errors import NotFound

        try:
            return int(self._files.get_metadata(path).content_length or 0)
        except NotFound:
            return None

    def below(self, path: str) -> Iterator[tuple[str, int]]:
        return _walk_folder(path, self._files.list_directory_contents, "is_directory")

    def open(self, path: str) -> IO[bytes]:
        return cast("IO[bytes]", self._files.download(path).contents)

    def put(self, path: str, content: BinaryIO) -> None:
        self._files.create_directory(str(PurePosixPath(path).parent))
        self._files.upload(path, content, overwrite=True)


class _Dbfs:
    """DBFS root through its own API, in blocks of a megabyte."""

    def __init__(self, client: WorkspaceClient) -> None:
        self._dbfs = client.dbfs

    def size(self, path: str) -> int | None:
        from databricks.sdk.errors import NotFound

        try:
            status = self._dbfs.get_status(path)
        except NotFound:
            return None
        return None if status.is_dir else int(status.file_size or 0)

    def below(self, path: str) -> Iterator[tuple[str, int]]:
        return _walk_folder(path, self._dbfs.list, "is_dir")

    def open(self, path: str) -> IO[bytes]:
        return cast("IO[bytes]", self._dbfs.download(path))

    def put(self, path: str, content: BinaryIO) -> None:
        half_written = f"{path}.part"
        self._dbfs.upload(half_written, content, overwrite=True)
        if self.size(path) is not None:
            self._dbfs.delete(path)
        self._dbfs.move(half_written, path)
