"""Versions of a row: which one is valid at a moment. Features, labels and the questions themselves follow this rule.

A source keeps every version of a row: its key, and since when the version is known. A version is valid at a moment if
it is known by then and the next version of its key is not, so a correction changes what is asked after it and nothing
before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd

from mlops.contract import Values


def superseded_at(key: pd.DataFrame, known_at: pd.Series[Any]) -> Values:
    """When the next version of each row's key was known; NaT: none was. A row without key or known-at time has none.

    Args:
        key: the rows' key columns.
        known_at: when each row was known, aligned with them; no two rows of one key are known at the same moment.
    """
    known = moments_of(known_at)
    next_known = np.full(len(known), np.datetime64("NaT", "us"))
    repeated = np.flatnonzero(key.duplicated(keep=False).to_numpy())  # few are: only these are sorted
    if len(repeated):
        group = key.iloc[repeated].groupby(list(key.columns), sort=False, dropna=True).ngroup().to_numpy()
        order = np.lexsort((known[repeated], group))
        rows, group = repeated[order], group[order]
        again = (group[1:] == group[:-1]) & (group[1:] >= 0)
        next_known[rows[:-1][again]] = known[rows[1:][again]]
    return next_known


def valid_at(moment: Any, known_at: Any, superseded: Any) -> Values:
    """Whether each version was known at a moment, or at a moment of its own, and not yet superseded."""
    return np.asarray((known_at <= moment) & ~(superseded <= moment))


def newest_known(rows: pd.DataFrame, key: Sequence[str], known_at: str, as_of: datetime) -> pd.DataFrame:
    """Keep the version of each key that is valid as of a moment; `known_at` is UTC without zone."""
    moment = np.datetime64(as_of.astimezone(UTC).replace(tzinfo=None), "us")
    known = moments_of(rows[known_at])
    return rows[valid_at(moment, known, superseded_at(rows[list(key)], rows[known_at]))]


def moments_of(times: pd.Series[Any]) -> Values:
    """Times without zone, to the microsecond."""
    return np.asarray(times.to_numpy("datetime64[us]"))
