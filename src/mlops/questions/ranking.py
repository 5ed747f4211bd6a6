"""Count the pairs of rows that predictions put in the right order, per pair of days.

An AUC and a concordance are shares of such pairs. A replicate of a day bootstrap that draws day i a times and day j b
times holds each of their pairs a * b times, so with the won pairs W and all pairs N of each pair of days, a replicate
is drawn' W drawn / drawn' N drawn: exact, and its cost does not grow with rows x replicates.
"""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
GROUPS = 256
"""Largest number of groups of labels. Rows of one group make no pair, as rows with equal labels make none."""
_CHUNK = 20_000
"""Largest number of losing rows per table of counts, which has as many columns as there are groups."""


def group_labels(y: Array) -> Array:
    """Number the groups of equal labels in ascending order, shape (n_rows,); many values share GROUPS quantile groups.

    Args:
        y: labels, shape (n_rows,), all finite.
    """
    values, group = np.unique(y, return_inverse=True)
    if len(values) <= GROUPS:
        return np.asarray(group)
    # The group of a value is that of the middle of its rows: equal labels stay together, and a value of most rows, as
    # 100 of a percentage, does not share its group with all smaller ones.
    rows = np.bincount(group)
    middle = 2 * (np.cumsum(rows) - rows) + rows
    return np.asarray(np.unique(middle * GROUPS // (2 * len(y)), return_inverse=True)[1][group])


def count_pairs(group: Array, p: Array, day: Array, days: int) -> tuple[Array, Array]:
    """Count won pairs and all pairs, each of shape (days, days): day of the greater label, day of the smaller one.

    Args:
        group: number of each row's group of labels, counted from 0, shape (n_rows,).
        p: predictions, shape (n_rows,). A pair is won if the greater label has the greater prediction, half won if both
            are equal.
        day: number of each row's day, counted from 0, shape (n_rows,).
        days: number of days.
    """
    groups = int(group.max(initial=0)) + 1
    counts = np.zeros((days, groups))
    np.add.at(counts, (day, group), 1)
    pairs = counts @ (np.cumsum(counts, axis=1) - counts).T
    upper = np.flatnonzero(group > 0)
    upper = upper[np.argsort(p[upper])]  # searchsorted is several times faster on sorted values
    won = np.zeros((days, days))
    for lost in range(days):
        lower = np.flatnonzero((day == lost) & (group < groups - 1))
        for start in range(0, len(lower), _CHUNK):
            part = lower[start : start + _CHUNK]
            wins = _count_wins(p[upper], group[upper], p[part], group[part], groups)
            won[:, lost] += np.bincount(day[upper], wins, days)
    return won, pairs


def _count_wins(p: Array, group: Array, lower_p: Array, lower_group: Array, groups: int) -> Array:
    """Count for each row the lower rows of a smaller group with a smaller prediction; an equal one counts half."""
    order = np.argsort(lower_p)
    # seen[i, g]: how many of the i lower rows with the smallest predictions are of group g or smaller.
    seen = np.zeros((len(order) + 1, groups - 1), "int32")
    seen[np.arange(1, len(order) + 1), lower_group[order]] = 1
    seen = seen.cumsum(axis=0, dtype="int32").cumsum(axis=1, dtype="int32")
    below, not_above = (np.searchsorted(lower_p[order], p, side) for side in ("left", "right"))
    return np.asarray((seen[below, group - 1] + seen[not_above, group - 1]) / 2)


def mean_known(figures: Array) -> Array:
    """Mean over the first axis of the values that are not NaN; NaN where there is none."""
    known = ~np.isnan(figures)
    sums, counts = np.where(known, figures, 0.0).sum(axis=0), known.sum(axis=0)
    return np.asarray(np.divide(sums, counts, out=np.full(sums.shape, np.nan), where=counts > 0))


def measure_order(group: Array, p: Array) -> float:
    """Share of pairs with different groups that the predictions put in the right order; NaN without such a pair."""
    won, pairs = count_pairs(group, p, np.zeros(len(p), "int64"), 1)
    return float(won[0, 0] / pairs[0, 0]) if pairs[0, 0] else float("nan")


def draw_order(group: Array, p: Array, day: Array, drawn: Array) -> Array:
    """Share of pairs in the right order in each replicate, shape (replicates,); NaN where a draw holds no pair.

    Args:
        group: as for `count_pairs`.
        p: predictions, shape (n_rows,).
        day: number of each row's day, counted from 0, shape (n_rows,).
        drawn: how often each replicate drew each day, shape (replicates, n_days).
    """
    won, pairs = (((drawn @ table) * drawn).sum(axis=1) for table in count_pairs(group, p, day, drawn.shape[1]))
    shares: Array = np.full(len(drawn), np.nan)
    np.divide(won, pairs, out=shares, where=pairs > 0)
    return shares
