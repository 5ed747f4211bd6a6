"""A transformer of our own: it travels in the wheel with the use case, and the model file only names it."""

from __future__ import annotations

from typing import Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin

_HOURS = 24


class HourCircle(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Turns the hour of the day into a point on a circle, so that 23 and 0 are neighbours."""

    def fit(self, rows: pd.DataFrame, labels: object = None) -> Self:  # noqa: ARG002
        """Remember the number of columns; there is nothing else to learn."""
        self.n_features_in_ = rows.shape[1]
        return self

    def transform(self, rows: pd.DataFrame) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
        """Return sine and cosine of each column of hours, shape (n_rows, 2 * n_columns)."""
        angle = np.asarray(rows, "float64") * (2 * np.pi / _HOURS)
        return np.hstack([np.sin(angle), np.cos(angle)])
