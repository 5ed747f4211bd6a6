"""Summarise the source rows in each entity's window, from the positions between which each row counts.

Every figure depends only on the rows in the window, not on their order and not on other rows. So features that are
computed day by day equal features that are computed at once.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from mlops.contract import Columns, ConfigError, Values

_UNIT = 2.0**-20
"""Sums over windows count whole multiples of this, about a millionth: sums of floats depend on the order of rows."""
_LARGEST = 2.0**62
_STEPS = 8
"""Number of steps per half-life in which the age of a row is counted."""
_MOST_STEPS = 512

Value = str | Callable[[Columns], Values]


@dataclass(frozen=True)
class WindowRows:
    """The window of each entity. A row is in it if it begins at or before the entity's question and ends after it."""

    column: Callable[[str], pd.Series[Any]]
    """Reads a column of the source, shape (n_rows,)."""
    usable: Values
    """Positions of the source's rows that can count, shape (n_usable,)."""
    begins: Values
    """Position from which each usable row counts, shape (n_usable,)."""
    ends: Values
    """Position from which it no longer counts, at or after `begins`, shape (n_usable,)."""
    questions: Values
    """Position of each entity's question, shape (n_entities,)."""
    length: timedelta
    open_part: Callable[[timedelta, timedelta], WindowRows]
    """Opens the part of the window whose rows have an age below the first and at or above the second length, counted
    from the window's end."""

    def count(self) -> Values:
        """See `Window.count`."""
        return (self._rows_at_begin.number - self._rows_at_end.number).astype("float64")

    def sum(self, value: Value) -> Values:
        """See `Window.sum`."""
        return self.count_and_total(value)[1] * _UNIT

    def mean(self, value: Value) -> Values:
        """See `Window.mean`."""
        count, total = self.count_and_total(value)
        return _divide(total * _UNIT, count)

    def std(self, value: Value) -> Values:
        """See `Window.std`."""
        units, present = self._units(value)
        count, total = self._total(present.astype("int64")), self._total(units)
        # Squares of whole numbers pass 2**63, so they are added as Python's integers: exact, as the sums are.
        squares = self._total(units.astype("object") ** 2)
        spread = (count * squares - total.astype("object") ** 2).astype("float64")
        return np.asarray(np.sqrt(_divide(spread, count * (count - 1)))) * _UNIT

    def min(self, value: Value) -> Values:
        """See `Window.min`."""
        return -self._largest(-self._numbers(value))

    def max(self, value: Value) -> Values:
        """See `Window.max`."""
        return self._largest(self._numbers(value))

    def distinct_count(self, column: str) -> Values:
        """See `Window.distinct_count`."""
        codes = pd.factorize(self.column(column).to_numpy("object")[self.usable])[0]
        rows = np.flatnonzero((codes >= 0) & (self.ends > self.begins))
        rows = rows[np.lexsort((self.begins[rows], codes[rows]))]
        codes, begins, ends = codes[rows], self.begins[rows], self.ends[rows]
        # Stretches in which rows of one value overlap count once: join them, value by value.
        width = int(max(ends.max(initial=0), self.questions.max(initial=0))) + 1
        reach = np.maximum.accumulate(ends + codes * width) - codes * width
        is_first = np.append(True, (codes[1:] != codes[:-1]) | (begins[1:] > reach[:-1]))[: len(rows)]
        is_last = np.append(is_first[1:], True)[: len(rows)]
        starts, stops = np.sort(begins[is_first]), np.sort(reach[is_last])
        begun, ended = (np.searchsorted(edges, self.questions, side="right") for edges in (starts, stops))
        return np.asarray(begun - ended, "float64")

    def ewm_mean(self, value: Value, half_life: timedelta) -> Values:
        """See `Window.ewm_mean`."""
        step = half_life / _STEPS
        steps = max(1, -(-self.length // step)) if step > timedelta(0) else 0
        if not 0 < steps <= _MOST_STEPS:
            raise ConfigError(
                f"ewm_mean with a half-life of {half_life} over a window of {self.length}: the half-life must be "
                f"positive, and the window at most {_MOST_STEPS // _STEPS} half-lives long"
            )
        weights = 0.5 ** (np.arange(steps) / _STEPS)
        parts = [self.open_part(min((n + 1) * step, self.length), n * step) for n in range(steps)]
        counts, totals = zip(*(part.count_and_total(value) for part in parts), strict=True)
        return _divide(weights @ np.array(totals) * _UNIT, weights @ np.array(counts))

    @cached_property
    def _rows_at_begin(self) -> _ReachedRows:
        return _ReachedRows.at(self.begins, self.questions)

    @cached_property
    def _rows_at_end(self) -> _ReachedRows:
        return _ReachedRows.at(self.ends, self.questions)

    def _total(self, weights: Values) -> Values:
        """Sum of `weights`, shape (n_usable,), over the rows in each window, shape (n_entities,)."""
        return np.asarray(self._rows_at_begin.total(weights) - self._rows_at_end.total(weights))

    def _numbers(self, value: Value) -> Values:
        """Values of the usable rows, NaN where missing or infinite, shape (n_usable,)."""
        given = pd.Series(self.column(value) if isinstance(value, str) else value(ReadColumns(self.column)))
        # numpy would convert times to nanoseconds. A text column without rows looks like a column of numbers.
        numbers = None
        if given.dtype.kind not in "mM" and not (isinstance(value, str) and given.empty and given.dtype == "object"):
            with suppress(TypeError, ValueError):
                numbers = given.to_numpy("float64", na_value=np.nan)
        if numbers is None:
            name = f"column {value!r}" if isinstance(value, str) else "the function"
            raise ConfigError(
                f"a figure of a window is one of numbers, and {name} gives {given.dtype}: count its values by "
                "distinct_count, or take a function that makes numbers of them"
            )
        values = numbers[self.usable]
        return np.where(np.isfinite(values), values, np.nan)

    def _units(self, value: Value) -> tuple[Values, Values]:
        """Values as whole multiples of _UNIT, 0 where missing, and whether they are there."""
        values = self._numbers(value)
        present = ~np.isnan(values)
        # Whole numbers add up exactly in any order, so the figures do not depend on the order of rows. Where their sum
        # could pass 2**63 they are Python's integers.
        whole = np.rint(np.where(present, values, 0.0) / _UNIT)
        fits = np.abs(whole).sum() < _LARGEST
        return whole.astype("int64") if fits else np.frompyfunc(int, 1, 1)(whole), present

    def count_and_total(self, value: Value) -> tuple[Values, Values]:
        """Count the present values and add them up, in units of _UNIT; each of shape (n_entities,)."""
        units, present = self._units(value)
        return self._total(present.astype("int64")).astype("float64"), self._total(units).astype("float64")

    def _largest(self, values: Values) -> Values:
        """Largest of `values`, shape (n_usable,), in each window; NaN where there is none.

        Each row raises a range of the sorted questions. A range is covered by two ranges of 2**k questions, kept in a
        table per k; the tables are then handed down to half the length, until each holds one question.
        """
        places, back = np.unique(self.questions, return_inverse=True)
        first, last = np.searchsorted(places, self.begins), np.searchsorted(places, self.ends)
        rows = np.flatnonzero(~np.isnan(values) & (last > first))
        first, last, values = first[rows], last[rows], values[rows]
        power = np.frexp((last - first).astype("float64"))[1] - 1
        largest = np.full(len(places), -np.inf)
        for k in range(int(power.max(initial=0)), -1, -1):
            of_length = power == k
            for begin in (first, last - 2**k):
                np.maximum.at(largest, begin[of_length], values[of_length])
            if k:
                half = 2 ** (k - 1)
                largest[half:] = np.maximum(largest[half:], largest[:-half].copy())
        return np.where(np.isneginf(largest), np.nan, largest)[back]


@dataclass(frozen=True)
class _ReachedRows:
    """Sorted positions of rows, and how many of them each question has reached."""

    order: Values
    """Sorts the positions, shape (n_usable,)."""
    number: Values
    """`number[i]` is the count of sorted positions <= question i, shape (n_entities,)."""

    @staticmethod
    def at(positions: Values, questions: Values) -> _ReachedRows:
        """Sort the positions of rows, shape (n_usable,), and count for each question those that it has reached."""
        order = np.argsort(positions)
        return _ReachedRows(order, np.searchsorted(positions[order], questions, side="right"))

    def total(self, weights: Values) -> Values:
        """Sum of `weights`, shape (n_usable,), over the rows that each question has reached, shape (n_entities,)."""
        return np.asarray(np.append(0, np.cumsum(weights[self.order]))[self.number])


@dataclass(frozen=True)
class ReadColumns:
    """`mlops.contract.Columns` over the usable columns of a source."""

    column: Callable[[str], pd.Series[Any]]

    def __getitem__(self, name: str) -> pd.Series[Any]:
        return self.column(name)


def _divide(total: Values, count: Values) -> Values:
    """Divide sums by counts, each of shape (n_entities,); NaN where the count is 0."""
    quotient: Values = np.full(len(count), np.nan)
    np.divide(total, count, out=quotient, where=count > 0)
    return quotient
