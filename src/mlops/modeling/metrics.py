"""How good predictions are, and how sure that is: evaluation measures, `gates` decides.

Days are the unit of chance: flights of one day share its weather, so rows resampled one by one make errors look several
times smaller than they are. (Rejected for that reason: DeLong's formula and a row bootstrap.)
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from mlops.contract import DataError, Metrics

_EPSILON = float(np.finfo("float64").eps)
"""What a wrong certainty is taken to have given the truth: dear, but not infinite."""

Array = np.ndarray[Any, Any]


def compute_metrics(y: ArrayLike, p: ArrayLike) -> Metrics:
    """Quality of predicted probabilities; equal predictions share their rank in the AUC.

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
    """Challenger minus champion, in AUC and in log-loss, on whole days drawn with replacement; the same draws for both.

    An AUC counts pairs of a positive and a negative row, so the pairs won per pair of days are counted once, and a
    replicate is a weighted sum of that table: exact, and its cost does not grow with rows x replicates.

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
        DataError: as `measure`, or there are fewer than two days.
    """
    y, challenger = _check_arrays(y, challenger)
    y, champion = _check_arrays(y, champion)
    days, index = np.unique(np.asarray(day), return_inverse=True)
    if len(index) != len(y):
        raise DataError(f"{len(index)} days were given for {len(y)} rows: there must be one for each")
    if len(days) < 2:
        raise DataError(f"all {len(y)} rows are of one day: how much days differ takes at least two")
    drawn = np.random.default_rng(seed).multinomial(len(days), np.full(len(days), 1 / len(days)), size=replicates)
    aucs = [_compute_auc_of_draws(y, p, index, drawn) for p in (challenger, champion)]
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
    of_truth = np.where(y == 1, p, 1 - p)
    return np.asarray(-np.log(np.maximum(of_truth, _EPSILON)))


def _roc_auc(y: Array, p: Array) -> float:
    wins = _pairwise_wins(p[y == 1], p[y == 0]).sum()
    return float(wins / (y.sum() * (len(y) - y.sum())))


def _pairwise_wins(positives: Array, negatives: Array) -> Array:
    """How many negatives each positive stands above; one at the same score counts half, as midranks have it."""
    negatives = np.sort(negatives)
    below, not_above = (np.searchsorted(negatives, positives, side) for side in ("left", "right"))
    return np.asarray((below + not_above) / 2)


def _compute_auc_of_draws(y: Array, p: Array, day: Array, drawn: Array) -> Array:
    """AUC of each draw; `day` counts from 0, `drawn` says how often each day was drawn, shape (replicates, n_days)."""
    positive, days = y == 1, drawn.shape[1]
    order = np.argsort(p[positive])  # sorted needles search several times faster
    scores, day_won = p[positive][order], day[positive][order]
    wins = [np.bincount(day_won, _pairwise_wins(scores, p[~positive & (day == lost)]), days) for lost in range(days)]
    positives, negatives = (drawn @ np.bincount(day[side], minlength=days) for side in (positive, ~positive))
    won, pairs = ((drawn @ np.column_stack(wins)) * drawn).sum(axis=1), positives * negatives
    auc: Array = np.full(len(drawn), np.nan)
    np.divide(won, pairs, out=auc, where=pairs > 0)
    return auc
