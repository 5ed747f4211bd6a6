"""Join rows with their labels on Spark."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import pandas as pd
from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from mlops.contract import DataError, Source, UseCase
from mlops.data import feature_blocks, row_versions
from mlops.platform.tables import Schema
from mlops.questions import question_of

LABEL = "label"
KNOWN = "_known"
_MAX_EARLY = 0.01
"""Largest share of labels that may have been known when their predictions were made."""
_EARLY_ROWS = 100
"""Smallest number of labels on which that share is judged."""


def join_labels(
    rows: DataFrame, data: Schema, use_case: UseCase, as_of: datetime, *, versions: Mapping[str, int] | None = None
) -> pd.DataFrame:
    """Join rows with their matured labels, and collect them; rows without a matured label are left out.

    The newest version of an outcome that was known by `as_of` gives the label, and that version must be matured. Rows
    are sorted by key: the order of rows changes a fitted model, and Spark's order is not stable.

    Args:
        rows: rows with the entity's key, event_time and prediction_time.
        data: where the label's sources are.
        use_case: whose label.
        as_of: outcomes known later do not count, with time zone.
        versions: version of each of the label's tables; None: the newest.

    Returns:
        The rows with the column LABEL, as a number (see `Question.encode_labels`).

    Raises:
        DataError: a label is not what its kind allows, or too many labels were known when their predictions were made.
    """
    labelled_rows, early = collect_labels(rows, data, use_case, as_of, versions=versions)
    if reason := describe_early(early, len(labelled_rows), use_case):
        raise DataError(reason)
    return labelled_rows


def collect_labels(
    rows: DataFrame, data: Schema, use_case: UseCase, as_of: datetime, *, versions: Mapping[str, int] | None = None
) -> tuple[pd.DataFrame, int]:
    """As `join_labels`; returns also how many labels were known at their own prediction time, and judges them not."""
    key = [*use_case.entity.key, "prediction_time"]
    joined: pd.DataFrame = join_outcomes(rows, data, use_case, as_of, versions=versions).toPandas()
    joined = joined.sort_values([*key, KNOWN, LABEL], kind="stable")
    newest = row_versions.newest_known(joined, key, KNOWN, as_of)
    labelled_rows = newest[newest[LABEL].notna()]
    early = int(find_early(labelled_rows[KNOWN], labelled_rows["prediction_time"]).sum())
    labelled_rows = labelled_rows.drop(columns=KNOWN).reset_index(drop=True)
    numbers = question_of(use_case.label).encode_labels(labelled_rows[LABEL])
    return labelled_rows.assign(**{LABEL: numbers}), early


def find_early(known: pd.Series[Any], asked: pd.Series[Any]) -> pd.Series[bool]:
    """Find the labels that were known at their own prediction time: features could contain such labels."""
    return known <= asked


def describe_early(early: int, labelled: int, use_case: UseCase) -> str:
    """Say why labels cannot be used if too many of them were known at their own prediction time; "" if few were.

    A few occur where an entity was rescheduled to a time after its own outcome.
    """
    if labelled < _EARLY_ROWS or early <= _MAX_EARLY * labelled:
        return ""
    source = use_case.source(use_case.label.source)
    return (
        f"{early} of {labelled} labels were known when their predictions were made, and {_MAX_EARLY:.0%} may: "
        f"either {source.known_at} of {source.name} is wrong (another time zone?), or the label "
        f"{use_case.label.name} is no answer to the question; correct the rows of {source.name}, or the use case"
    )


def label_sources(use_case: UseCase) -> tuple[str, ...]:
    """Name the sources that the label is computed from."""
    return (use_case.label.source, *use_case.label.joined)


def join_outcomes(
    rows: DataFrame,
    data: Schema,
    use_case: UseCase,
    as_of: datetime,
    how: str = "inner",
    *,
    versions: Mapping[str, int] | None = None,
) -> DataFrame:
    """Join rows with their outcomes known by `as_of`, as the columns LABEL (null: not matured) and KNOWN (known at).

    A label of one source has a row per version of the outcome; any other label has one row, from the newest versions.

    Args:
        rows: rows with the entity's key and event_time.
        data: where the label's sources are.
        use_case: whose label.
        as_of: what is known later does not count, with time zone.
        how: inner or left.
        versions: version of each of the label's tables; None: the newest.
    """
    label, key = use_case.label, list(use_case.entity.key)
    reports = _load_reports(data, use_case, as_of, versions or {})
    if label.within is not None:
        return rows.join(_aggregate_windows(rows, reports, use_case, as_of), [*key, "event_time"], how)
    own = [F.col(f"{label.source}.{name}") for name in key]
    return rows.join(reports.select(*own, _label_value(use_case).alias(LABEL), KNOWN), key, how)


def _label_value(use_case: UseCase) -> Column:
    label = use_case.label
    return F.when(F.expr(label.matured), F.expr(label.value).cast(question_of(label).label_type))


def _load_reports(data: Schema, use_case: UseCase, as_of: datetime, versions: Mapping[str, int]) -> DataFrame:
    """Load what the label's source says by `as_of`, and the newest rows of the joined sources; KNOWN: known at."""
    label = use_case.label

    def load(name: str) -> DataFrame:
        known = F.col(use_case.source(name).known_at)
        return data.read_table(name, versions.get(name)).where(known <= F.lit(as_of)).withColumn(f"_{name}", known)

    alone = label.within is None and not label.joined
    reports = load(label.source) if alone else _keep_newest(load(label.source), use_case.source(label.source))
    reports = reports.alias(label.source)
    for name in label.joined:
        source = use_case.source(name)
        # Else the bare name of a key would mean two columns.
        renamed = {column: f"_{name}_{column}" for column in source.key}
        right = _keep_newest(load(name), source).withColumnsRenamed(renamed).alias(name)
        equal = [F.col(f"{label.source}.{column}") == F.col(new) for column, new in renamed.items()]
        reports = reports.join(right, equal, "left")
    moments = [F.col(f"_{name}") for name in label_sources(use_case)]
    return reports.withColumn(KNOWN, F.greatest(*moments) if len(moments) > 1 else moments[0])


