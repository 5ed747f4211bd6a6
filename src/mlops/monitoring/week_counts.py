"""Count the bins of features and predictions per week, and compare weeks by the counts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

import pandas as pd
from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from mlops.data import labels
from mlops.data.row_scorer import PART
from mlops.monitoring import alerts, drift
from mlops.monitoring.predicted_rows import Predicted
from mlops.monitoring.store import Job, to_naive
from mlops.platform import staging

COUNTS = "week timestamp, column string, slice string, bin string, rows bigint"
_CELL = ["week", "column", "slice", "bin"]


def list_weeks(job: Job, start: datetime) -> tuple[datetime, ...]:
    """List the Mondays, 00:00 UTC, of weeks whose late rows have come, from as long before `start` as limits look."""
    policy = job.use_case.policy
    back = (policy.drift_memory + 1) * drift.WEEK + policy.drift_reference
    return alerts.weeks_of(start - back, job.config.as_of - policy.maturity)


def query_weeks(job: Job, weeks: Sequence[datetime]) -> DataFrame:
    """Query the counts of weeks from the first to the last one: the columns of COUNTS."""
    counts = job.own.read_table("counts").where(F.col("week").between(F.lit(weeks[0]), F.lit(weeks[-1])))
    return counts.select(*_CELL, "rows")


def count_weeks(job: Job, weeks: Sequence[datetime], predicted: Predicted) -> pd.DataFrame:
    """Count the bins of features and predictions for weeks in one pass over the rows, and append them to `counts`.

    Rows are counted here if the window's predictions are here and they are at most `max_collected_rows`, else in
    Spark's workers.

    Returns:
        What was appended, with the columns of COUNTS; `week` is UTC without zone. Without columns: nothing was.
    """
    policy, names = job.use_case.policy, [feature.name for feature in job.use_case.features]
    rows = labels.select_event_times(job.data.read_table("features"), weeks[0], weeks[-1] + drift.WEEK)
    rows = rows.select(F.date_trunc("week", F.col("event_time")).alias("week"), *names)
    rows = rows.where(F.col("week").isin([*weeks]))

    def count_parts(parts: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
        for part in parts:
            if len(part):
                yield drift.count_bins(part[names], part["week"].to_numpy(), policy.slices, policy.paging)

    of_predictions = predicted.count_bins(weeks)
    if isinstance(of_predictions, pd.DataFrame):  # else rows of the window alone are too many
        few = rows.limit(policy.max_collected_rows + 1).toPandas()
        if len(few) <= policy.max_collected_rows:
            # In parts as in workers: one table of all weeks, slices and bins may be large.
            parts = [*count_parts(few.iloc[at : at + PART] for at in range(0, len(few), PART))]
            made = [merge_rare(pd.concat(parts))] if parts else []
            made += [of_predictions] if len(of_predictions) else []
            return _append_here(job, pd.concat(made)) if made else pd.DataFrame()
    job.log.info("Spark counts the weeks")
    counted = _merge_rare(rows.mapInPandas(count_parts, COUNTS).groupBy(*_CELL).agg(F.sum("rows").alias("rows")))
    if not isinstance(of_predictions, pd.DataFrame):
        counted = counted.unionByName(of_predictions)
    elif len(of_predictions):
        counted = counted.unionByName(job.own.spark.createDataFrame(of_predictions, COUNTS))
    job.own.append_rows("counts", counted.withColumn("as_of", F.lit(job.config.as_of)))
    appended: pd.DataFrame = query_weeks(job, weeks).where(F.col("week").isin([*weeks])).toPandas()
    return appended


def _append_here(job: Job, counts: pd.DataFrame) -> pd.DataFrame:
    import pyarrow as pa

    zoned = counts.assign(week=pd.to_datetime(counts["week"]).dt.tz_localize("UTC").astype("datetime64[us, UTC]"))
    with staging.open_frame(job.own, pa.Table.from_pandas(zoned, preserve_index=False)) as frame:
        job.own.append_rows("counts", frame.withColumn("as_of", F.lit(job.config.as_of)))
    return counts


def _merge_rare(counted: DataFrame) -> DataFrame:
    """Do as `merge_rare` does, on Spark."""
    rank = F.row_number().over(Window.partitionBy(*_CELL[:-1]).orderBy(F.desc("rows"), "bin"))
    is_rare = F.col("bin").startswith("=") & (rank > drift.KEPT_CATEGORIES)
    named = counted.withColumn("bin", F.when(is_rare, F.lit(drift.OTHERS)).otherwise(F.col("bin")))
    return named.groupBy(*_CELL).agg(F.sum("rows").alias("rows"))


def merge_rare(counted: pd.DataFrame) -> pd.DataFrame:
    """Merge all but the most frequent categories of each week, column and slice into one bin.

    A column of a million texts would be a million rows a week.

    Args:
        counted: the columns of COUNTS; rows of one week, column, slice and bin add up.
    """
    ordered = (
        counted.groupby(_CELL, sort=False)["rows"]
        .sum()
        .reset_index()
        .sort_values(["rows", "bin"], ascending=[False, True])
    )
    is_rare = ordered["bin"].str.startswith("=") & (ordered.groupby(_CELL[:-1]).cumcount() >= drift.KEPT_CATEGORIES)
    named = ordered.assign(bin=ordered["bin"].mask(is_rare, drift.OTHERS))
    return named.groupby(_CELL, sort=False)["rows"].sum().reset_index()


def judge_weeks(job: Job, counts: pd.DataFrame, past: pd.DataFrame) -> pd.DataFrame:
    """Compare the counted weeks that `past` does not hold with the weeks before them, as `drift.judge_weeks` does."""
    return drift.judge_weeks(counts, past, job.use_case.policy).assign(as_of=to_naive(job.config.as_of))


def find_uncounted(weeks: Sequence[datetime], counts: pd.DataFrame) -> tuple[datetime, ...]:
    """List the weeks of which `counts`, with the columns of COUNTS, has no row."""
    counted = {*counts["week"]}
    return tuple(week for week in weeks if to_naive(week) not in counted)
