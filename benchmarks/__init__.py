"""What it costs, measured beside the bare libraries in the same run: `uv run python -m benchmarks NAME`."""

from __future__ import annotations

import json
from typing import Literal


def report(
    benchmark: str,
    figure: str,
    value: float,
    unit: str,
    *,
    better: Literal["lower", "higher"],
    target: float | None = None,
) -> None:
    """Print one figure, one JSON object a line."""
    row = {"benchmark": benchmark, "figure": figure, "value": round(value, 4), "unit": unit}
    print(json.dumps({**row, "better": better, "target": target}), flush=True)
