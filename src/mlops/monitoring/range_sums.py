"""Sum up predictions in workers: first the rows of each range of the prediction, then the ranges of each slice.

Figures that are means need sums per day. The ranking figure needs, per pair of days, the pairs of rows that the
predictions put in the right order: a pair of rows of one range is counted where the range is (`sum_range`), a pair of
rows of two ranges follows from their counts per day and group of labels (`merge_ranges`). So the cut into ranges
changes no figure, and what comes out is of one size, however many rows there are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd

from mlops.contract import DataError
from mlops.data.row_contract import days_of
from mlops.monitoring.quality import name_slice
from mlops.questions import Array, Question
from mlops.questions.precision import merge_precision, sum_precision
from mlops.questions.ranking import count_pairs

ALL = ""
"""Name of the slice that holds every row."""
CELL = ("slice", "figure", "order", "range", "day", "other", "value")
"""Columns of the sums of a slice and figure. `day`, days since 1970, `other` and `value` are arrays of one length.
`other` is the number of the group of labels for the figure _COUNTS, the day of the smaller label for WON and PAIRS.
PRECISION has values only."""
WON, PAIRS, PRECISION, VERSION = "won", "pairs", "average_precision", "version "
_COUNTS = "counts"
_TWO_LABELS = np.array([0.0, 1.0])
_NONE = np.zeros(0, "int64")


def sum_range(
    question: Question,
    rows: pd.DataFrame,
    slices: Sequence[str],
    groups: Mapping[str, Array],
    *,
    window: range,
    order: int = 0,
    number: int = 0,
) -> pd.DataFrame:
    """Sum up the rows whose predictions lie in one range; returns the columns CELL.

    Args:
        question: the kind of question.
        rows: the columns scores (array of the question's scores), label (as in SQL), reported, early, day,
            model_version and the slices; every row whose score of the order lies in the range, and no other.
        slices: columns of which each value makes a slice.
        groups: by slice, the smallest label of each group of labels that is ranked, ascending; a slice that is not
            there has the groups 0 and 1.
        window: the days, since 1970, of the window whose average precision is summed up, where the kind has one.
        order: which of `Question.list_orders` has the range. Figures that are means are summed up with the first one.
        number: number of the range; ranges of greater scores have greater numbers.

    Raises:
        DataError: a prediction or a label is not what the kind allows.
    """
    y, p = _read_rows(question, rows)
    dates, day = np.unique(days_of(rows["day"].to_numpy()), return_inverse=True)
    known = np.flatnonzero(~np.isnan(y))
    label, score = question.list_orders(y[known], p[known])[order]
    terms = {} if order else _list_terms(question, rows, y, p)
    is_precise = np.isin(dates, window)[day[known]] & (PRECISION in question.names.known_figures)
    cells: list[tuple[object, ...]] = []
    for codes, names in number_slices(rows, slices):
        for figure, values in terms.items():
            # One sum over all slices of a column: there can be thousands of them.
            sums = np.bincount(codes * len(dates) + day, values, len(names) * len(dates)).reshape(-1, len(dates))
            cells += [(name, figure, 0, number, dates, _NONE, part) for name, part in zip(names, sums, strict=True)]
        for name, part in zip(names, _split_slices(codes[known], len(names)), strict=True):
            group = np.searchsorted(groups.get(name, _TWO_LABELS)[1:], label[part], "right")
            ranked = _rank_rows(group, score[part], day[known[part]], dates)
            if len(precise := part[is_precise[part]]):
                ranked[PRECISION] = (_NONE, _NONE, sum_precision(label[precise], score[precise]))
            cells += [(name, figure, order, number, *arrays) for figure, arrays in ranked.items()]
    return pd.DataFrame(cells, columns=list(CELL))


def number_slices(rows: pd.DataFrame, slices: Sequence[str]) -> Iterator[tuple[Array, Array]]:
    """Yield the number of each row's slice, and the slices' names: first of ALL, then of each column."""
    yield np.zeros(len(rows), "int64"), np.array([ALL], "object")
    for name in slices:
        codes, values = pd.factorize(rows[name])
        # Rows without a value are no slice, but their labels are counted.
        names = np.array([*(name_slice(name, value) for value in values), f"{name}?"], "object")
        yield np.where(codes < 0, len(values), codes), names


def _read_rows(question: Question, rows: pd.DataFrame) -> tuple[Array, Array]:
    """Read labels, NaN where there is none, and scores."""
    p = np.stack(list(rows["scores"])).astype("float64").reshape(question.score_shape(len(rows)))
    if odd := question.describe_odd_scores(p):
        raise DataError(f"some of {len(p)} predictions {odd}")
    return question.encode_labels(rows["label"]).to_numpy("float64"), p


def _split_slices(codes: Array, slices: int) -> list[Array]:
    """Positions of the rows of each slice."""
    order = np.argsort(codes, kind="stable")
    return np.split(order, np.searchsorted(codes[order], np.arange(1, slices)))


def _list_terms(question: Question, rows: pd.DataFrame, y: Array, p: Array) -> dict[str, Array]:
    """What each row adds to each sum, shape (n_rows,)."""
    labelled = ~np.isnan(y)
    known, scored = y[labelled], p[labelled]
    versions = rows["model_version"].to_numpy("int64")
    terms = {
        "rows": np.ones(len(y)),
        "reported": rows["reported"].to_numpy("float64"),
        "early": rows["early"].to_numpy("float64") * labelled,
        "labelled": labelled.astype("float64"),
        **question.list_prediction_terms(p),
        **{f"{VERSION}{number}": (versions == number).astype("float64") for number in np.unique(versions)},
    }
    for name, values in {**question.list_label_terms(known), **question.list_error_terms(known, scored)}.items():
        terms[name] = np.zeros(len(y))
        terms[name][labelled] = values
    return terms


def _rank_rows(group: Array, p: Array, day: Array, dates: Array) -> dict[str, tuple[Array, Array, Array]]:
    """Count rows per day and group, and the won pairs of these rows."""
    if not len(group):
        return {}
    groups = int(group.max()) + 1
    counts = np.bincount(day * groups + group, minlength=len(dates) * groups).reshape(-1, groups)
    at, of = np.nonzero(counts)
    ranked = {_COUNTS: (dates[at], of, counts[at, of].astype("float64"))}
    if group.min() < group.max():
        won = count_pairs(group, p, day, len(dates))[0]
        at, of = np.nonzero(won)
        ranked[WON] = (dates[at], dates[of], won[at, of])
    return ranked


def merge_ranges(cells: pd.DataFrame) -> pd.DataFrame:
    """Merge the sums of all ranges of one slice; the result has no counts of groups, but all pairs."""
    name = cells["slice"].iloc[0]
    parts: list[tuple[object, ...]] = []
    is_ranked = cells["figure"].isin([_COUNTS, WON])
    for order, part in cells[is_ranked].groupby("order"):
        for figure, ranked in _merge_ranks(part).items():
            parts.append((name, figure, order, 0, *ranked))
    for summed, part in cells[~is_ranked].groupby("figure"):
        if summed == PRECISION:
            average = merge_precision(list(part.sort_values("range")["value"]))
            parts.append((name, PRECISION, 0, 0, _NONE, _NONE, np.array([average])))
        else:
            dates, at = np.unique(np.concatenate(list(part["day"])), return_inverse=True)
            sums = np.bincount(at, np.concatenate(list(part["value"])))
            parts.append((name, summed, 0, 0, dates, _NONE, sums))
    return pd.DataFrame(parts, columns=list(CELL))


def _merge_ranks(cells: pd.DataFrame) -> dict[str, tuple[Array, Array, Array]]:
    """Count won pairs and all pairs of one order: day of the greater label, day of the smaller label, and number.

    A row wins against each row of the ranges below its own that has a smaller label.
    """
    counted, won_inside = (cells[cells["figure"] == figure] for figure in (_COUNTS, WON))
    day, group, rows = (np.concatenate(list(counted[name])) for name in CELL[-3:])
    of_range = np.repeat(np.unique(counted["range"], return_inverse=True)[1], counted["day"].str.len())
    dates, day = np.unique(day, return_inverse=True)
    counts = np.zeros((int(of_range.max()) + 1, len(dates), int(group.max()) + 1))
    np.add.at(counts, (of_range, day, group), rows)
    below, won = np.zeros(counts.shape[1:]), np.zeros((len(dates), len(dates)))
    for of_days in counts:
        won += of_days @ _count_smaller(below).T
        below += of_days
    for greater, smaller, pairs in won_inside[list(CELL[-3:])].itertuples(index=False):
        np.add.at(won, (np.searchsorted(dates, greater), np.searchsorted(dates, smaller)), pairs)
    tables = {WON: won, PAIRS: below @ _count_smaller(below).T}
    return {
        figure: (dates[at], dates[of], table[at, of])
        for figure, table in tables.items()
        for at, of in [np.nonzero(table)]
    }


def _count_smaller(counts: Array) -> Array:
    """Count per day and group the rows of smaller groups."""
    return np.asarray(np.cumsum(counts, axis=1) - counts)
