"""Measure how far each week's columns lie from the weeks before. Drift can raise alerts and never retrains.

Rows are read once, into counts per bin. Bins do not depend on the data: each power of two has 16 bins for numbers, each
category is a bin. So counts of weeks can be added, any stretch of weeks can be the reference, and all figures below
are computed from counts alone. (Rejected: bins of a first baseline, which every later model would have to share.)

Each column has a PSI limit of its own, twice the largest PSI of its recent clean weeks: one threshold for all columns
would alert weekly on weather and never on schedules. Only columns in `Policy.paging` alert.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np
import pandas as pd

from mlops.contract import DataError, Policy
from mlops.monitoring.quality import name_slice
from mlops.monitoring.week_volumes import CALIBRATED, evaluate_volume, find_min_rows

WEEK = timedelta(days=7)
ALL = ""
"""Name of the slice that holds every row."""
MISSING = ""
"""Bin of missing values. The bin of a category is "=" and its text, that of a number its lower end."""
OTHERS = "=(others)"
"""Bin of the categories that were not kept: of each week's only the most frequent are."""
MOST_CATEGORIES = 200
"""Number of categories of the reference that are compared one by one; all others are merged into one."""
KEPT_CATEGORIES = 1000
"""Number of categories of a week that are kept in the table `counts`."""
ROWS = "*"
"""Column name of the judgement on a week's number of rows."""
_PER_OCTAVE = 32
"""`frexp` returns mantissas of [.5, 1), so 32 steps of the mantissa make 16 bins of each power of two."""
_QUANTILES = 10
_EPSILON = 1e-4
"""Smallest share of a bin in PSI: an empty bin counts as one row in 10,000, so that the logarithm stays finite."""

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Distances:
    """Distances of one column's counts from those of the reference."""

    psi: float
    """Population stability index over deciles of the reference, or over categories; missing values are a bin."""
    jensen_shannon: float
    """Jensen-Shannon distance, base 2, over the same bins: 0 to 1."""
    wasserstein: float
    """Wasserstein distance of the bins' lower ends, in standard deviations of the reference; NaN for categories."""
    missing: float
    """Share of missing values minus that of the reference."""


def bin_values(values: pd.Series[Any]) -> tuple[Array, list[str]]:
    """Find the bin of each value.

    Args:
        values: one column, shape (n_rows,); numbers, truth values, or categories as text.

    Returns:
        The number of each value's bin, shape (n_rows,), and the names of the bins, with MISSING last.
    """
    # Truth values are treated as categories: with missing values pandas holds them as objects, else as numbers.
    if pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values):
        numbers = values.to_numpy("float64")
        # value = mantissa * 2**exponent. Rounding the mantissa down to 1/32 gives the lower end of the bin.
        mantissa, exponent = np.frexp(numbers)
        with np.errstate(over="ignore"):  # the lower end of the most negative floats is minus infinity
            lower = (
                np.ldexp(np.floor(mantissa * _PER_OCTAVE) / _PER_OCTAVE, exponent) + 0.0
            )  # + 0.0 turns -0.0 into 0.0
        codes, ends = pd.factorize(lower)
        return np.where(codes < 0, len(ends), codes), [*(repr(float(end)) for end in ends), MISSING]
    codes, categories = pd.factorize(values)
    return np.where(codes < 0, len(categories), codes), [*(f"={category}" for category in categories), MISSING]


def count_bins(
    rows: pd.DataFrame, week: Sequence[Any] | Array, slices: Sequence[str] = (), sliced: Sequence[str] = ()
) -> pd.DataFrame:
    """Count rows per week, column, slice and bin; bins without rows are left out.

    Args:
        rows: one row per entity; the columns to count, which include those of `slices`.
        week: week of each row, shape (n_rows,); any hashable value.
        slices: columns of which each value makes a slice, named as "origin=JFK". The slice ALL always exists.
        sliced: columns that are counted in every slice; the others are counted in ALL only.

    Returns:
        Columns week, column, slice, bin, rows.
    """
    weeks = pd.factorize(np.asarray(week))
    whole: tuple[Array, list[str]] = (np.zeros(len(rows), "int64"), [ALL])
    groups = [whole]
    for name in slices:
        codes, values = pd.factorize(rows[name], use_na_sentinel=False)
        groups.append((codes, [name_slice(name, value) for value in values]))
    parts = []
    for column in rows.columns:
        bins = bin_values(rows[column])
        parts += [_count_column(column, bins, group, weeks) for group in (groups if column in sliced else [whole])]
    return pd.concat(parts, ignore_index=True)


