"""Disk, volumes and DBFS root with the same four operations."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, Any, BinaryIO, Protocol, cast

from mlops.contract import MlopsError
from mlops.platform import runtime, sdk
from mlops.platform.storage import INSTEAD, normalise_path, resolve_local_path

if TYPE_CHECKING:
    from databricks.sdk import WorkspaceClient


CHUNK = 1 << 20
"""Bytes."""


class Place(Protocol):
    """One kind of storage. Its paths are absolute and have been checked."""

    def size(self, path: str) -> int | None:
        """Return the size of a file in bytes; None: there is no file."""
        ...

    def below(self, path: str) -> Iterator[tuple[str, int]]:
        """Yield every file below a folder, at any depth: its path below the folder, and its bytes."""
        ...

    def open(self, path: str) -> IO[bytes]:
        """Open a file for reading; the caller closes it."""
        ...

    def put(self, path: str, content: BinaryIO) -> None:
        """Write a file atomically; it replaces an existing one."""
        ...


def resolve_storage(path: str) -> tuple[Place, str]:
    """Find the storage of a path; returns it and the absolute path in it."""
    """Find the storage of a path; returns it and the absolute path in it."""
    kind, clean = normalise_path(path)
    if kind == "dbfs":
        logging.getLogger("mlops.storage").warning("%s is on DBFS root, which is deprecated; %s", path, INSTEAD)
    if kind == "disk" or runtime.home() is not None:
        return _Disk(), str(resolve_local_path(path))
    if kind == "dbfs":
        return _Dbfs(sdk.workspace_client()), clean
    # The volume itself is checked, not /Volumes, where macOS mounts disks.
    if Path(*PurePosixPath(clean).parts[:5]).is_dir():
        return _Disk(), clean
    return _Volume(sdk.workspace_client()), clean


class _Disk:
    """Files of the file system."""

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
    """Yield path and bytes of each file below a folder; `folder` is the attribute that marks an entry as a folder."""
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
    """Files of a volume through the Files API, whose upload is atomic."""

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
    """Files of DBFS root through its API, in blocks of a megabyte."""

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
