"""`uv run python -m benchmarks NAME`: run one benchmark and print its figures, one JSON object a line."""

from __future__ import annotations

import importlib
import pkgutil
import sys
from pathlib import Path


def main() -> int:
    """Run the benchmark named on the command line; 2 if there is no such one."""
    names = {m.name for m in pkgutil.iter_modules([str(Path(__file__).parent)])} - {"__main__", "bare"}
    if len(sys.argv) != 2 or sys.argv[1] not in names:
        print(f"usage: python -m benchmarks NAME, where NAME is one of {', '.join(sorted(names))}", file=sys.stderr)
        return 2
    importlib.import_module(f"benchmarks.{sys.argv[1]}").main()
    return 0


if __name__ == "__main__":
    sys.exit(main())
