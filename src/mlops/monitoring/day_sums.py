"""Measure a yes/no question from sums per day, where the predictions are too many to be held in one process.

Workers sum up ranges of the prediction, each range whole (`sum_range`). All figures and their day-block intervals
follow from the sums (`measure_sums`). The ranking is exact, too: a pair of rows of one range is counted where the range
is, a pair of rows of two ranges follows from the counts of the ranges. So the cut into ranges changes no figure.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd

from mlops.contract import DataError, Metrics, Policy
from mlops.monitoring.quality import DRAWS, SEED, ModelComparison, Quality, find_interval, find_offset_error
from mlops.questions import Array, draw_days
from mlops.questions.binary import BinaryQuestion
from mlops.questions.ranking import count_pairs

ALL = ""
CELL = ("slice", "figure", "day", "other", "range", "value")
"""Columns of the sums: name of the slice (ALL: every row), of the figure, the day, and the value. `range` is the number
of the range for the figures that the ranking needs, else 0. `other` is the day of the smaller label for the figure
`won`, else the same day."""
_PER_RANGE = ("labelled", "positives")
_ALL_ROWS = ("rows", "reported", "expected", "entropy")
_LABELLED = ("early", "predicted", "loss", "labelled_entropy", "squared")
_VERSION = "version "


@dataclass(frozen=True, eq=False)
class DaySums:
    """Sums of the rows of one slice."""

    days: Array
    """datetime64, ascending, shape (n_days,)."""
    figures: Mapping[str, Array]
    """Sums by name, each of shape (n_days,)."""
    won: Array
    """Pairs in the right order: day of the row with label 1, day of the row with label 0. Shape (n_days, n_days)."""

    @property
    def pairs(self) -> Array:
        """All pairs of a row with label 1 and one with label 0, as `won`."""
        return np.outer(self.figures["positives"], self.figures["labelled"] - self.figures["positives"])

    def total(self, name: str) -> float:
        """Sum over all days."""
        return float(self.figures[name].sum())

    def mean(self, name: str) -> float:
        """Mean over the rows with a label."""
        return self.total(name) / self.total("labelled")

    def select(self, kept: Array) -> DaySums:
        """Keep some days; `kept` of shape (n_days,), truth values."""
        figures = {name: values[kept] for name, values in self.figures.items()}
        return DaySums(self.days[kept], figures, self.won[np.ix_(kept, kept)])

    def between(self, start: datetime, end: datetime) -> DaySums:
        """Keep the days that begin in [start, end); moments with time zone."""
        first, last = (np.datetime64(moment.astimezone(UTC).replace(tzinfo=None)) for moment in (start, end))
        return self.select((self.days >= first) & (self.days < last))

    @property
    def usual_version(self) -> int:
        """The version that made most of the predictions; of equally many the oldest."""
        rows = {
            int(name.removeprefix(_VERSION)): self.total(name) for name in self.figures if name.startswith(_VERSION)
        }
        return min(rows, key=lambda number: (-rows[number], number))


def sum_range(question: BinaryQuestion, rows: pd.DataFrame, number: int, slices: Sequence[str]) -> pd.DataFrame:
    """Sum up the rows whose predictions lie in one range.

    Args:
        question: the kind of question.
        rows: as for `quality.measure_slices`, with the columns early and model_version; every row whose prediction lies
            in the range, and no other.
        number: number of the range; ranges of greater predictions have greater numbers.
        slices: columns of which each value makes a slice.

    Returns:
        The columns CELL; sums that are 0 are left out.

    Raises:
        DataError: a prediction is missing, or no probability.
    """
    p = question.unpack_scores(rows[question.score_column])
    if broken := int((~((p >= 0) & (p <= 1))).sum()):
        raise DataError(f"{broken} predictions are missing, or lie outside 0..1")
    days, day = np.unique(rows["day"].to_numpy("datetime64[us]"), return_inverse=True)
    y = rows["label"].to_numpy("float64")
    labelled, figures = ~np.isnan(y), _sum_figures(question, rows, y, p)
    cells = []
    for codes, names in _number_slices(rows, slices):
        # One sum over all slices of a column: there can be thousands of them.
        cell, shape = codes * len(days) + day, (len(names), len(days))
        for figure, values in figures.items():
            sums = np.bincount(cell, values, len(names) * len(days)).reshape(shape)
            slice_, at = np.nonzero(sums)
            place = number if figure in _PER_RANGE else 0
            cells.append(_make_cells(names[slice_], figure, days[at], days[at], (place, sums[slice_, at])))
        known = np.flatnonzero(labelled)
        known = known[np.argsort(codes[known], kind="stable")]
        ends = np.searchsorted(codes[known], np.arange(1, len(names)))
        won = [_count_won(y[part], p[part], day[part], len(days)) for part in np.split(known, ends)]
        slice_ = np.repeat(np.arange(len(names)), [len(value) for *_, value in won])
        mine, other, value = (np.concatenate(parts) for parts in zip(*won, strict=True))
        cells.append(_make_cells(names[slice_], "won", days[mine], days[other], (0, value)))
    return pd.concat(cells, ignore_index=True)


def _count_won(y: Array, p: Array, day: Array, days: int) -> tuple[Array, Array, Array]:
    """Count won pairs: numbers of the days of both rows, and the pairs; days without a won pair are left out."""
    won = count_pairs(y.astype("int64"), p, day, days)[0] if 0 < y.sum() < len(y) else np.zeros((days, days))
    mine, other = np.nonzero(won)
    return mine, other, won[mine, other]


def _number_slices(rows: pd.DataFrame, slices: Sequence[str]) -> Iterator[tuple[Array, Array]]:
    """Yield the number of each row's slice, and the slices' names: first of ALL, then of each column."""
    yield np.zeros(len(rows), "int64"), np.array([ALL], "object")
    for name in slices:
        codes, values = pd.factorize(rows[name])
        # Rows without a value are no slice, but their labels are counted.
        names = np.array([*(f"{name}={value}" for value in values), f"{name}?"], "object")
        yield np.where(codes < 0, len(values), codes), names


def _sum_figures(question: BinaryQuestion, rows: pd.DataFrame, y: Array, p: Array) -> dict[str, Array]:
    """What each row adds to each sum, shape (n_rows,)."""
    labelled = ~np.isnan(y)
    truth, entropy = np.where(labelled, y, 0.0), question.row_entropies(p)
    versions = rows["model_version"].to_numpy("int64")
    return {
        "rows": np.ones(len(p)),
        "reported": rows["reported"].to_numpy("float64"),
        "early": rows["early"].to_numpy("float64") * labelled,
        "expected": p,
        "entropy": entropy,
        "labelled": labelled.astype("float64"),
        "positives": truth,
        "predicted": p * labelled,
        "loss": question.row_losses(truth, p) * labelled,
        "labelled_entropy": entropy * labelled,
        "squared": (p - truth) ** 2 * labelled,
        **{f"{_VERSION}{number}": (versions == number).astype("float64") for number in np.unique(versions)},
    }


def _make_cells(slices: Array, figure: str, day: Array, other: Array, summed: tuple[int, Array]) -> pd.DataFrame:
    number, value = summed
    cells = {"slice": slices, "figure": figure, "day": day, "other": other, "range": number, "value": value}
    return pd.DataFrame(cells, columns=list(CELL))


def read_sums(cells: pd.DataFrame) -> dict[str, DaySums]:
    """Make the sums of each slice from the cells of all ranges."""
    days = np.unique(cells["day"].to_numpy("datetime64[us]"))
    names = [name for name in cells["figure"].unique() if name.startswith(_VERSION)]
    ranges = np.unique(cells["range"])
    return {str(name): _read_slice(part, days, names, ranges) for name, part in cells.groupby("slice")}


def _read_slice(cells: pd.DataFrame, days: Array, names: Sequence[str], ranges: Array) -> DaySums:
    day = np.searchsorted(days, cells["day"].to_numpy("datetime64[us]"))
    other = np.searchsorted(days, cells["other"].to_numpy("datetime64[us]"))
    number, value = np.searchsorted(ranges, cells["range"].to_numpy()), cells["value"].to_numpy("float64")
    tables: dict[str, Array] = {}
    for name in (*_ALL_ROWS, *_PER_RANGE, *_LABELLED, *names):
        of_figure, table = (cells["figure"] == name).to_numpy(), np.zeros((len(ranges), len(days)))
        np.add.at(table, (number[of_figure], day[of_figure]), value[of_figure])
        tables[name] = table
    positives, negatives = tables["positives"], tables["labelled"] - tables["positives"]
    # Pairs of two ranges: a positive row wins against each negative row of the ranges below its own. Pairs of one range
    # were counted where its rows were.
    won = positives.T @ (np.cumsum(negatives, axis=0) - negatives)
    within = (cells["figure"] == "won").to_numpy()
    np.add.at(won, (day[within], other[within]), value[within])
    return DaySums(days, {name: table.sum(axis=0) for name, table in tables.items()}, won)


def measure_sums(
    question: BinaryQuestion, sums: Mapping[str, DaySums], start: datetime, end: datetime, policy: Policy, *, due: bool
) -> Iterator[Quality]:
    """As `quality.measure_slices`, from sums of the slices, which may hold other days, too."""
    span = {"start": start, "end": end}
    whole, alone = sums[ALL].between(start, end), replace(policy, slice_min_rows=1, slice_min_positives=1)
    yield _measure_slice(question, whole, ALL, alone, span, due=due)
    for column in policy.slices if due else ():
        for name in (name for name in sums if name.startswith(f"{column}=")):
            part = sums[name].between(start, end)
            if part.total("rows"):
                quality = _measure_slice(question, part, name, policy, span, due=due)
                if quality.state == "judged":
                    quality = replace(quality, offset_error=_offset_error(part, whole))
                yield quality


def _measure_slice(
    question: BinaryQuestion, sums: DaySums, name: str, policy: Policy, span: dict[str, Any], *, due: bool
) -> Quality:
    rows, labelled, positives = (int(sums.total(figure)) for figure in ("rows", "labelled", "positives"))
    unreported = float(1 - sums.total("reported") / rows)
    expected = sums.total("expected") / rows
    base: dict[str, Any] = {
        **span, "slice": name, "rows": rows, "labelled": labelled, "positives": positives, "unreported": unreported,
        "expected_level": expected, "expected_loss": sums.total("entropy") / rows,
    }  # fmt: skip
    if not due:
        return Quality(**base, state="waiting")
    if labelled:
        rate = positives / labelled
        base["implausible"] = question.describe_implausible_rate(rate, labelled, expected, policy.drift_factor)
    enough = labelled > 0 and question.has_enough(labelled, positives, policy)
    if not unreported <= policy.max_unlabelled or not enough:
        return Quality(**base, state="hold")
    figures = _compute_figures(question, sums.select(sums.figures["labelled"] > 0), base["expected_loss"])
    return Quality(**base, state="judged", **figures)


def _compute_figures(question: BinaryQuestion, sums: DaySums, expected_loss: float) -> dict[str, Any]:
    """As `quality._compute_figures`; every day of the sums has a label. The words leave average precision out."""
    loss, rate = sums.mean("loss"), sums.mean("positives")
    ranking, gap = float(sums.won.sum() / sums.pairs.sum()), sums.mean("predicted") - rate
    skill = 1 - loss / question.estimate_loss(np.array([rate]))
    residuals = sums.figures["predicted"] - sums.figures["positives"]
    figures: dict[str, Any] = {
        "level": rate,
        "ranking": ranking,
        "loss": loss,
        "gap": gap,
        "excess_loss": loss - sums.mean("labelled_entropy"),
        "gap_reference": rate,
        "others": {"brier": sums.mean("squared")},
        "words": question.describe_metrics(
            Metrics(int(sums.total("labelled")), ranking, loss, skill, gap, {}), expected_loss
        ),
    }
    if len(sums.days) < 2:
        return figures
    # drawn[r, d] says how often replicate r drew day d: a sum over its rows is a product with the sums per day, and a
    # pair of rows of days c and d is in it drawn[r, c] * drawn[r, d] times.
    _, drawn = draw_days(sums.days, len(sums.days), DRAWS, SEED)
    rows = drawn @ sums.figures["labelled"]
    won, pairs = (((drawn @ table) * drawn).sum(axis=1) for table in (sums.won, sums.pairs))
    draws = {
        "ranking": np.divide(won, pairs, out=np.full(len(drawn), np.nan), where=pairs > 0),
        "loss": drawn @ sums.figures["loss"] / rows,
        "gap": drawn @ residuals / rows,
    }
    return figures | find_interval(draws)


def _offset_error(part: DaySums, whole: DaySums) -> float:
    """Standard error of the slice's gap minus the gap of all rows; NaN with less than two days."""
    if len(whole.days) < 2:
        return math.nan
    shares = []
    for sums in (part, whole):
        residuals = sums.figures["predicted"] - sums.figures["positives"]
        rows = sums.figures["labelled"]
        # What each day adds to the deviation of the mean residual, as in the error of a ratio of two sums.
        shares.append((residuals - residuals.sum() / rows.sum() * rows) / rows.sum())
    return find_offset_error(shares[0] - shares[1])


def compare_sums(champion: DaySums, baseline: DaySums) -> ModelComparison:
    """As `quality.compare_models`, from the sums of the same labelled rows in ranges of either model's predictions."""
    mine, other = (sums.select(sums.figures["labelled"] > 0) for sums in (champion, baseline))
    _, drawn = draw_days(mine.days, len(mine.days), DRAWS, SEED)
    gains = drawn @ (other.figures["loss"] - mine.figures["loss"]) / (drawn @ mine.figures["labelled"])
    low, high = (float(value) for value in np.quantile(gains, (0.025, 0.975)))
    ranking = float(other.won.sum() / other.pairs.sum())
    return ModelComparison(ranking, other.mean("loss"), other.mean("loss") - mine.mean("loss"), low, high)
