"""Predictions that are too many for this process: Spark sums up ranges of the prediction, and only sums come here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from math import ceil
from typing import Any

import numpy as np
import pandas as pd
from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from mlops.contract import Policy
from mlops.data import labels
from mlops.data.row_contract import days_of
from mlops.modeling.splits import Span
from mlops.modeling.volume import describe_unjudged
from mlops.monitoring import drift, store
from mlops.monitoring.day_sums import DaySums, compare_sums, measure_sums, read_sums
from mlops.monitoring.quality import ModelComparison, Quality
from mlops.monitoring.range_sums import ALL, merge_ranges, number_slices, sum_range
from mlops.monitoring.store import BASELINE, PREDICTION, Baseline, Job
from mlops.monitoring.week_counts import COUNTS
from mlops.questions import Array, Question, question_of
from mlops.questions.classes import ClassesQuestion
from mlops.questions.number import NumberQuestion
from mlops.questions.ranking import GROUPS

_ROWS = 100_000
"""Number of rows of a range: about 10 MB of a worker."""
_MOST_RANGES = 256
_CELLS = (
    "slice string, figure string, `order` int, `range` int, day array<bigint>, other array<bigint>, value array<double>"
)


@dataclass(frozen=True, eq=False)
class PredictedSums:
    """Predictions as sums; see `Predicted`."""

    rows: DataFrame
    """One row per entity, as `store.load_predictions` returns them, on Spark."""
    sums: dict[str, DaySums]
    """Sums by slice, in ranges of the champion's predictions."""
    baseline: DaySums | None
    """Sums of the rows with a label, in ranges of the baseline model's predictions; None: no row has one."""
    incomparable_days: frozenset[int]
    """Days, counted since 1970, on which the baseline model could not score some row."""
    question: Question
    policy: Policy

    def measure(self, start: datetime, end: datetime, *, due: bool) -> list[Quality]:
        """See `Predicted`."""
        if ALL not in self.sums or not self.sums[ALL].between(start, end).total("rows"):
            return []
        return list(measure_sums(self.question, self.sums, start, end, self.policy, due=due))

    def count_early(self, start: datetime, end: datetime) -> int:
        """See `Predicted`."""
        return int(self.sums[ALL].between(start, end).total("early"))

    def usual_version(self, start: datetime, end: datetime) -> int:
        """See `Predicted`."""
        return self.sums[ALL].between(start, end).usual_version

    def compare(self, start: datetime, end: datetime) -> ModelComparison | None:
        """See `Predicted`."""
        champion = self.sums[ALL].between(start, end)
        days = days_of(champion.days).tolist()
        if (
            (champion.figures["labelled"] > 0).sum() < 2
            or self.baseline is None
            or self.incomparable_days.intersection(days)
        ):
            return None
        return compare_sums(champion, self.baseline.between(start, end))

    def find_unjudged(self, start: datetime, end: datetime) -> tuple[str, ...]:
        """See `Predicted`."""
        whole = self.sums[ALL].between(start, end)
        if not whole.total("labelled"):
            return ()
        return describe_unjudged(
            self.question,
            {column: self._judge_groups(column, start, end) for column in self.policy.slices},
            int(whole.total("labelled")),
            self.question.find_gap_reference(whole.totals),
            length=self.policy.window,
            policy=self.policy,
        )

    def count_bins(self, weeks: Sequence[datetime]) -> DataFrame:
        """See `Predicted`."""

        def count(parts: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
            for part in parts:
                if len(part):
                    yield drift.count_bins(part[[PREDICTION]], part["week"].to_numpy())

        rows = self.rows.where(F.col("week").isin(list(weeks))).select("week", PREDICTION)
        parts = rows.mapInPandas(count, COUNTS).groupBy("week", "column", "slice", "bin")
        return parts.agg(F.sum("rows").alias("rows"))

    def _judge_groups(self, column: str, start: datetime, end: datetime) -> dict[str, bool]:
        groups = {}
        for name, sums in self.sums.items():
            part = sums.between(start, end)
            if part.total("labelled") and name.startswith((f"{column}=", f"{column}?")):
                value = name.removeprefix(f"{column}=") if name.startswith(f"{column}=") else "nan"
                groups[value] = self.question.has_enough(part.totals, self.policy)
        return groups


def load_sums(
    job: Job, start: datetime, window: Span, baseline: Baseline, versions: Mapping[str, int]
) -> PredictedSums:
    """Sum up the predictions for events since `start`.

    Two figures are those of the window alone: the average precision, and the concordance of numbers, whose groups are
    made of its labels.
    """
    question, policy = question_of(job.use_case.label), job.use_case.policy
    rows = _newest_predictions(job, question, start, baseline, versions)
    stored = job.own.read_table("predictions", versions["predictions"])
    ranges = ceil(labels.select_event_times(stored, start, job.config.as_of).count() / _ROWS)
    edges, baseline_edges, incomparable = _find_edges(rows, min(_MOST_RANGES, max(1, ranges)), question)
    groups = _find_groups(rows, window, policy.slices) if isinstance(question, NumberQuestion) else {}
    sums = _sum_ranges(rows, question, edges, groups, slices=policy.slices, window=window)
    other = sums if baseline == "champion" else {}
    if baseline != "champion" and any(baseline_edges):
        known = rows.where(F.col(labels.LABEL).isNotNull() & F.col("baseline_scores").isNotNull())
        known = known.withColumn("scores", F.col("baseline_scores"))
        other = _sum_ranges(known, question, baseline_edges, groups, slices=(), window=window)
    job.log.info("%d ranges of the prediction were summed up on Spark", sum(len(cuts) + 1 for cuts in edges))
    return PredictedSums(rows, sums, other.get(ALL), incomparable, question, policy)


def _newest_predictions(
    job: Job, question: Question, start: datetime, baseline: Baseline, versions: Mapping[str, int]
) -> DataFrame:
    """Of each entity the newest prediction with its newest outcome, as `store.load_predictions` keeps them."""
    key, label = job.use_case.entity.key, F.col(labels.LABEL)
    newest_first = [F.desc_nulls_last(name) for name in store.NEWEST]
    rows = store.query_predictions(job, start, baseline, versions)
    rows = rows.withColumn("_rank", F.row_number().over(Window.partitionBy(*key).orderBy(*newest_first)))
    known, day = F.col(labels.KNOWN), F.date_trunc("day", F.col("event_time"))
    # A first champion that cannot be loaded gives a null of another type.
    compared = (
        F.lit(None) if baseline is None else F.when(F.col(BASELINE).isNotNull(), _list_scores(question, BASELINE))
    )
    return rows.where("_rank = 1").select(
        PREDICTION,
        _list_scores(question, question.score_column).alias("scores"),
        compared.cast("array<double>").alias("baseline_scores"),
        "model_version",
        *job.use_case.policy.slices,
        label if question.label_type == "string" else F.when(~F.isnan(label), label).alias(labels.LABEL),
        known.isNotNull().alias("reported"),
        F.coalesce(known <= F.col("prediction_time"), F.lit(False)).alias("early"),
        day.alias("day"),
        F.date_trunc("week", F.col("event_time")).alias("week"),
    )


def _list_scores(question: Question, column: str) -> Column:
    """As `Question.unpack_scores`: an array with a score for each order."""
    if not isinstance(question, ClassesQuestion):
        return F.array(column)
    return F.array(*[F.coalesce(F.try_element_at(column, F.lit(name)), F.lit(0.0)) for name in question.classes])


def _find_edges(
    rows: DataFrame, ranges: int, question: Question
) -> tuple[list[list[float]], list[list[float]], frozenset[int]]:
    """Find edges of ranges of about equally many rows, for each order of the predictions and of the baseline's.

    Where the edges lie changes no figure, so their approximation is no error.

    Returns:
        Both lists of edges, and the days, counted since 1970, on which some row has no prediction of the baseline.
    """
    shares = [number / ranges for number in range(ranges + 1)]
    orders = range(*question.score_shape(1)[1:] or (1,))
    missing = F.when(F.col("baseline_scores").isNull(), F.unix_date(F.col("day").cast("date")))
    counts: Any = rows.agg(
        F.collect_set(missing).alias("incomparable"),
        *(
            F.percentile_approx(F.col(name)[order], shares, 1000).alias(f"{name}_{order}")
            for name in ("scores", "baseline_scores")
            for order in orders
        ),
    ).collect()[0]
    edges, compared = (
        [sorted(set(counts[f"{name}_{order}"] or ())) for order in orders] for name in ("scores", "baseline_scores")
    )
    return edges, compared, frozenset(counts["incomparable"])


def _find_groups(rows: DataFrame, window: Span, slices: Sequence[str]) -> dict[str, Array]:
    """Find the smallest label of each group of labels of the window, by slice, as `ranking.group_labels` makes groups.

    Labels are counted before they are sorted, so no process holds more of them than one batch of rows.
    """
    inside = (F.col("day") >= F.lit(window.start)) & (F.col("day") < F.lit(window.end))

    def count(parts: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
        for part in parts:
            for codes, names in number_slices(part, slices) if len(part) else ():
                named = pd.DataFrame({"slice": names[codes], labels.LABEL: part[labels.LABEL]})
                yield named.value_counts().rename("rows").reset_index()

    known = rows.where(F.col(labels.LABEL).isNotNull() & inside).select(labels.LABEL, *slices)
    counted = known.mapInPandas(count, "slice string, label double, rows bigint")
    counted = counted.groupBy("slice", labels.LABEL).agg(F.sum("rows").alias("rows"))
    of_slice = Window.partitionBy("slice")
    ascending = of_slice.orderBy(labels.LABEL)
    middle = 2 * F.sum("rows").over(ascending) - F.col("rows")
    grouped = counted.select(
        "slice",
        labels.LABEL,
        F.when(F.count("*").over(of_slice) <= GROUPS, F.row_number().over(ascending))
        .otherwise(F.floor(middle * GROUPS / (2 * F.sum("rows").over(of_slice))))
        .alias("group"),
    )
    starts = grouped.groupBy("slice", "group").agg(F.min(labels.LABEL).alias(labels.LABEL)).toPandas()
    return {str(name): np.sort(part[labels.LABEL].to_numpy("float64")) for name, part in starts.groupby("slice")}


def _sum_ranges(
    rows: DataFrame,
    question: Question,
    edges: Sequence[Sequence[float]],
    groups: Mapping[str, Array],
    *,
    slices: Sequence[str],
    window: Span,
) -> dict[str, DaySums]:
    first, end = ((moment.date() - date(1970, 1, 1)).days for moment in (window.start, window.end))

    def place(order: int) -> Column:
        cuts = F.array(*[F.lit(edge) for edge in edges[order]]).cast("array<double>")
        below = F.filter(cuts, lambda edge: edge <= F.col("scores")[order])
        return F.struct(F.lit(order).alias("order"), F.size(below).alias("range"))

    def sum_part(part: pd.DataFrame) -> pd.DataFrame:
        order, number = (int(part[name].iloc[0]) for name in ("order", "range"))
        return sum_range(question, part, slices, groups, window=range(first, end), order=order, number=number)

    places = F.explode(F.array(*[place(order) for order in range(len(edges))])).alias("place")
    ranged = rows.select("scores", "model_version", *slices, labels.LABEL, "reported", "early", "day", places)
    ranged = ranged.select("*", "place.*").drop("place")
    # Counted in bytes a range is small, so Spark would give many of them to one task.
    spread = ranged.repartition(sum(len(cuts) + 1 for cuts in edges), "order", "range")
    cells = spread.groupBy("order", "range").applyInPandas(sum_part, _CELLS)
    return read_sums(cells.groupBy("slice").applyInPandas(merge_ranges, _CELLS).toPandas())
