"""What was known about each entity at its own prediction time, out of plain frames: the one way features are made.

A source row counts for an entity while two things hold: it lies in the entity's window, and it was known. Seen from the
row, both together are one interval of prediction times, so a window's count is (rows whose interval has begun) minus
(rows whose interval has ended): two binary searches, exact, whatever the order of event and knowledge.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

import numpy as np
import pandas as pd

from mlops.contract import Source, Values

_KEYS_APART = 1 << 36
"""Seconds between two keys on the joint axis: more than 2000 years, so that keys never touch."""


def _seconds(times: pd.Series[pd.Timestamp]) -> np.ndarray:
    """Whole seconds since 1970 UTC; missing times become a moment before everything."""
    return times.to_numpy("datetime64[s]").astype("int64")


@dataclass(frozen=True)
class PointInTimeWindow:
    """Source rows active for each entity: positions on the joint axis, see the module."""

    frame: pd.DataFrame
    begins: np.ndarray
    ends: np.ndarray
    asked: np.ndarray

    def count(self) -> Values:
        """Rows in the window, shape (n_entities,)."""
        return self._active(None)

    def mean(self, value: str | Callable[[pd.DataFrame], Values]) -> Values:
        """Mean over the window, missing values left out; NaN where nothing is left."""
        values = np.asarray(self.frame[value] if isinstance(value, str) else value(self.frame), dtype="float64")
        present = ~np.isnan(values)
        count = self._active(present.astype("float64"))
        total = self._active(np.where(present, values, 0.0))
        return np.divide(total, count, out=np.full(len(count), np.nan), where=count > 0)

    def _active(self, weights: np.ndarray | None) -> Values:
        return self._until(self.begins, weights) - self._until(self.ends, weights)

    def _until(self, moments: np.ndarray, weights: np.ndarray | None) -> Values:
        order = np.argsort(moments, kind="stable")
        position = np.searchsorted(moments[order], self.asked, side="right")
        offset = np.searchsorted(moments[order], self.asked // _KEYS_APART * _KEYS_APART, side="left")
        if weights is None:
            return (position - offset).astype("float64")
        sums = np.concatenate([[0.0], np.cumsum(weights[order])])
        return sums[position] - sums[offset]
