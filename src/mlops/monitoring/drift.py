"""How far a week lies from the weeks before it: an aid to explain, at times a reason to look, never one to retrain.

Rows are read once, into counts per bin. Bins depend on no data: a number falls into one of 16 of each power of two, a
category is its own. So counts of any weeks add up, any stretch can be the reference, and every figure below is made of
counts alone. (Rejected: bins of a first baseline, which every later model would have to share.)

One limit for all columns rings every week for the weather and never for the timetable. Each column has its own: twice
what its clean weeks of late have shown. Only the columns that the policy names may page; the others explain.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np
import pandas as pd

from mlops.contract import DataError, Policy

WEEK = timedelta(days=7)
ALL = ""
"""The slice that holds every row."""
MISSING = ""
"""The bin of missing values; a category's bin is "=" and its text, a number's is its lower end."""
ROWS = "*"
"""Stands for a column in the judgement on how many rows a week has."""
_PER_OCTAVE = 32
_QUANTILES = 10
_EPSILON = 1e-4
"""The least share a bin is taken to hold: an empty bin counts as one row in ten thousand, so that PSI stays finite."""
_CALIBRATED = 4
"""Clean weeks that a limit needs; with fewer the week is on hold."""

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Distances:
    """How far one column's counts lie from the reference's."""

    psi: float
    """Population stability index over deciles of the reference, or over categories; missing values are a bin."""
    jensen_shannon: float
    """Distance, base 2, over the same bins: 0 to 1."""
    wasserstein: float
    """Between the bins' lower ends, in standard deviations of the reference; NaN for categories."""
    missing: float
    """Share of missing values minus the reference's."""


def bin_values(values: pd.Series[Any]) -> tuple[Array, list[str]]:
    """Index of each value's bin, shape (n_rows,), and the bins as text, missing values last."""
    if pd.api.types.is_numeric_dtype(values):
        numbers = values.to_numpy("float64")
        mantissa, exponent = np.frexp(numbers)
        with np.errstate(over="ignore"):  # below the least number but one lies minus infinity
            lower = np.ldexp(np.floor(mantissa * _PER_OCTAVE) / _PER_OCTAVE, exponent) + 0.0  # no -0.0
        codes, found = pd.factorize(lower)
        return np.where(codes < 0, len(found), codes), [*(repr(float(end)) for end in found), MISSING]
    codes, found = pd.factorize(values)
    return np.where(codes < 0, len(found), codes), [*(f"={value}" for value in found), MISSING]


def count_bins(
    rows: pd.DataFrame, week: Sequence[Any] | Array, slices: Sequence[str] = (), sliced: Sequence[str] = ()
) -> pd.DataFrame:
    """Rows per week, column, slice and bin; bins without rows are left out.

    Args:
        rows: one row per entity, the columns to count, those of `slices` among them.
        week: of each row; any value that can be a key.
        slices: columns whose every value is a slice, as "origin=JFK"; the slice ALL is always there.
        sliced: columns that are counted per slice, too.

    Returns:
        Columns week, column, slice, bin, rows.
    """
    weeks = pd.factorize(np.asarray(week))
    whole: tuple[Array, list[str]] = (np.zeros(len(rows), "int64"), [ALL])
    groups = [whole]
    for name in slices:
        codes, found = pd.factorize(rows[name], use_na_sentinel=False)
        groups.append((codes, [f"{name}={value}" for value in found]))
    parts = []
    for column in rows.columns:
        bins = bin_values(rows[column])
        parts += [_count_column(column, bins, group, weeks) for group in (groups if column in sliced else [whole])]
    return pd.concat(parts, ignore_index=True)