def _keep_newest(rows: DataFrame, source: Source) -> DataFrame:
    newest_first = Window.partitionBy(*source.key).orderBy(F.col(source.known_at).desc())
    return rows.withColumn("_rank", F.row_number().over(newest_first)).where("_rank = 1").drop("_rank")


def _aggregate_windows(rows: DataFrame, reports: DataFrame, use_case: UseCase, as_of: datetime) -> DataFrame:
    """Aggregate the reports of each entity's window: key, event_time, LABEL and KNOWN, of those that have matured."""
    label, key = use_case.label, use_case.entity.key
    within = feature_blocks.to_interval(label.within or timedelta(0))
    matured = F.col("event_time") + feature_blocks.to_interval(use_case.policy.maturity) <= F.lit(as_of)
    asked = [F.col(name).alias(f"_asked_{name}") for name in (*key, "event_time")]
    entities = rows.where(matured).select(*asked).distinct()
    start, on = F.col("_asked_event_time"), F.col(f"{label.source}.{label.on}")
    inside = [F.col(f"{label.source}.{name}") == F.col(f"_asked_{name}") for name in label.by]
    grouped = entities.join(reports, [*inside, on >= start, on < start + within]).groupBy(*entities.columns)
    labelled = grouped.agg(_label_value(use_case).alias(LABEL), F.max(KNOWN).alias(KNOWN))
    # A window without rows has the value that SQL gives to no rows: 0 for COUNT, null for SUM.
    nothing = reports.where(F.lit(False)).agg(_label_value(use_case).alias("_nothing"))
    complete = entities.join(labelled, entities.columns, "left").crossJoin(nothing)
    value = F.when(F.col(KNOWN).isNull(), F.col("_nothing")).otherwise(F.col(LABEL))
    names = [F.col(f"_asked_{name}").alias(name) for name in (*key, "event_time")]
    return complete.select(*names, value.alias(LABEL), F.greatest(KNOWN, start + within).alias(KNOWN))


def select_event_times(rows: DataFrame, start: datetime | None, end: datetime) -> DataFrame:
    """Select the rows with start <= event_time < end; start None: from the beginning."""
    inside = F.col("event_time") < F.lit(end)
    if start is not None:
        inside = inside & (F.col("event_time") >= F.lit(start))
    return rows.where(inside)
