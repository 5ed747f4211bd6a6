"""Files by one path, wherever they are: a local path, or a volume's `/Volumes/<catalog>/<schema>/<volume>/…`.

On Databricks a volume is mounted under that very path. On a laptop it is the same path below the home folder.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from mlops.adapters import platform
from mlops.contract import ConfigError


def local(path: str) -> Path:
    """Where the operating system finds a path.

    Raises:
        ConfigError: the path is not absolute, or climbs out with "..".
    """
    pure = PurePosixPath(path)
    if not pure.is_absolute() or ".." in pure.parts:
        raise ConfigError(
            f"path {path!r} is not absolute or contains '..'; give it as /Volumes/<catalog>/<schema>/<volume>"
        )
    home = platform.home()
    if home is not None and pure.parts[1:2] == ("Volumes",):
        return home / pure.relative_to("/")
    return Path(pure)


def files(path: str) -> Iterator[Path]:
    """The CSV files directly in a folder, by name; none where there is no folder."""
    return iter(sorted(local(path).glob("*.csv")))


def write(path: str, text: str) -> bool:
    """Put a text file in place, whole or not at all. False: it was there already with the same content."""
    target = local(path)
    if target.exists() and target.read_bytes() == text.encode():
        return False
    target.parent.mkdir(parents=True, exist_ok=True)
    half_written = target.with_name(f".{target.name}.part")
    half_written.write_bytes(text.encode())
    half_written.replace(target)
    return True
