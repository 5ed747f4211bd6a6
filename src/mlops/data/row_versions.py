"""Decide which version of a row is valid at a moment. Features, labels and entities follow this rule.

A source keeps every version of a row, with its key and the moment since when it is known. A version is valid at a
moment if it is known by then and the next version of its key is not. So a correction changes predictions that are made
after it, and never earlier ones.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd

from mlops.contract import Values


def find_superseding_times(key: pd.DataFrame, known_at: pd.Series[Any]) -> Values:
    """Find when the next version of each row became known.

    Args:
        key: the key columns, n_rows rows.
        known_at: since when each row is known, UTC without zone, shape (n_rows,). No two rows of one key share it.

    Returns:
        Known-at time of the next version, datetime64[us], shape (n_rows,); NaT where there is none, and for a row
        without key or known-at time.
    """
    known = moments_of(known_at)
    next_known = np.full(len(known), np.datetime64("NaT", "us"))
    repeated = np.flatnonzero(key.duplicated(keep=False).to_numpy())  # few keys have versions: only these are sorted
    if len(repeated):
        group = key.iloc[repeated].groupby(list(key.columns), sort=False, dropna=True).ngroup().to_numpy()
        order = np.lexsort((known[repeated], group))
        rows, group = repeated[order], group[order]
        # Neighbours of one group, oldest first: the row is superseded when its successor is known. Group -1: no key.
        again = (group[1:] == group[:-1]) & (group[1:] >= 0)
        next_known[rows[:-1][again]] = known[rows[1:][again]]
    return next_known


def valid_at(moment: Any, known_at: Any, superseded: Any) -> Values:
    """Whether each version is known and not superseded at `moment`: one moment for all, or one per version."""
    return np.asarray((known_at <= moment) & ~(superseded <= moment))


def newest_known(rows: pd.DataFrame, key: Sequence[str], known_at: str, as_of: datetime) -> pd.DataFrame:
    """Keep the version of each key that is valid as of a moment; the column `known_at` is UTC without zone."""
    moment = np.datetime64(as_of.astimezone(UTC).replace(tzinfo=None), "us")
    known = moments_of(rows[known_at])
    return rows[valid_at(moment, known, find_superseding_times(rows[list(key)], rows[known_at]))]


def moments_of(times: pd.Series[Any]) -> Values:
    """Convert times without zone to datetime64[us], shape (n_rows,)."""
    return np.asarray(times.to_numpy("datetime64[us]"))


def find_value_holders(starts: Values, ends: Values, last: Values) -> tuple[Values, Values]:
    """Find, for each stretch of the axis, the row whose value holds there: of the valid rows the last one.

    Args:
        starts: position from which each row is valid, ascending, shape (n_rows,).
        ends: position from which each row is no longer valid, shape (n_rows,).
        last: end of the part of the axis that each row's group takes; no question lies there. Shape (n_rows,).

    Returns:
        First positions of the stretches, ascending, and per stretch the number of its row; -1: no row is valid.
    """
    begins_next = np.append(starts[1:], last[-1:])
    # The usual case: every row is valid until the next row of its group begins, so no earlier row ever holds again.
    if (ends >= np.minimum(begins_next, last)).all():
        return starts, np.arange(len(starts))
    # Else sweep over all starts and ends with a heap of begun rows, the newest on top; ended rows are dropped when they
    # reach the top.
    moments = np.unique(np.concatenate([starts, ends]))
    holder = np.full(len(moments), -1)
    valid: list[int] = []
    row = 0
    for number, moment in enumerate(moments):
        while row < len(starts) and starts[row] <= moment:
            heapq.heappush(valid, -row)
            row += 1
        while valid and ends[-valid[0]] <= moment:
            heapq.heappop(valid)
        holder[number] = -valid[0] if valid else -1
    return moments, holder
