"""`uv run python -m benchmarks NAME [ROWS]`: run one benchmark and print its figures, one JSON object a line."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import sys
from pathlib import Path


def main() -> int:
    """Run the benchmark named on the command line, with a number of rows where it takes one; 2 if it cannot be run."""
    names = {m.name for m in pkgutil.iter_modules([str(Path(__file__).parent)])} - {"__main__", "bare"}
    if len(sys.argv) < 2 or sys.argv[1] not in names:
        print(f"usage: python -m benchmarks NAME, where NAME is one of {', '.join(sorted(names))}", file=sys.stderr)
        return 2
    _, name, *rows = sys.argv
    run = importlib.import_module(f"benchmarks.{name}").main
    if len(rows) > len(inspect.signature(run).parameters) or not all(text.isdecimal() for text in rows):
        print(f"benchmark {name} takes {'one number of rows' if inspect.signature(run).parameters else 'no argument'}, "
              f"not {' '.join(rows)}", file=sys.stderr)  # fmt: skip
        return 2
    run(*map(int, rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
