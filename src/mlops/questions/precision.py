"""Average precision, which shows errors on rare events that AUC hides."""

from __future__ import annotations

import numpy as np

from mlops.questions.base import Array

_CELLS = 5_000_000
"""Largest number of weights held at once."""


def average_precision(y: Array, p: Array) -> float:
    """Mean precision over the positives, each at the smallest prediction that still selects it; ties count together."""
    return float(draw_precision(y, p, np.zeros(len(y), "int64"), np.ones((1, 1), "int64"))[0])


def draw_precision(y: Array, p: Array, day: Array, drawn: Array) -> Array:
    """Average precision of each replicate, shape (replicates,); NaN where a draw holds no positive row.

    Args:
        y: labels, 1 or 0, shape (n_rows,).
        p: predicted probabilities of 1, shape (n_rows,).
        day: number of each row's day, counted from 0, shape (n_rows,).
        drawn: how often each replicate drew each day, shape (replicates, n_days).
    """
    order = np.argsort(-p, kind="stable")
    y, p, day = y[order], p[order], day[order]
    last = np.append(np.flatnonzero(np.diff(p)), len(p) - 1)  # last row of each group of equal predictions
    averages: Array = np.full(len(drawn), np.nan)
    step = max(1, _CELLS // len(p))
    for start in range(0, len(drawn), step):
        weights = drawn[start : start + step][:, day].astype("float64")
        selected = weights.cumsum(axis=1)[:, last]
        hits = (weights * y).cumsum(axis=1)[:, last]
        precision = np.divide(hits, selected, out=np.zeros_like(hits), where=selected > 0)
        total = (precision * np.diff(hits, axis=1, prepend=0.0)).sum(axis=1)
        np.divide(total, hits[:, -1], out=averages[start : start + step], where=hits[:, -1] > 0)
    return averages
