"""Write and read one file of a volume, of DBFS or of the file system, as `mlops copy-dbfs` does."""

from __future__ import annotations

import io

from mlops.platform import sdk
from mlops_cli.storage_places import resolve_storage


def write_file(path: str, content: str | bytes) -> None:
    place, inner = resolve_storage(path)
    with sdk.translate_errors(f"writing {path}"):
        place.put(inner, io.BytesIO(content.encode() if isinstance(content, str) else content))


def read_file(path: str) -> bytes:
    place, inner = resolve_storage(path)
    with sdk.translate_errors(f"reading {path}"), place.open(inner) as file:
        return file.read()
