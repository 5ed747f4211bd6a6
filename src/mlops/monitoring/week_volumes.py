"""Judge a week's number of rows, and compute the number that its columns need to be judged."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import numpy as np

from mlops.contract import DRIFT_MIN_ROWS, Policy

WEEK = timedelta(days=7)
CALIBRATED = 4
"""Number of clean weeks that a limit needs; with fewer the week is on hold."""


def find_min_rows(weeks: Sequence[int], policy: Policy) -> float:
    """Smallest number of rows of a week that is judged: the policy's, else half of a usual week, within DRIFT_MIN_ROWS.

    A PSI of few rows is large by chance. The limit follows, since it is twice the largest of the column's clean weeks,
    so a small series is judged more coarsely instead of never.
    """
    if policy.drift_min_rows is not None:
        return policy.drift_min_rows
    usual = float(np.median(weeks[-policy.drift_memory :])) if len(weeks) else math.inf
    return min(max(usual / 2, DRIFT_MIN_ROWS[0]), DRIFT_MIN_ROWS[1])


def evaluate_volume(row: Any, history: Sequence[Any], policy: Policy) -> Any:
    """Judge the number of rows of a week by the weeks before it; `history` holds their judgements, oldest first."""
    weeks = _usual_volumes(history, policy)
    usual = float(np.median(weeks)) if weeks else 0.0
    # A week that lost nearly all its rows must be judged, so the usual number counts for the minimum as well.
    if len(weeks) < CALIBRATED or max(usual, row.rows) < find_min_rows(weeks, policy):
        return row
    state = "clean" if policy.min_volume * usual <= row.rows <= usual / policy.min_volume else "rows"
    return row._replace(limit=policy.min_volume * usual, state=state)


def _usual_volumes(history: Sequence[Any], policy: Policy) -> list[int]:
    """Rows of the clean weeks since the last permanent change of volume, oldest first, at most `drift_memory`.

    Weeks in state "rows" that follow one another for as long as `drift_reference` become the usual volume.
    """
    usual: list[int] = []
    off: list[int] = []
    for old in history:
        if old.state == "rows":
            off.append(old.rows)
            if len(off) >= max(policy.drift_reference // WEEK, CALIBRATED):
                usual = off[-policy.drift_memory :]
        else:
            usual, off = [*usual, old.rows], []
    return usual[-policy.drift_memory :]
