"""`uv run python -m benchmarks NAME [SIZE]`: run one benchmark and print its figures, one JSON object a line."""

from __future__ import annotations

import importlib
import inspect
import os
import pkgutil
import sys
from pathlib import Path

_NO_BENCHMARKS = {"__main__", "bare", "processes", "scaled"}
"""Modules that benchmarks share."""


def main() -> int:
    """Run the benchmark named on the command line, with a size where it takes one; 2 if it cannot be run."""
    names = {m.name for m in pkgutil.iter_modules([str(Path(__file__).parent)])} - _NO_BENCHMARKS
    if len(sys.argv) < 2 or sys.argv[1] not in names:
        print(f"usage: python -m benchmarks NAME, where NAME is one of {', '.join(sorted(names))}", file=sys.stderr)
        return 2
    _, name, *sizes = sys.argv
    module = importlib.import_module(f"benchmarks.{name}")
    words, takes_size = getattr(module, "WORDS", ()), bool(inspect.signature(module.main).parameters)
    if len(sizes) > takes_size or not all(size.isdecimal() or size in words for size in sizes):
        accepted = " or ".join(["one number", *words]) if takes_size else "no argument"
        print(f"benchmark {name} takes {accepted}, not {' '.join(sizes)}", file=sys.stderr)
        return 2
    os.environ["CI"] = "true"  # a demo then starts nothing in the background, which would be measured, too
    module.main(*(int(size) if size.isdecimal() else size for size in sizes))
    return 0


if __name__ == "__main__":
    sys.exit(main())
