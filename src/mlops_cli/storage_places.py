"""Disk, volumes and DBFS root, each with the same four operations."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, Any, BinaryIO, Protocol, cast

from mlops.contract import MlopsError
from mlops.platform import runtime, sdk
from mlops.platform.storage import INSTEAD, is_local, normalise_path

if TYPE_CHECKING:
    from databricks.sdk import WorkspaceClient


CHUNK = 1 << 20
"""Bytes."""


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


def resolve_storage(path: str) -> tuple[Place, str]:
    """Find the kind of storage that a path is of; returns it and the absolute path there."""
    """Find the kind of storage that a path is of; returns it and the absolute path there."""
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
            while block := content.read(CHUNK):
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
