"""Draw figures on whole days, and compare two models on the same draws.

The bootstrap resamples days: rows of one day share its circumstances, as flights share its weather, so resampling
single rows makes errors look several times smaller than they are. (Rejected for that reason: DeLong's formula and a row
bootstrap.)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mlops.contract import DataError
from mlops.questions.base import Question
from mlops.questions.ranking import Array

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


def draw_days(day: ArrayLike, rows: int, replicates: int, seed: int) -> tuple[Array, Array]:
    """Draw days with replacement.

    Args:
        day: the day of each row, shape (n_rows,); any type that sorts.
        rows: number of rows.
        replicates: number of draws.
        seed: the same seed and days give the same draws.

    Returns:
        The number of each row's day, shape (n_rows,), and how often each replicate drew each day, shape
        (replicates, n_days), whose rows sum to n_days.

    Raises:
        DataError: not every row has its day, or there are fewer than two days.
    """
    days, index = np.unique(np.asarray(day), return_inverse=True)
    if len(index) != rows:
        raise DataError(f"{len(index)} days were given for {rows} rows: there must be one for each")
    if len(days) < 2:
        raise DataError(f"all {rows} rows are of one day: a comparison of days needs at least two")
    return index, np.random.default_rng(seed).multinomial(len(days), np.full(len(days), 1 / len(days)), size=replicates)


def bootstrap_paired_days(
    question: Question,
    *,
    y: ArrayLike,
    challenger: ArrayLike,
    champion: ArrayLike,
    day: ArrayLike,
    replicates: int,
    seed: int,
) -> tuple[Array, Array]:
    """Draw differences, challenger minus champion, in ranking and loss; both are measured on the same draws.

    Args:
        question: the kind of question.
        y: labels, shape (n_rows,).
        challenger: its predictions.
        champion: its predictions for the same rows.
        day: the day of each row, shape (n_rows,); any type that sorts.
        replicates: number of draws.
        seed: the same seed and rows give the same draws.

    Returns:
        Ranking differences and loss differences, each of shape (replicates,). The ranking difference is NaN where a
        draw has no ranking, as with one class only.

    Raises:
        DataError: as `Question.compute_metrics`, or there are fewer than two days.
    """
    y, challenger = question.check_arrays(y, challenger)
    y, champion = question.check_arrays(y, champion)
    index, drawn = draw_days(day, len(y), replicates, seed)
    rankings = [question.draw_ranking(y, p, index, drawn) for p in (challenger, champion)]
    # The loss is a mean over rows, so a replicate is (summed differences of its days) / (rows of its days).
    excess = question.row_losses(y, challenger) - question.row_losses(y, champion)
    return rankings[0] - rankings[1], drawn @ np.bincount(index, excess) / (drawn @ np.bincount(index))
