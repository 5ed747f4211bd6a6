"""Average precision, which shows errors on rare events that AUC hides."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mlops.questions.ranking import Array

_CELLS = 5_000_000
"""Largest number of weights held at once."""
_POWERS = 10
"""Number of terms of a series whose terms shrink by 3 or more: the figure is off by less than 2e-5."""


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


def sum_precision(y: Array, p: Array) -> Array:
    """Sum up what the average precision needs of the rows of one range of the prediction; see `merge_precision`.

    A positive's precision is (positives above the range + those down to it) / (rows above + those down to it), and the
    counts above are not known here. The rows down to it, n, lie in one octave, n = 2**octave * (1.5 + t) with
    |t| <= .5. So 1 / (rows above + n) is a series in t, whatever the rows above are: sums of powers of t are enough.

    Returns:
        The number of rows, and the sums of t**k over the positives of each octave, first plain and then times the
        positives down to each; flat, shape (1 + 2 * octaves * _POWERS,).
    """
    order = np.argsort(-p, kind="stable")
    last = np.append(np.flatnonzero(np.diff(p[order])), len(p) - 1)  # as in `draw_precision`
    hits = y[order].cumsum()[last]
    term, octave = np.diff(hits, prepend=0.0), np.frexp(last + 1.0)[1] - 1
    t = np.ldexp(last + 1.0, -octave) - 1.5
    sums = []
    for _ in range(_POWERS):
        sums.append([np.bincount(octave, term), np.bincount(octave, term * hits)])
        term = term * t
    return np.append(float(len(y)), np.moveaxis(np.array(sums), 0, 2))


def merge_precision(parts: Sequence[Array]) -> float:
    """Compute the average precision from what `sum_precision` returned for ranges, in ascending order; NaN: no hit."""
    total = hits_above = rows_above = 0.0
    for rows, *sums in reversed(parts):
        tables = np.array(sums).reshape(2, -1, _POWERS)
        octave = 2.0 ** np.arange(tables.shape[1])
        center = rows_above / octave + 1.5
        series = (-1 / center)[:, None] ** np.arange(_POWERS) / (center * octave)[:, None]
        total += float(((hits_above * tables[0] + tables[1]) * series).sum())
        hits_above, rows_above = hits_above + float(tables[0, :, 0].sum()), rows_above + rows
    return total / hits_above if hits_above else float("nan")
