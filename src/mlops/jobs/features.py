"""Features of every entity whose prediction time has come, from what was known then: one path for all uses."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from functools import reduce
from operator import or_
from typing import Any

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from mlops.config import IngestionConfig
from mlops.context import Context, task
from mlops.contract import UseCase
from mlops.data import feature_blocks, table_schemas
from mlops.platform.tables import rows_of

Stretches = list[tuple[datetime | None, datetime]]
"""Of prediction times, first and last; None: from the beginning."""


def run(job: Context[IngestionConfig]) -> None:
    """Make the rows that new batches touch and those whose prediction time has come since; replace them in one commit.

    A table that lacks a feature is made anew as a whole: every row gets it as it was known then. A run as of an older
    moment than the table has reached adds no row, and mends those that new batches touch, whenever they are.
    """
    new = table_schemas.create_features(job.own, job.use_case)
    made = rows_of(
        job.own.read_table("features").agg(F.max("batch").alias("batch"), F.max("prediction_time").alias("until"))
    )
    batch, until = made[0]["batch"] or 0, made[0]["until"]
    ledger = job.own.read_table("ledger").where(F.col("batch") > batch).groupBy("source")
    taken_in = rows_of(ledger.agg(*[f(c).alias(c) for f, c in _LEDGER]))
    reached = job.config.as_of if until is None else max(until, job.config.as_of)
    stretches: Stretches = [(None, reached)]
    if until is not None and not new:
        stretches = [(until + timedelta.resolution, reached), *_stretches_to_remake(job.use_case, taken_in, reached)]
    # Bounds are moved, never the column, so that Delta can skip files by its event times.
    entity = job.use_case.entity
    entities = job.own.read_table(entity.source).where(_in_stretches(entity.event_time, stretches, entity.lead))
    entities = entities.withColumn(
        feature_blocks.PREDICTION_TIME, F.col(entity.event_time) - feature_blocks.to_interval(entity.lead)
    )
    blocks = feature_blocks.blocks_of(job.use_case, entities)
    rows = feature_blocks.make_features(job.own, job.use_case, entities, blocks)
    if rows is None:
        job.log.info("no entity to make features of")
        return
    batch = max([batch, *(row["batch"] for row in taken_in)])
    rows = rows.withColumn("batch", F.lit(batch).cast("bigint"))
    # Not a merge on the key, which computes the rows twice: once to find their partners, once to write.
    job.own.replace_rows("features", rows, _in_stretches("prediction_time", stretches))
    job.own.set_comments("features", new)
    if any(block["late"] for block in blocks):
        _report_late(job, entities)
    job.log.info("features made as of %s", job.config.as_of.isoformat())


_LEDGER = ((F.min, "first_known"), (F.max, "last_known"), (F.max, "batch"))


def _stretches_to_remake(use_case: UseCase, taken_in: Iterable[Mapping[str, Any]], reached: datetime) -> Stretches:
    """Prediction times that could see a row of what was taken in.

    An entity can be asked about long after it is known, and a new version moves both the old and the new question.

    Args:
        use_case: whose sources.
        taken_in: per source, when the first and the last of its new rows were known; None: it has none.
        reached: the last prediction time of the table.
    """
    sent = feature_blocks.columns_needed(use_case)
    history = {source.name: source.history for source in use_case.sources}
    stretches: Stretches = []
    for name, first, last in ((row["source"], row["first_known"], row["last_known"]) for row in taken_in):
        if first is None or name not in sent:
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
    """Say how many entities were not known when they would have been asked about, in any version."""
    entity = job.use_case.entity
    late = entities.where(F.col(job.use_case.source(entity.source).known_at) > F.col(feature_blocks.PREDICTION_TIME))
    key = list(entity.key)
    count = late.select(*key).distinct().join(job.own.read_table("features").select(*key), key, "left_anti").count()
    if count:
        job.log.warning(
            "%d entities of %s were first known after the moment at which they would have been asked about: they have "
            "no features", count, entity.source,
        )  # fmt: skip


def _in_stretches(column: str, stretches: Stretches, later: timedelta = timedelta()) -> Column:
    moment = F.col(column)
    parts = [
        moment <= F.lit(last + later) if first is None else moment.between(F.lit(first + later), F.lit(last + later))
        for first, last in stretches
    ]
    return reduce(or_, parts)


main = task(run)