def _count_column(
    column: str, bins: tuple[Array, list[str]], slices: tuple[Array, list[str]], weeks: tuple[Array, Any]
) -> pd.DataFrame:
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
    """Distances of a window from a reference, each given as rows per bin.

    Raises:
        DataError: one of them holds no rows.
    """
    bins = np.array(sorted({*reference, *window} - {MISSING}, key=_bin_order), dtype="object")
    a, b = (np.array([side.get(bin_, 0) for bin_ in (*bins, MISSING)], "float64") for side in (reference, window))
    return _measure_distances(bins, a, b)


def _bin_order(bin_: str) -> tuple[bool, float, str]:
    return (True, 0.0, bin_) if bin_.startswith("=") else (False, float(bin_), "")


def _measure_distances(bins: Array, a: Array, b: Array) -> Distances:
    """`a` is the reference; both are counts over `bins`, in order, and over missing values."""
    if not (a.sum() and b.sum()):
        raise DataError(f"drift compares {a.sum():.0f} rows with {b.sum():.0f}: both windows must hold rows")
    numeric = len(bins) > 0 and not str(bins[0]).startswith("=")
    wasserstein = _wasserstein(bins.astype("float64"), a[:-1], b[:-1]) if numeric else np.nan
    missing = b[-1] / b.sum() - a[-1] / a.sum()
    if numeric:
        a, b = _merge_into_deciles(a, b)
    shares, others = (np.maximum(c / c.sum(), _EPSILON) for c in (a, b))
    psi = float(((shares - others) * np.log(shares / others)).sum())
    return Distances(psi, _jensen_shannon(a / a.sum(), b / b.sum()), wasserstein, float(missing))


def _merge_into_deciles(a: Array, b: Array) -> tuple[Array, Array]:
    """Merge neighbouring bins until each holds about a tenth of the reference; its first and last end stay ends."""
    total = a[:-1].sum()
    if not total:
        return np.array([0.0, a[-1]]), np.array([b[:-1].sum(), b[-1]])
    before = np.cumsum(a[:-1]) - a[:-1]
    group = np.floor(before / total * _QUANTILES).astype("int64") + 1
    held = np.flatnonzero(a[:-1])
    group[: held[0]], group[held[-1] + 1 :] = 0, _QUANTILES + 1
    mine, theirs = (np.append(np.bincount(group, c[:-1]), c[-1]) for c in (a, b))
    return mine, theirs


def _jensen_shannon(p: Array, q: Array) -> float:
    middle = (p + q) / 2

    def divergence(side: Array) -> float:
        held = side > 0
        return float((side[held] * np.log2(side[held] / middle[held])).sum())

    return float(np.sqrt(max(0.0, (divergence(p) + divergence(q)) / 2)))


def _wasserstein(ends: Array, a: Array, b: Array) -> float:
    finite = np.isfinite(ends)
    ends, a, b = ends[finite], a[finite], b[finite]
    if not (a.sum() and b.sum()):
        return np.nan
    ends = ends / (np.abs(ends).max() or 1.0)  # squares of the greatest numbers would be infinite
    p, q = a / a.sum(), b / b.sum()
    spread = np.sqrt((p * (ends - (p * ends).sum()) ** 2).sum())
    moved = (np.abs(np.cumsum(p - q))[:-1] * np.diff(ends)).sum()
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
"""Columns of a judgement. `limit` is the PSI's; `state` is clean, drift, missing, rows or hold."""


def judge_weeks(counts: pd.DataFrame, past: pd.DataFrame, policy: Policy) -> pd.DataFrame:
    """Judge each week that `past` does not hold against the weeks before it, oldest first.

    Args:
        counts: as `count` gives them; `week` is the first moment of each, all of whole weeks.
        past: earlier judgements, columns JUDGED; may be empty.
        policy: `drift_reference` in whole weeks, `drift_floor`, `drift_factor`, `drift_memory`, `drift_min_rows`,
            `missing_floor`, `min_volume`.

    Returns:
        Columns JUDGED, one row per week, column and slice. A slice is compared but never judged: its state is hold.
    """
    known, reference = set(past["week"]), policy.drift_reference // WEEK
    found = [
        row
        for (column, slice_), part in counts.groupby(["column", "slice"])
        for row in _compare_series(str(column), str(slice_), part, known, reference)
    ]
    fresh = pd.DataFrame(found, columns=list(JUDGEMENT_COLUMNS))
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
            insort(before, judged[-1], key=lambda each: each.week)
    return pd.DataFrame(judged)


