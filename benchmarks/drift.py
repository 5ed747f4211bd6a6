"""Drift of 23 columns of 336,776 rows beside Evidently's preset, in one run; then ten times the rows.

Evidently is no dependency: `uv run --with evidently==0.7.23 python -m benchmarks drift` measures both.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import pandas as pd

from benchmarks import report
from mlops.monitoring import drift

_ROWS, _REFERENCE = 336_776, 81_000
_NUMBERS, _WORDS = 19, 4


def main() -> None:
    """Print seconds of both, their ratio, and the ratio of ten times the rows."""
    generator = np.random.default_rng(0)
    reference, window = _frame(generator, _REFERENCE), _frame(generator, _ROWS)
    own_seconds = _seconds(lambda: _compare(reference, window))
    report("drift", "counts_and_distances", own_seconds, "s", better="lower")
    large = pd.concat([window] * 10, ignore_index=True)
    ratio = _seconds(lambda: _compare(reference, large)) / own_seconds
    report("drift", "ten_times_the_rows", ratio, "ratio", better="lower", target=11)
    try:
        from evidently import Report
        from evidently.presets import DataDriftPreset
    except ImportError:
        report("drift", "evidently_not_installed", 1, "", better="lower")
        return
    evidently_seconds = _seconds(lambda: Report([DataDriftPreset()]).run(window, reference))
    report("drift", "evidently_preset", evidently_seconds, "s", better="lower")
    report("drift", "evidently_over_ours", evidently_seconds / own_seconds, "ratio", better="higher", target=20)


def _frame(generator: np.random.Generator, rows: int) -> pd.DataFrame:
    numbers = {f"number_{n}": generator.gamma(2 + n, 50, rows) for n in range(_NUMBERS)}
    words = {f"word_{n}": generator.choice([f"W{k}" for k in range(5 + 30 * n)], rows) for n in range(_WORDS)}
    return pd.DataFrame({**numbers, **words})


def _compare(reference: pd.DataFrame, window: pd.DataFrame) -> dict[str, drift.Distances]:
    """All that monitoring computes: counts per bin of both, then every distance from the counts alone."""
    counted = [drift.count_bins(rows, np.zeros(len(rows), "int64")) for rows in (reference, window)]
    distances = {}
    for column in reference:
        a, b = (rows[rows["column"] == column] for rows in counted)
        distances[str(column)] = drift.compare_counts(
            dict(zip(a["bin"], a["rows"], strict=True)), dict(zip(b["bin"], b["rows"], strict=True))
        )
    return distances


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
