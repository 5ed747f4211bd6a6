"""Measure the quality of predictions and its uncertainty; `gates` decides on these figures.

The bootstrap resamples days: flights of one day share its weather, so resampling single rows makes errors look several
times smaller than they are. (Rejected for that reason: DeLong's formula and a row bootstrap.)
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from mlops.contract import DataError, Metrics

_EPSILON = float(np.finfo("float64").eps)
"""Lower clip of P(true class), so that log-loss stays finite."""

Array = np.ndarray[Any, Any]


def compute_metrics(y: ArrayLike, p: ArrayLike) -> Metrics:
    """Compute the quality of predicted probabilities; equal predictions share their rank in the AUC.

    Args:
        y: labels, 1 or 0, shape (n_rows,).
        p: predicted probabilities of 1, shape (n_rows,).

    Raises:
        DataError: no rows, lengths that differ, one class only, a label that is neither 0 nor 1, or a prediction that
            is missing, infinite or outside 0..1.
    """
    y, p = _check_arrays(y, p)
    base = y.mean()
    loss = _row_losses(y, p).mean()
    entropy = -(base * np.log(base) + (1 - base) * np.log1p(-base))
    return Metrics(
        rows=len(y),
        positives=int(y.sum()),
        auc=_roc_auc(y, p),
        log_loss=float(loss),
        skill=float(1 - loss / entropy),
        calibration_gap=float(p.mean() - base),
    )


def bootstrap_paired_days(
    *, y: ArrayLike, challenger: ArrayLike, champion: ArrayLike, day: ArrayLike, replicates: int, seed: int
) -> tuple[Array, Array]:
    """Draw differences, challenger minus champion, in AUC and log-loss, on whole days drawn with replacement.

    Both models are measured on the same draws. An AUC counts pairs of a positive and a negative row, so the won pairs
    are counted once per pair of days, and a replicate is a weighted sum of that table: exact, and its cost does not
    grow with rows x replicates.

    Args:
        y: labels, 1 or 0, shape (n_rows,).
        challenger: its predictions, shape (n_rows,).
        champion: its predictions for the same rows, shape (n_rows,).
        day: the day of each row, shape (n_rows,); any type that sorts.
        replicates: number of draws.
        seed: the same seed and rows give the same draws.

    Returns:
        AUC differences and log-loss differences, each of shape (replicates,). The AUC difference is NaN where a draw
        holds one class only.

    Raises:
        DataError: as `compute_metrics`, or there are fewer than two days.
    """
    y, challenger = _check_arrays(y, challenger)
    y, champion = _check_arrays(y, champion)
    days, index = np.unique(np.asarray(day), return_inverse=True)
    if len(index) != len(y):
        raise DataError(f"{len(index)} days were given for {len(y)} rows: there must be one for each")
    if len(days) < 2:
        raise DataError(f"all {len(y)} rows are of one day: a comparison of days needs at least two")
    # drawn[r, d]: how often replicate r drew day d, shape (replicates, n_days). Rows sum to n_days.
    drawn = np.random.default_rng(seed).multinomial(len(days), np.full(len(days), 1 / len(days)), size=replicates)
    aucs = [_compute_auc_of_draws(y, p, index, drawn) for p in (challenger, champion)]
    # Log-loss is a mean over rows, so a replicate is (summed differences of its days) / (rows of its days).
    excess = np.bincount(index, _row_losses(y, challenger) - _row_losses(y, champion))
    return aucs[0] - aucs[1], drawn @ excess / (drawn @ np.bincount(index))


def _check_arrays(y: ArrayLike, p: ArrayLike) -> tuple[Array, Array]:
    y, p = np.asarray(y, "float64"), np.asarray(p, "float64")
    if y.ndim != 1 or y.shape != p.shape:
        raise DataError(f"labels of shape {y.shape} do not fit predictions of shape {p.shape}: each row needs both")
    rows = len(y)
    if not rows:
        raise DataError("there is no matured row to measure on")
    for what, wrong in (
        ("predictions are missing or infinite", ~np.isfinite(p)),
        ("predictions lie outside 0..1", (p < 0) | (p > 1)),
        ("labels are neither 0 nor 1", (y != 0) & (y != 1)),
    ):
        if wrong.any():
            raise DataError(f"{wrong.sum()} of {rows} {what}, first in row {wrong.argmax()}")
    if y.min() == y.max():
        raise DataError(f"all {rows} labels are {y[0]:.0f}: quality can only be measured on both classes")
    return y, p


def _row_losses(y: Array, p: Array) -> Array:
    """Log-loss of each row, nats, shape (n_rows,)."""
    true_class = np.where(y == 1, p, 1 - p)
    return np.asarray(-np.log(np.maximum(true_class, _EPSILON)))


def _roc_auc(y: Array, p: Array) -> float:
    wins = _pairwise_wins(p[y == 1], p[y == 0]).sum()
    return float(wins / (y.sum() * (len(y) - y.sum())))


def _pairwise_wins(positives: Array, negatives: Array) -> Array:
    """Count the negatives that score below each positive, shape (n_positives,); an equal score counts half."""
    negatives = np.sort(negatives)
    below, not_above = (np.searchsorted(negatives, positives, side) for side in ("left", "right"))
    return np.asarray((below + not_above) / 2)


def _compute_auc_of_draws(y: Array, p: Array, day: Array, drawn: Array) -> Array:
    """Compute the AUC of each replicate, shape (replicates,).

    Args:
        y: labels, 1 or 0, shape (n_rows,).
        p: predicted probabilities, shape (n_rows,).
        day: number of each row's day, counted from 0, shape (n_rows,).
        drawn: how often each replicate drew each day, shape (replicates, n_days).
    """
    positive, days = y == 1, drawn.shape[1]
    order = np.argsort(p[positive])  # searchsorted is several times faster on sorted values
    scores, day_won = p[positive][order], day[positive][order]
    # wins[j][i]: pairs that positives of day i win against negatives of day j. A replicate that draws day i a times and
    # day j b times holds each of these pairs a * b times, so its won pairs are the quadratic form drawn' W drawn.
    wins = [np.bincount(day_won, _pairwise_wins(scores, p[~positive & (day == lost)]), days) for lost in range(days)]
    positives, negatives = (drawn @ np.bincount(day[side], minlength=days) for side in (positive, ~positive))
    won, pairs = ((drawn @ np.column_stack(wins)) * drawn).sum(axis=1), positives * negatives
    auc: Array = np.full(len(drawn), np.nan)
    np.divide(won, pairs, out=auc, where=pairs > 0)
    return auc