def _compare_series(
    column: str, slice_: str, part: pd.DataFrame, known: set[Any], reference: int
) -> Iterator[tuple[Any, ...]]:
    """One comparison per week that has enough weeks before it; a week without any row is none."""
    weeks = pd.Index(part["week"].unique()).sort_values()
    bins = np.array(sorted({*part["bin"]} - {MISSING}, key=_bin_order), dtype="object")
    matrix: Array = np.zeros((len(weeks), len(bins) + 1))
    places = weeks.get_indexer(pd.Index(part["week"])), pd.Index([*bins, MISSING]).get_indexer(pd.Index(part["bin"]))
    np.add.at(matrix, places, part["rows"].to_numpy())
    for place in range(reference, len(matrix)):
        if weeks[place] in known:
            continue
        window = matrix[place]
        found = _measure_distances(bins, matrix[place - reference : place].sum(axis=0), window)
        figures = (found.psi, found.jensen_shannon, found.wasserstein, found.missing)
        yield weeks[place], column, slice_, int(window.sum()), *figures, np.nan, "hold"


def _count_rows(fresh: pd.DataFrame) -> pd.DataFrame:
    """How many rows each week has, as one more column of the judgement."""
    rows = fresh[fresh["slice"] == ALL].groupby("week", as_index=False)["rows"].max()
    nothing = {"psi": 0.0, "jensen_shannon": 0.0, "wasserstein": np.nan, "missing": 0.0, "limit": np.nan}
    volumes: pd.DataFrame = rows.assign(column=ROWS, slice=ALL, state="hold", **nothing)
    return volumes[list(JUDGEMENT_COLUMNS)]


def _judge_row(row: Any, history: Sequence[Any], policy: Policy) -> Any:
    # A week that is made up for has later ones in its history: they were not there to be looked back on.
    history = history[: bisect_left(history, row.week, key=lambda old: old.week)]
    if row.column == ROWS:
        return _judged_volume(row, history, policy)
    clean = [old for old in history if old.state in {"clean", "hold"}][-policy.drift_memory :]
    if len(clean) < _CALIBRATED or row.rows < policy.drift_min_rows:
        return row
    limit = max(policy.drift_factor * max(old.psi for old in clean), policy.drift_floor)
    lacking = max(policy.drift_factor * max(old.missing for old in clean), policy.missing_floor)
    state = "missing" if row.missing > lacking else "drift" if row.psi > limit else "clean"
    return row._replace(limit=limit, state=state)


def _judged_volume(row: Any, history: Sequence[Any], policy: Policy) -> Any:
    weeks = _usual_volumes(history, policy)
    usual = float(np.median(weeks)) if weeks else 0.0
    # The usual number, too, says whether there is enough to judge: a week that lost nearly all rows is no small one.
    if len(weeks) < _CALIBRATED or max(usual, row.rows) < policy.drift_min_rows:
        return row
    state = "clean" if policy.min_volume * usual <= row.rows <= usual / policy.min_volume else "rows"
    return row._replace(limit=policy.min_volume * usual, state=state)


def _usual_volumes(history: Sequence[Any], policy: Policy) -> list[int]:
    """Rows of the weeks that say what is usual: the clean ones, since volume last changed for good."""
    usual: list[int] = []
    off: list[int] = []
    for old in history:
        if old.state == "rows":
            off.append(old.rows)
            if len(off) >= max(policy.drift_reference // WEEK, _CALIBRATED):
                usual = off[-policy.drift_memory :]
        else:
            usual, off = [*usual, old.rows], []
    return usual[-policy.drift_memory :]