def _count_column(
    column: str, bins: tuple[Array, list[str]], slices: tuple[Array, list[str]], weeks: tuple[Array, Any]
) -> pd.DataFrame:
    # Three codes per row become one flat index, so that a single bincount fills the table (week, slice, bin).
    shape = (len(weeks[1]), len(slices[1]), len(bins[1]))
    flat = np.ravel_multi_index((weeks[0], slices[0], bins[0]), shape)
    table = np.bincount(flat, minlength=int(np.prod(shape))).reshape(shape)
    week, slice_, bin_ = np.nonzero(table)
    return pd.DataFrame(
        {
            "week": np.asarray(weeks[1])[week],
            "column": column,
            "slice": np.asarray(slices[1], "object")[slice_],
            "bin": np.asarray(bins[1], "object")[bin_],
            "rows": table[week, slice_, bin_],
        }
    )


def compare_counts(reference: Mapping[str, int], window: Mapping[str, int]) -> Distances:
    """Measure the distances of a window from a reference.

    Args:
        reference: number of rows per bin name.
        window: the same of the window.

    Raises:
        DataError: one of the two has no rows.
    """
    bins = _sort_bins({*reference, *window} - {MISSING})
    a, b = (np.array([side.get(bin_, 0) for bin_ in (*bins, MISSING)], "float64") for side in (reference, window))
    return _measure_distances(bins, a, b)


def _sort_bins(bins: Collection[str]) -> Array:
    return np.array(sorted(bins, key=_bin_order), dtype="object")


def _bin_order(bin_: str) -> tuple[bool, float, str]:
    return (True, 0.0, bin_) if bin_.startswith("=") else (False, float(bin_), "")


def _measure_distances(bins: Array, a: Array, b: Array) -> Distances:
    """Measure the distances of counts `b` from the counts `a` of the reference.

    Args:
        bins: names of the bins without MISSING, in order, shape (n_bins,).
        a: rows of the reference per bin, missing values last, shape (n_bins + 1,).
        b: the same of the window.
    """
    if not (a.sum() and b.sum()):
        raise DataError(f"drift compares {a.sum():.0f} rows with {b.sum():.0f}: both windows must hold rows")
    numeric = len(bins) > 0 and not str(bins[0]).startswith("=")
    wasserstein = _wasserstein(bins.astype("float64"), a[:-1], b[:-1]) if numeric else np.nan
    missing = b[-1] / b.sum() - a[-1] / a.sum()
    if numeric:
        a, b = _merge_into_deciles(a, b)
    elif len(bins) > MOST_CATEGORIES:
        a, b = _merge_rare_categories(bins, a, b)
    p, q = (np.maximum(counts / counts.sum(), _EPSILON) for counts in (a, b))
    psi = float(((p - q) * np.log(p / q)).sum())
    return Distances(psi, _jensen_shannon(a / a.sum(), b / b.sum()), wasserstein, float(missing))


