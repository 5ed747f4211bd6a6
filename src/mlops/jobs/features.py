"""Task features: compute features of every entity whose prediction time has passed, from what was known then."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import reduce
from operator import or_
from typing import Any

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from mlops.config import IngestionConfig
from mlops.context import Context, task
from mlops.contract import UseCase
from mlops.data import feature_blocks, large_features, table_schemas
from mlops.platform import staging
from mlops.platform.tables import rows_of

Stretches = list[tuple[datetime | None, datetime]]
"""First and last prediction time of each stretch, both included; None: from the beginning."""
_TAKEN_IN = ((F.min, "first_known"), (F.max, "last_known"), (F.max, "batch"))
"""What is read from the ledger of each source with new batches: known-at times of its new rows, and newest batch."""


def run(job: Context[IngestionConfig]) -> None:
    """Compute new rows and the rows that new batches change, and replace them in one commit.

    If the table lacks a feature, all rows are computed again, each from what was known at its prediction time. A run as
    of an older moment than the table has reached adds no row; it still replaces the rows that new batches change.
    """
    new = table_schemas.create_features(job.own, job.use_case)
    made = rows_of(
        job.own.read_table("features").agg(F.max("batch").alias("batch"), F.max("prediction_time").alias("until"))
    )
    batch, until = made[0]["batch"] or 0, made[0]["until"]
    ledger = job.own.read_table("ledger").where(F.col("batch") > batch).groupBy("source")
    taken_in = rows_of(ledger.agg(*[f(c).alias(c) for f, c in _TAKEN_IN]))
    reached = job.config.as_of if until is None else max(until, job.config.as_of)
    stretches: Stretches = [(None, reached)]
    if until is not None and not new:
        stretches = [(until + timedelta.resolution, reached), *_stretches_to_remake(job.use_case, taken_in, reached)]
    # The bounds are shifted, not the column, so that Delta can skip files by their event times.
    entity = job.use_case.entity
    entities = job.own.read_table(entity.source).where(_in_stretches(entity.event_time, stretches, entity.lead))
    entities = entities.withColumn(
        feature_blocks.PREDICTION_TIME, F.col(entity.event_time) - feature_blocks.to_interval(entity.lead)
    )
    batch = max([batch, *(row["batch"] for row in taken_in)])
    with _open_features(job, entities) as (features, blocks):
        if features is None:
            job.log.info("no entity needs features")
            return
        rows = features.withColumn("batch", F.lit(batch).cast("bigint"))
        # A merge on the key would compute the rows twice: once to find matching rows, once to write.
        job.own.replace_rows("features", rows, _in_stretches("prediction_time", stretches))
    job.own.set_comments("features", new)
    if any(block["late"] for block in blocks):
        _report_late(job, entities)
    job.log.info("features made as of %s", job.config.as_of.isoformat())


@contextmanager
def _open_features(
    job: Context[IngestionConfig], entities: DataFrame
) -> Iterator[tuple[DataFrame | None, feature_blocks.Blocks]]:
    """Compute the features here, on Spark in blocks of 28 days, or in groups where a worker could not hold a block.

    Small work is done here, because starting workers takes longer than the computing.

    Yields:
        The features, None if there is no entity, and the entities' blocks.
    """
    policy = job.use_case.policy
    limit = min(policy.max_collected_rows, policy.max_group_rows)
    here = feature_blocks.compute_here(job.own, job.use_case, entities, limit)
    if here is None:
        blocks = feature_blocks.blocks_of(job.use_case, entities)
        yield _compute_on_spark(job, entities, blocks), blocks
        return
    table, blocks = here
    job.log.info("%d rows of features computed in this process", table.num_rows)
    with staging.open_frame(job.own, table) as rows:
        yield rows if blocks else None, blocks


def _compute_on_spark(
    job: Context[IngestionConfig], entities: DataFrame, blocks: feature_blocks.Blocks
) -> DataFrame | None:
    cuts = large_features.choose_cuts(job.own, job.use_case, entities, blocks)
    for family, cut in cuts:
        is_over = cut.rows > job.use_case.policy.max_group_rows
        job.log.log(
            logging.WARNING if is_over else logging.INFO,
            "%d features by %s: blocks of %s, %d shards, about %d rows in the largest group",
            len(family.features), ", ".join(family.keys) or "time alone", cut.block, cut.shards, cut.rows,
        )  # fmt: skip
    if cuts:
        return large_features.make_features(job.own, job.use_case, entities, blocks, cuts)
    job.log.info("features in %d blocks of 28 days, each computed at once", len(blocks))
    return feature_blocks.make_features(job.own, job.use_case, entities, blocks)


def _stretches_to_remake(use_case: UseCase, taken_in: Iterable[Mapping[str, Any]], reached: datetime) -> Stretches:
    """Find the prediction times whose features can change by newly ingested rows.

    A row of the entity's source changes everything after it is known: a new version can move both the old and the new
    prediction time of its entity.

    Args:
        use_case: whose sources.
        taken_in: per source, earliest and latest known-at time of its new rows, UTC; None: no rows.
        reached: the last prediction time of the table, UTC.
    """
    needed = feature_blocks.columns_needed(use_case)
    history = {source.name: source.history for source in use_case.sources}
    stretches: Stretches = []
    for name, first, last in ((row["source"], row["first_known"], row["last_known"]) for row in taken_in):
        if first is None or name not in needed:
            continue
        back = history[name]
        if back is None:
            stretches.append((None, reached))
        elif name == use_case.entity.source:
            stretches.append((first, reached))
        else:
            stretches.append((first, min(last + back, reached)))
    return stretches


def _report_late(job: Context[IngestionConfig], entities: DataFrame) -> None:
    """Log how many entities became known after their prediction time and so have no features."""
    entity = job.use_case.entity
    late = entities.where(F.col(job.use_case.source(entity.source).known_at) > F.col(feature_blocks.PREDICTION_TIME))
    key = list(entity.key)
    count = late.select(*key).distinct().join(job.own.read_table("features").select(*key), key, "left_anti").count()
    if count:
        job.log.warning(
            "%d entities of %s were first known after their prediction time: they have no features",
            count, entity.source,
        )  # fmt: skip


def _in_stretches(column: str, stretches: Stretches, later: timedelta = timedelta()) -> Column:
    moment = F.col(column)
    parts = [
        moment <= F.lit(last + later) if first is None else moment.between(F.lit(first + later), F.lit(last + later))
        for first, last in stretches
    ]
    return reduce(or_, parts)


main = task(run)
