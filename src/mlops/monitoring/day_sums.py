"""Measure the quality from sums per day, where the predictions are too many to be held in one process.

All figures and their day-block intervals follow from the sums that workers make of the rows (`range_sums`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd

from mlops.contract import Metrics, Policy
from mlops.monitoring.quality import DRAWS, SEED, ModelComparison, Quality, find_interval, find_offset_error
from mlops.monitoring.range_sums import ALL, PAIRS, PRECISION, VERSION, WON
from mlops.questions import Array, Question, draw_days
from mlops.questions.ranking import mean_known


@dataclass(frozen=True, eq=False)
class DaySums:
    """Sums of the rows of one slice."""

    days: Array
    """datetime64, ascending, shape (n_days,)."""
    figures: Mapping[str, Array]
    """Sums by name, each of shape (n_days,); the names are those of `Question`'s terms and of `range_sums`."""
    won: Array
    """Pairs in the right order: order, day of the row with the greater label, day of the row with the smaller label.
    Shape (n_orders, n_days, n_days)."""
    pairs: Array
    """All pairs of rows of different groups of labels, as `won`."""
    precision: float
    """Average precision of the window that the sums were made for; NaN: the kind has none, or there is no positive."""

    def total(self, name: str) -> float:
        """Sum over all days."""
        return float(self.figures[name].sum())

    def mean(self, name: str) -> float:
        """Mean over the rows with a label."""
        return self.total(name) / self.total("labelled")

    @property
    def totals(self) -> dict[str, float]:
        """All sums over all days, with the number of pairs and the average precision."""
        sums = {name: float(values.sum()) for name, values in self.figures.items()}
        return sums | {PAIRS: float(self.pairs.sum()), PRECISION: self.precision}

    @property
    def ranking(self) -> float:
        """The ranking figure; NaN: there is no pair."""
        won, pairs = self.won.sum(axis=(1, 2)), self.pairs.sum(axis=(1, 2))
        return float(mean_known(_share(won, pairs)))

    def draw_ranking(self, drawn: Array) -> Array:
        """As `Question.draw_ranking`: a pair of rows of days c and d is drawn[r, c] * drawn[r, d] times in draw r."""
        won, pairs = (((drawn @ table) * drawn).sum(axis=2) for table in (self.won, self.pairs))
        return mean_known(_share(won, pairs))

    def select(self, kept: Array) -> DaySums:
        """Keep some days; `kept` of shape (n_days,), truth values."""
        figures = {name: values[kept] for name, values in self.figures.items()}
        won, pairs = (table[:, kept][:, :, kept] for table in (self.won, self.pairs))
        return DaySums(self.days[kept], figures, won, pairs, self.precision)

    def between(self, start: datetime, end: datetime) -> DaySums:
        """Keep the days that begin in [start, end); moments with time zone."""
        first, last = (np.datetime64(moment.astimezone(UTC).replace(tzinfo=None)) for moment in (start, end))
        return self.select((self.days >= first) & (self.days < last))

    @property
    def usual_version(self) -> int:
        """The version that made most of the predictions; of equally many the oldest."""
        rows = {int(name.removeprefix(VERSION)): self.total(name) for name in self.figures if name.startswith(VERSION)}
        return min(rows, key=lambda number: (-rows[number], number))


def _share(won: Array, pairs: Array) -> Array:
    return np.asarray(np.divide(won, pairs, out=np.full(won.shape, np.nan), where=pairs > 0))


def read_sums(cells: pd.DataFrame) -> dict[str, DaySums]:
    """Make the sums of each slice from those that `merge_ranges` made."""
    days = np.unique(np.concatenate([*cells["day"], np.zeros(0, "int64")]))
    orders = int(cells["order"].max()) + 1 if len(cells) else 1
    names = [name for name in cells["figure"].unique() if name not in {WON, PAIRS, PRECISION}]
    return {str(name): _read_slice(part, days, names, orders) for name, part in cells.groupby("slice")}


