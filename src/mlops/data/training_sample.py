"""Take a sample of the rows of a training on Spark, before any row comes to this process."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from datetime import datetime
from functools import reduce
from operator import or_

import numpy as np
import pandas as pd
from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from mlops.contract import UseCase, Values
from mlops.data import labels
from mlops.data.sample_plan import BUCKETS, SamplePlan, plan_sample
from mlops.platform.tables import Schema
from mlops.questions import question_of

BUCKET = "_bucket"
"""Column of sampled rows: the bucket of the entity's key."""
_ANY = "any"
"""The only class where classes do not matter."""


def sample_rows(
    rows: DataFrame,
    data: Schema,
    use_case: UseCase,
    as_of: datetime,
    *,
    versions: Mapping[str, int],
    by_class: bool,
) -> tuple[DataFrame, SamplePlan | None]:
    """Take a sample of `policy.max_training_rows` rows that have a matured label.

    Args:
        rows: rows with the entity's key, event_time and prediction_time.
        data: where the label's sources are.
        use_case: whose label, policy and seed.
        as_of: outcomes known later do not count, with time zone.
        versions: version of each of the label's tables.
        by_class: whether a rare class keeps more of its rows than the others.

    Returns:
        The rows with the column BUCKET, and the plan; the rows as they are and None where all are few enough.
    """
    limit, key = use_case.policy.max_training_rows, [*use_case.entity.key, "prediction_time"]
    if rows.count() <= limit:
        return rows, None
    seeded = F.xxhash64(F.lit(use_case.model.seed), *(F.col(name) for name in use_case.entity.key))
    rows = rows.withColumn(BUCKET, F.pmod(seeded, F.lit(BUCKETS)))
    outcomes = labels.join_outcomes(rows.select(*key, "event_time", BUCKET), data, use_case, as_of, versions=versions)
    labelled = _keep_newest_labels(outcomes, key, use_case)
    labelled = labelled.withColumn("class", F.col(labels.LABEL) if by_class else F.lit(_ANY))
    plan = plan_sample(_count_buckets(labelled.groupBy("class", BUCKET).count().toPandas()), limit)
    if plan.is_whole:  # also where no row has a label, which the training says
        return rows.drop(BUCKET), None
    taken = [(F.col("class") == F.lit(name)) & (F.col(BUCKET) < bound) for name, bound in plan.bounds.items()]
    return rows.join(labelled.where(reduce(or_, taken)).select(*key), key, "left_semi"), plan


def label_all_rows(
    rows: DataFrame, data: Schema, use_case: UseCase, as_of: datetime, *, versions: Mapping[str, int]
) -> DataFrame:
    """Join all rows with their matured labels, and leave them on Spark; arguments as `sample_rows`.

    A label that its kind does not allow is an error of Spark when the rows are read.
    """
    key, label, kind = [*use_case.entity.key, "prediction_time"], F.col(labels.LABEL), use_case.label.kind
    outcomes = labels.join_outcomes(rows.select(*key, "event_time"), data, use_case, as_of, versions=versions)
    newest = _keep_newest_labels(outcomes, key, use_case).select(*key, labels.LABEL)
    if kind == "classes":
        number = F.array_position(F.array(*map(F.lit, use_case.label.classes)), label) - 1
        is_allowed = number >= 0
    else:
        number = label.cast("bigint") if kind == "binary" else label
        is_allowed = label.isin(0, 1) if kind == "binary" else F.abs(label) < float("inf")
    problem = F.concat(F.lit(f"the label {use_case.label.name} has a value that it may not have: "), label)
    checked = F.when(is_allowed, number).otherwise(F.raise_error(problem))
    return rows.drop("batch").join(newest.withColumn(labels.LABEL, checked), key)


def _keep_newest_labels(outcomes: DataFrame, key: list[str], use_case: UseCase) -> DataFrame:
    """Keep the newest version of each row's outcome, as `join_labels` does, and of these the ones with a label."""
    newest_first = Window.partitionBy(*key).orderBy(F.desc(labels.KNOWN), F.desc(labels.LABEL))
    newest = outcomes.withColumn("_rank", F.row_number().over(newest_first)).where("_rank = 1")
    label = F.col(labels.LABEL)
    is_number = question_of(use_case.label).label_type == "double"
    return newest.where(label.isNotNull() & ~F.isnan(label) if is_number else label.isNotNull())


def _count_buckets(counted: pd.DataFrame) -> dict[Hashable, Values]:
    return {
        name: np.bincount(part[BUCKET], part["count"], BUCKETS).astype("int64")
        for name, part in counted.groupby("class")
    }


def weigh_rows(rows: pd.DataFrame, plan: SamplePlan, use_case: UseCase) -> Values | None:
    """Weight of each sampled row, shape (n_rows,); None: all are equal. `rows` as of `labels.join_labels`."""
    weights = plan.weights
    if len(set(weights.values())) == 1:
        return None
    by_number = question_of(use_case.label).encode_labels(pd.Series(list(weights)))
    return np.asarray(rows[labels.LABEL].map(dict(zip(by_number, weights.values(), strict=True))), "float64")
