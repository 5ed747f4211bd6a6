"""How far a window's columns lie from the baseline window's: an aid to explain, never a reason to retrain.

Everything is a figure on counts per bin, and the bins come from the baseline alone, so counts may be made anywhere.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mlops.contract import DataError

_QUANTILES = 10
_MAX_VALUES = 200
"""Categories with a bin of their own: the most frequent ones; the rest and unseen values share one."""
_EPSILON = 1e-4
"""The least share a bin is taken to hold: an empty bin counts as one row in ten thousand, so that PSI stays finite."""

Counts = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True)
class Intervals:
    """Bins of a numeric column: one up to each edge, one above the last, then missing."""

    edges: tuple[float, ...]
    """Ascending upper ends, included: the first just below the baseline's least value, the last its greatest."""


@dataclass(frozen=True)
class Categories:
    """Bins of any other column: one per value, then all other values, then missing."""

    values: tuple[Any, ...]
    """By falling frequency in the baseline, then by value."""


Bins = Intervals | Categories


def bins(reference: pd.Series[Any]) -> Bins:
    """Bins for one column, from its values in the baseline window: deciles for numbers, values for everything else."""
    present = reference.dropna()
    if not pd.api.types.is_numeric_dtype(reference):
        frequency = present.value_counts().sort_index().sort_values(ascending=False, kind="stable")
        return Categories(tuple(frequency.index[:_MAX_VALUES]))
    if present.empty:
        return Intervals(())
    values = present.to_numpy("float64")
    # an observed value each, no interpolation: whole numbers keep whole edges, and infinities do no harm
    upper = np.unique(np.quantile(values, np.arange(_QUANTILES + 1) / _QUANTILES, method="inverted_cdf"))
    return Intervals((math.nextafter(upper[0], -math.inf), *upper.tolist()))


def counts(column: pd.Series[Any], bins: Bins) -> Counts:
    """Rows of a column per bin, shape (n_bins,); the last bin holds the missing values, so all rows are counted."""
    present = column.dropna()
    if isinstance(bins, Intervals):
        index, size = np.searchsorted(np.array(bins.edges), present.to_numpy("float64")), len(bins.edges) + 1
    else:
        index, size = pd.Index(bins.values).get_indexer(pd.Index(present)), len(bins.values) + 1
        index = np.where(index < 0, len(bins.values), index)
    return np.append(np.bincount(index, minlength=size), len(column) - len(present))


def psi(a: Counts, b: Counts) -> float:
    """Population stability index of two counts over the same bins: 0 for equal shares, never negative, symmetric.

    Raises:
        DataError: the counts are not of the same bins, or one of them is of no rows at all.
    """
    if len(a) != len(b):
        raise DataError(f"counts of {len(a)} and of {len(b)} bins cannot be compared: count both with the same bins")
    if not (a.sum() and b.sum()):
        raise DataError(f"drift compares {a.sum()} rows with {b.sum()}: both windows must hold rows")
    shares, others = (np.maximum(c / c.sum(), _EPSILON) for c in (a, b))
    return float(((shares - others) * np.log(shares / others)).sum())


def drift(reference: pd.DataFrame, window: pd.DataFrame) -> Mapping[str, float]:
    """PSI of each column of a window against the same column of the baseline window.

    Args:
        reference: the baseline window, one row per entity.
        window: the window to look at, with the same columns.

    Raises:
        DataError: the columns differ, or one of the windows holds no rows.
    """
    if unpaired := sorted(map(str, set(reference) ^ set(window))):
        raise DataError(f"only one of the two windows has the columns {', '.join(unpaired)}")
    found = {str(column): bins(reference[column]) for column in reference}
    return {column: psi(counts(reference[column], b), counts(window[column], b)) for column, b in found.items()}