def _merge_into_deciles(a: Array, b: Array) -> tuple[Array, Array]:
    """Merge neighbouring bins into the deciles of the reference.

    Args:
        a: rows of the reference per bin, in order, missing values last, shape (n_bins + 1,).
        b: the same of the window.

    Returns:
        Both counts over the same at most 13 groups: values below the reference's smallest, its deciles, values above
        its largest, and missing values.
    """
    total = a[:-1].sum()
    if not total:
        return np.array([0.0, a[-1]]), np.array([b[:-1].sum(), b[-1]])
    # The decile of a bin is that of the first of its rows: rows before it / all rows, in tenths, counted from 1.
    before = np.cumsum(a[:-1]) - a[:-1]
    group = np.floor(before / total * _QUANTILES).astype("int64") + 1
    # Bins outside of the reference's range get groups of their own; else a shift beyond its ends would not show.
    nonzero = np.flatnonzero(a[:-1])
    group[: nonzero[0]], group[nonzero[-1] + 1 :] = 0, _QUANTILES + 1
    merged_a, merged_b = (np.append(np.bincount(group, counts[:-1]), counts[-1]) for counts in (a, b))
    return merged_a, merged_b


def _merge_rare_categories(bins: Array, a: Array, b: Array) -> tuple[Array, Array]:
    """Merge all but the most frequent categories of the reference into one: counts of rare ones are noise.

    Args:
        bins: names of the categories, shape (n_bins,).
        a: rows of the reference per category, missing values last, shape (n_bins + 1,).
        b: the same of the window.

    Returns:
        Both counts over the kept categories, all others together, and missing values: shape (MOST_CATEGORIES + 2,).
    """
    named = np.flatnonzero(bins != OTHERS)
    kept = np.sort(named[np.argsort(-a[:-1][named], kind="stable")[:MOST_CATEGORIES]])
    merged = ((side[kept], side[:-1].sum() - side[kept].sum(), side[-1]) for side in (a, b))
    merged_a, merged_b = (np.concatenate([known, [others, missing]]) for known, others, missing in merged)
    return merged_a, merged_b


def _jensen_shannon(p: Array, q: Array) -> float:
    """Distance of two distributions over the same bins, base 2; each of shape (n_bins,) with sum 1."""
    from scipy.spatial.distance import jensenshannon

    # The divergence of distributions that differ by rounding only can be -1e-17, whose root is NaN: that is distance 0.
    with np.errstate(invalid="ignore"):
        distance = jensenshannon(p, q, base=2)
    return float(np.clip(np.nan_to_num(distance), 0.0, 1.0))


def _wasserstein(ends: Array, a: Array, b: Array) -> float:
    """Mean distance that rows have to move, in standard deviations of the reference.

    Args:
        ends: lower ends of the bins, ascending, shape (n_bins,); infinite ones are left out.
        a: rows of the reference per bin, shape (n_bins,).
        b: rows of the window per bin, shape (n_bins,).
    """
    from scipy.stats import wasserstein_distance

    finite = np.isfinite(ends)
    ends, a, b = ends[finite], a[finite], b[finite]
    if not (a.sum() and b.sum()):
        return np.nan
    # The result has no unit, so the scale is free; squares of the largest floats would overflow in the variance.
    ends = ends / (np.abs(ends).max() or 1.0)
    p = a / a.sum()
    spread = np.sqrt((p * (ends - (p * ends).sum()) ** 2).sum())
    moved = wasserstein_distance(ends, ends, a, b)
    # A reference with one single value has no spread: any move away from it is infinitely many deviations.
    return float(moved / spread) if spread else float(0 if not moved else np.inf)


JUDGEMENT_COLUMNS = (
    "week",
    "column",
    "slice",
    "rows",
    "psi",
    "jensen_shannon",
    "wasserstein",
    "missing",
    "limit",
    "state",
)
"""Columns of a judgement. `limit` is that of the PSI; `state` is clean, drift, missing, rows or hold."""


