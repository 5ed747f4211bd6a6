"""Find, list and write the files of tasks. All functions take the same three kinds of path.

* `/Volumes/<catalog>/<schema>/<volume>/…`, also written `dbfs:/Volumes/…`: on Databricks a volume is mounted under that
  very path, on a laptop it is the same path below the home folder.
* `dbfs:/…` or `/dbfs/…`: DBFS root, which is deprecated and which serverless compute cannot read.
* any other absolute path: the file system.

`mlops_cli.storage` reaches volumes and DBFS root from outside of Databricks.
"""

from __future__ import annotations

import os
import re
from pathlib import Path, PurePosixPath

from mlops.contract import ConfigError
from mlops.platform import runtime

_NAME = re.compile(r"[A-Za-z0-9_]{1,255}")
_DBFS = re.compile(r"dbfs:|/dbfs(?=/|$)")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
INSTEAD = "use a volume, /Volumes/<catalog>/<schema>/<volume>, and move what is there: mlops copy-dbfs SRC DST"


def resolve_local_path(path: str) -> Path:
    """Return the local path of a file or folder; on a laptop volumes and DBFS root are folders of the home.

    Raises:
        ConfigError: the path is not absolute, climbs out with "..", names a volume that Unity Catalog would refuse, or
            is on DBFS root, which is mounted nowhere that our jobs run.
    """
    kind, clean = normalise_path(path)
    home = runtime.home()
    if home is not None and kind != "disk":
        return home / kind / PurePosixPath(clean).relative_to("/Volumes" if kind == "Volumes" else "/")
    if kind == "dbfs":
        raise ConfigError(f"{path!r} is on DBFS root, which serverless compute cannot read; {INSTEAD}")
    return Path(clean)


def list_entries(path: str) -> list[os.DirEntry[str]]:
    """List the entries of a folder by name, hidden ones included; empty if there is no folder."""
    return scan_folder(str(resolve_local_path(path)))


def scan_folder(folder: str) -> list[os.DirEntry[str]]:
    """As `list_entries`, of a folder by its local path."""
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except (FileNotFoundError, NotADirectoryError):
        return []


def write_text(path: str, text: str) -> bool:
    """Write a file completely or not at all; returns False if it exists with the same content.

    Raises:
        ConfigError: as `resolve_local_path`, or the volume of the path does not exist: its folder is never made here.
    """
    file, data = resolve_local_path(path), text.encode()
    if runtime.home() is None and file.parts[1:2] == ("Volumes",) and not (volume := Path(*file.parts[:5])).is_dir():
        raise ConfigError(
            f"there is no volume {volume}: create it, or, if this machine is not logged in to a workspace, name a home "
            "by LAPTOP_HOME"
        )
    if file.is_file() and file.read_bytes() == data:
        return False
    file.parent.mkdir(parents=True, exist_ok=True)
    half_written = file.with_name(f".{file.name}.part")
    half_written.write_bytes(data)
    half_written.replace(file)
    return True


def normalise_path(path: str) -> tuple[str, str]:
    """Return the kind of storage of a path (Volumes, dbfs, disk), and the path within it."""
    prefix = _DBFS.match(path)
    kind, text = ("dbfs", path[prefix.end() :] or "/") if prefix else ("disk", path)
    pure = PurePosixPath(text)
    if not pure.is_absolute() or ".." in pure.parts or _CONTROL.search(text):
        raise ConfigError(
            f"path {path!r} is not absolute, or contains '..' or a control character; "
            "give it as /Volumes/<catalog>/<schema>/<volume>"
        )
    if pure.parts[1:2] != ("Volumes",):
        return kind, str(pure)
    names = pure.parts[2:5]
    if len(names) < 3 or not all(_NAME.fullmatch(name) for name in names):
        raise ConfigError(
            f"path {path!r} names no volume: it is /Volumes/<catalog>/<schema>/<volume>, each of letters, digits and "
            "underscores, at most 255"
        )
    if any(len(part.encode()) > 255 for part in pure.parts):
        raise ConfigError(f"path {path!r} has a part of more than 255 bytes: shorten it")
    return "Volumes", str(pure)
