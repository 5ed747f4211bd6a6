"""Sets working directory and import path for a task's file. Both belong to the process: one file at a time."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Lock

_alone = Lock()


@contextmanager
def work_beside(file: Path, arguments: Sequence[str]) -> Iterator[None]:
    """Work in the folder of a file; afterwards drop the modules imported from there and from paths that it added."""
    with _alone:
        folder, path, argv, known = Path.cwd(), list(sys.path), list(sys.argv), set(sys.modules)
        os.chdir(file.parent)
        sys.path.insert(0, str(file.parent))
        sys.argv = [str(file), *arguments]
        try:
            yield
        finally:
            added = [Path(place).resolve() for place in sys.path if place not in path]
            os.chdir(folder)
            sys.path[:], sys.argv = path, argv
            for name in set(sys.modules) - known:
                origin = getattr(sys.modules[name], "__file__", None)
                if origin and _belongs_to(Path(origin).resolve(), added):
                    del sys.modules[name]


def _belongs_to(module: Path, places: Sequence[Path]) -> bool:
    installed = module.is_relative_to(Path(sys.prefix).resolve()) or module.is_relative_to(sys.base_prefix)
    return not installed and any(module.is_relative_to(place) for place in places)