def judge_weeks(counts: pd.DataFrame, past: pd.DataFrame, policy: Policy) -> pd.DataFrame:
    """Judge each week that `past` does not hold by the weeks before it, oldest first.

    Args:
        counts: rows of `count_bins`; `week` is the first moment of a whole week.
        past: earlier judgements, columns JUDGEMENT_COLUMNS; may be empty.
        policy: `drift_reference` in whole weeks, `drift_floor`, `drift_factor`, `drift_memory`, `drift_min_rows`,
            `missing_floor`, `min_volume`.

    Returns:
        Columns JUDGEMENT_COLUMNS, one row per week, column and slice. Slices are compared and not judged: their state
        is always hold.
    """
    known, reference = set(past["week"]), policy.drift_reference // WEEK
    comparisons = [
        row
        for (column, slice_), part in counts.groupby(["column", "slice"])
        for row in _compare_series(str(column), str(slice_), part, known, reference)
    ]
    fresh = pd.DataFrame(comparisons, columns=list(JUDGEMENT_COLUMNS))
    if fresh.empty:
        return fresh
    fresh = pd.concat([fresh, _count_rows(fresh)])
    history: dict[str, list[Any]] = {}
    for old in past[(past["slice"] == ALL)].sort_values("week").itertuples():
        history.setdefault(str(old.column), []).append(old)
    judged: list[Any] = []
    for row in fresh.sort_values(["week", "column", "slice"]).itertuples(index=False):
        before = history.setdefault(str(row.column), [])
        judged.append(_judge_row(row, before, policy) if row.slice == ALL else row)
        if row.slice == ALL:
            insort(before, judged[-1], key=lambda judgement: judgement.week)
    return pd.DataFrame(judged)


def _compare_series(
    column: str, slice_: str, part: pd.DataFrame, known: set[Any], reference: int
) -> Iterator[tuple[Any, ...]]:
    """Compare each new week of one column and slice with the `reference` weeks before it; skip weeks without rows.

    Args:
        column: name of the column.
        slice_: name of the slice.
        part: rows of `count_bins` of this column and slice.
        known: weeks that are judged already.
        reference: number of weeks before a week that make its reference.
    """
    weeks = pd.Index(part["week"].unique()).sort_values()
    bins = _sort_bins({*part["bin"]} - {MISSING})
    # Rows per week and bin, shape (n_weeks, n_bins + 1). `add.at` adds, since a bin can be counted by several runs.
    matrix: Array = np.zeros((len(weeks), len(bins) + 1))
    cells = weeks.get_indexer(pd.Index(part["week"])), pd.Index([*bins, MISSING]).get_indexer(pd.Index(part["bin"]))
    np.add.at(matrix, cells, part["rows"].to_numpy())
    for number in range(reference, len(matrix)):
        if weeks[number] in known:
            continue
        window = matrix[number]
        distances = _measure_distances(bins, matrix[number - reference : number].sum(axis=0), window)
        figures = (distances.psi, distances.jensen_shannon, distances.wasserstein, distances.missing)
        yield weeks[number], column, slice_, int(window.sum()), *figures, np.nan, "hold"


def _count_rows(fresh: pd.DataFrame) -> pd.DataFrame:
    """Make one row per week, with column ROWS, for the judgement on the week's number of rows."""
    rows = fresh[fresh["slice"] == ALL].groupby("week", as_index=False)["rows"].max()
    nothing = {"psi": 0.0, "jensen_shannon": 0.0, "wasserstein": np.nan, "missing": 0.0, "limit": np.nan}
    volumes: pd.DataFrame = rows.assign(column=ROWS, slice=ALL, state="hold", **nothing)
    return volumes[list(JUDGEMENT_COLUMNS)]


def _judge_row(row: Any, history: Sequence[Any], policy: Policy) -> Any:
    # When a missed week is judged later, the history also holds weeks after it; they must not decide about it.
    history = history[: bisect_left(history, row.week, key=lambda old: old.week)]
    if row.column == ROWS:
        return evaluate_volume(row, history, policy)
    clean = [old for old in history if old.state in {"clean", "hold"}][-policy.drift_memory :]
    if len(clean) < CALIBRATED or row.rows < find_min_rows([old.rows for old in history], policy):
        return row
    limit = max(policy.drift_factor * max(old.psi for old in clean), policy.drift_floor)
    lacking = max(policy.drift_factor * max(old.missing for old in clean), policy.missing_floor)
    state = "missing" if row.missing > lacking else "drift" if row.psi > limit else "clean"
    return row._replace(limit=limit, state=state)
