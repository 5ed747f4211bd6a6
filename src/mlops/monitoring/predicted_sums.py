"""Predictions that are too many for this process: Spark sums up ranges of the prediction, and only sums come here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from math import ceil
from typing import Any

import pandas as pd
from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from mlops.contract import DataError, Policy
from mlops.data import labels
from mlops.modeling.volume import describe_unjudged
from mlops.monitoring import drift, store
from mlops.monitoring.day_sums import ALL, CELL, DaySums, compare_sums, measure_sums, read_sums, sum_range
from mlops.monitoring.quality import ModelComparison, Quality
from mlops.monitoring.store import BASELINE, COUNTS, PREDICTION, Baseline, Job
from mlops.questions.binary import BinaryQuestion

_ROWS = 100_000
"""Number of rows of a range: about 10 MB of a worker."""
_MOST_RANGES = 256
_CELLS = "slice string, figure string, day timestamp, other timestamp, `range` int, value double"


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
    question: BinaryQuestion
    policy: Policy

    def measure(self, start: datetime, end: datetime, *, due: bool) -> list[Quality]:
        """See `Predicted`."""
        if not self.sums[ALL].between(start, end).total("rows"):
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
        days = champion.days.astype("datetime64[D]").astype("int64").tolist()
        if len(days) < 2 or self.baseline is None or self.incomparable_days.intersection(days):
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
            whole.mean("positives"),
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
            rows, positives = int(part.total("labelled")), int(part.total("positives"))
            if rows and name.startswith((f"{column}=", f"{column}?")):
                value = name.removeprefix(f"{column}=") if name.startswith(f"{column}=") else "nan"
                groups[value] = self.question.has_enough(rows, positives, self.policy)
        return groups


def load_sums(
    job: Job,
    question: BinaryQuestion,
    start: datetime,
    baseline: Baseline,
    versions: Mapping[str, int],
    *,
    expected: int,
) -> PredictedSums:
    """Sum up the predictions for events since `start`; `expected`: about how many there are."""
    rows, policy = _newest_predictions(job, start, baseline, versions), job.use_case.policy
    ranges = min(_MOST_RANGES, ceil(expected / _ROWS))
    edges, baseline_edges, incomparable = _find_edges(rows, job, ranges)
    sums = _sum_ranges(rows, question, edges, policy.slices)
    if baseline == "champion":
        other: DaySums | None = sums[ALL]
    elif not baseline_edges:
        other = None
    else:
        known = rows.where(F.col(labels.LABEL).isNotNull() & F.col(BASELINE).isNotNull())
        known = known.withColumn(PREDICTION, F.col(BASELINE))
        other = _sum_ranges(known, question, baseline_edges, ()).get(ALL)
    job.log.info("%d ranges of the prediction were summed up on Spark", len(edges) + 1)
    return PredictedSums(rows, sums, other, incomparable, question, policy)


def _newest_predictions(job: Job, start: datetime, baseline: Baseline, versions: Mapping[str, int]) -> DataFrame:
    """Of each entity the newest prediction with its newest outcome, as `store.load_predictions` keeps them."""
    key, label = job.use_case.entity.key, F.col(labels.LABEL)
    newest_first = [F.desc_nulls_last(name) for name in store.NEWEST]
    rows = store.query_predictions(job, start, baseline, versions)
    rows = rows.withColumn("_rank", F.row_number().over(Window.partitionBy(*key).orderBy(*newest_first)))
    known, day = F.col(labels.KNOWN), F.date_trunc("day", F.col("event_time"))
    return rows.where("_rank = 1").select(
        PREDICTION,
        BASELINE,
        "model_version",
        *job.use_case.policy.slices,
        F.when(~F.isnan(label), label).alias(labels.LABEL),
        known.isNotNull().alias("reported"),
        F.coalesce(known <= F.col("prediction_time"), F.lit(False)).alias("early"),
        day.alias("day"),
        F.date_trunc("week", F.col("event_time")).alias("week"),
    )


def _find_edges(rows: DataFrame, job: Job, ranges: int) -> tuple[list[float], list[float], frozenset[int]]:
    """Find edges of ranges of about equally many rows, of the predictions and of the baseline's; no edges: none of it.

    Where the edges lie changes no figure, so their approximation is no error.

    Returns:
        Both lists of edges, and the days, counted since 1970, on which some row has no prediction of the baseline.

    Raises:
        DataError: a prediction is no probability, or a label is neither 1 nor 0.
    """
    shares = [number / ranges for number in range(ranges + 1)]
    label, p = F.col(labels.LABEL), F.col(PREDICTION)
    counts: Any = rows.agg(
        F.count("*").alias("rows"),
        F.count_if(F.coalesce(~p.between(0.0, 1.0), F.lit(True))).alias("broken"),
        F.count_if(~label.isin(0.0, 1.0)).alias("wrong"),
        F.collect_set(F.when(F.col(BASELINE).isNull(), F.unix_date(F.col("day").cast("date")))).alias("incomparable"),
        *(F.percentile_approx(name, shares, 1000).alias(f"of_{name}") for name in (PREDICTION, BASELINE)),
    ).collect()[0]
    if counts["broken"]:
        raise DataError(f"{counts['broken']} of {counts['rows']} predictions are missing, or lie outside 0..1")
    if counts["wrong"]:
        raise DataError(
            f"the label {job.use_case.label.name} has to be 1 or 0, and {counts['wrong']} of {counts['rows']} rows "
            "have another value: mend its SQL in the use case"
        )
    edges, compared = (sorted(set(counts[f"of_{name}"] or ())) for name in (PREDICTION, BASELINE))
    return edges, compared, frozenset(counts["incomparable"])


def _sum_ranges(
    rows: DataFrame, question: BinaryQuestion, edges: Sequence[float], slices: Sequence[str]
) -> dict[str, DaySums]:
    below = F.filter(F.array(*[F.lit(edge) for edge in edges]), lambda edge: edge <= F.col(PREDICTION))
    ranged = rows.drop(BASELINE, "week").withColumn("range", F.size(below))

    def sum_part(part: pd.DataFrame) -> pd.DataFrame:
        return sum_range(question, part, int(part["range"].iloc[0]), slices)

    # Counted in bytes a range is small, so Spark would give many of them to one task.
    spread = ranged.repartition(len(edges) + 1, "range")
    cells = spread.groupBy("range").applyInPandas(sum_part, _CELLS)
    return read_sums(cells.groupBy(*CELL[:-1]).agg(F.sum("value").alias("value")).toPandas())