def _read_slice(cells: pd.DataFrame, days: Array, names: Sequence[str], orders: int) -> DaySums:
    figures = {name: np.zeros(len(days)) for name in names}
    tables = {name: np.zeros((orders, len(days), len(days))) for name in (WON, PAIRS)}
    precision = math.nan
    for figure, order, day, other, value in cells[["figure", "order", "day", "other", "value"]].itertuples(index=False):
        at = np.searchsorted(days, day)
        if figure == PRECISION:
            precision = float(value[0])
        elif figure in tables:
            np.add.at(tables[figure][order], (at, np.searchsorted(days, other)), value)
        else:
            np.add.at(figures[figure], at, value)
    return DaySums(days.astype("datetime64[D]"), figures, tables[WON], tables[PAIRS], precision)


def measure_sums(
    question: Question, sums: Mapping[str, DaySums], start: datetime, end: datetime, policy: Policy, *, due: bool
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
    question: Question, sums: DaySums, name: str, policy: Policy, span: dict[str, Any], *, due: bool
) -> Quality:
    totals = sums.totals
    rows, labelled = int(totals["rows"]), int(totals["labelled"])
    unreported = float(1 - totals["reported"] / rows)
    base: dict[str, Any] = {
        **span, "slice": name, "rows": rows, "labelled": labelled, "positives": int(totals.get("positives", 0)),
        "unreported": unreported, "expected_level": totals["expected_level"] / rows,
        "expected_loss": totals["expected_loss"] / rows,
    }  # fmt: skip
    if not due:
        return Quality(**base, state="waiting")
    if labelled:
        base["implausible"] = question.explain_implausible(totals, policy.drift_factor)
    if not unreported <= policy.max_unlabelled or not labelled or not question.has_enough(totals, policy):
        return Quality(**base, state="hold")
    figures = _compute_figures(question, sums.select(sums.figures["labelled"] > 0), base["expected_loss"])
    return Quality(**base, state="judged", **figures)


def _compute_figures(question: Question, sums: DaySums, expected_loss: float) -> dict[str, Any]:
    """As `quality._compute_figures`; every day of the sums has a label."""
    totals, loss, level = sums.totals, sums.mean("loss"), sums.mean("level")
    gap, others = sums.total("residual") / sums.total("scale"), question.compute_others(totals)
    known = {**others, question.names.level: level}
    metrics = Metrics(int(totals["labelled"]), sums.ranking, loss, question.compute_skill(totals), gap, known)
    figures: dict[str, Any] = {
        "level": level,
        "ranking": sums.ranking,
        "loss": loss,
        "gap": gap,
        "excess_loss": loss - sums.mean("labelled_expected_loss"),
        "gap_reference": question.find_gap_reference(totals),
        "others": others,
        "words": question.describe_metrics(metrics, expected_loss),
    }
    if len(sums.days) < 2:
        return figures
    # drawn[r, d] says how often replicate r drew day d: a sum over its rows is a product with the sums per day.
    _, drawn = draw_days(sums.days, len(sums.days), DRAWS, SEED)
    scales = drawn @ sums.figures["scale"]
    draws = {
        "ranking": sums.draw_ranking(drawn),
        "loss": drawn @ sums.figures["loss"] / (drawn @ sums.figures["labelled"]),
        "gap": drawn @ sums.figures["residual"] / np.where(scales > 0, scales, np.nan),
    }
    return figures | find_interval(draws)


def _offset_error(part: DaySums, whole: DaySums) -> float:
    """Standard error of the slice's gap minus the gap of all rows; NaN with less than two days."""
    if len(whole.days) < 2:
        return math.nan
    shares = []
    for sums in (part, whole):
        residuals, scales = sums.figures["residual"], sums.figures["scale"]
        # What each day adds to the deviation of the gap, as in the error of a ratio of two sums.
        shares.append((residuals - residuals.sum() / scales.sum() * scales) / scales.sum())
    return find_offset_error(shares[0] - shares[1])


def compare_sums(champion: DaySums, baseline: DaySums) -> ModelComparison:
    """As `quality.compare_models`, from the sums of the same labelled rows in ranges of either model's predictions."""
    mine, other = (sums.select(sums.figures["labelled"] > 0) for sums in (champion, baseline))
    _, drawn = draw_days(mine.days, len(mine.days), DRAWS, SEED)
    gains = drawn @ (other.figures["loss"] - mine.figures["loss"]) / (drawn @ mine.figures["labelled"])
    low, high = (float(value) for value in np.quantile(gains, (0.025, 0.975)))
    return ModelComparison(other.ranking, other.mean("loss"), other.mean("loss") - mine.mean("loss"), low, high)
