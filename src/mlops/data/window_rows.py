"""Count and average the source rows in each entity's window, from the positions where rows begin and end to count."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mlops.contract import Columns, Values

_UNIT = 2.0**-20
"""Sums over windows count whole multiples of this, about a millionth: sums of floats depend on the order of rows."""


@dataclass(frozen=True)
class WindowRows:
    """The window of each entity: rows whose interval has begun minus rows whose interval has ended."""

    column: Callable[[str], pd.Series[Any]]
    """Reads a column of the source, shape (n_rows,)."""
    usable: Values
    """Positions of the source's rows that can count, shape (n_usable,)."""
    begun: ReachedRows
    ended: ReachedRows

    def count(self) -> Values:
        """See `Window.count`."""
        return (self.begun.number - self.ended.number).astype("float64")

    def mean(self, value: str | Callable[[Columns], Values]) -> Values:
        """See `Window.mean`."""
        given = self.column(value) if isinstance(value, str) else value(ReadColumns(self.column))
        values = pd.Series(given).to_numpy("float64", na_value=np.nan)[self.usable]
        present = np.isfinite(values)
        # Whole numbers add up exactly in any order, so the mean does not depend on the order of rows.
        units = np.rint(np.where(present, values, 0.0) / _UNIT).astype("int64")
        count, total = (self.begun.total(w) - self.ended.total(w) for w in (present.astype("int64"), units))
        mean: Values = np.full(len(count), np.nan)
        np.divide(total * _UNIT, count, out=mean, where=count > 0)
        return mean


@dataclass(frozen=True)
class ReachedRows:
    """Sorted positions of rows, and how many of them each question has reached."""

    order: Values
    """Sorts the positions, shape (n_usable,)."""
    number: Values
    """`number[i]` is the count of sorted positions <= question i, shape (n_entities,)."""

    @staticmethod
    def at(positions: Values, questions: Values) -> ReachedRows:
        """Sort the positions of rows, shape (n_usable,), and count for each question those that it has reached."""
        order = np.argsort(positions)
        return ReachedRows(order, np.searchsorted(positions[order], questions, side="right"))

    def total(self, weights: Values) -> Values:
        """Sum of `weights`, shape (n_usable,), over the rows that each question has reached, shape (n_entities,)."""
        return np.asarray(np.append(0, np.cumsum(weights[self.order]))[self.number])


@dataclass(frozen=True)
class ReadColumns:
    """`mlops.contract.Columns` over the usable columns of a source."""

    column: Callable[[str], pd.Series[Any]]

    def __getitem__(self, name: str) -> pd.Series[Any]:
        return self.column(name)
