"""Features of every entity whose prediction time has come, from what was known then: one path for all uses."""

from __future__ import annotations

from functools import reduce
from operator import or_

from pyspark.sql import Column
from pyspark.sql import functions as F

from mlops.config import IngestionConfig
from mlops.contract import Entity, UseCase
from mlops.jobs import _blocks, _layout
from mlops.jobs._launch import Context, task


def run(job: Context[IngestionConfig]) -> None:
    """Make the rows that new batches touch and those whose prediction time has come since; upsert them on their key.

    A table that lacks a feature is made anew as a whole: every row gets it as it was known then, in one commit.
    """
    new = _layout.create_features(job.own, job.use_case)
    entity = job.use_case.entity
    made = (
        job.own.read("features")
        .agg(F.max("batch").alias("batch"), F.max("prediction_time").alias("until"))
        .collect()[0]
    )
    ledger = job.own.read("ledger")
    fresh = ledger.where(F.col("batch") > (made.batch or 0))
    spans = fresh.groupBy("source").agg(F.min("first_known"), F.max("last_known"), F.max("batch")).collect()
    entities = job.own.read(entity.source).where(F.col(entity.event_time) <= F.lit(job.config.as_of) + _lead(entity))
    if made.until is not None and not new:
        seen = {entity.source, *_blocks.sent(job.use_case)}
        touched = [_touched(job.use_case, source, first, last) for source, first, last, _ in spans if source in seen]
        come_since = F.col(entity.event_time) > F.lit(made.until) + _lead(entity)
        entities = entities.where(reduce(or_, touched, come_since))
    entities = entities.withColumn(_blocks.ASKED, F.col(entity.event_time) - _lead(entity))
    rows = _blocks.features(job.own, job.use_case, entities)
    if rows is None:
        job.log.info("no entity to make features of")
        return
    batch = max([made.batch or 0, *(row[3] for row in spans)])
    key = [column.name for column in _layout.entity_columns(job.use_case) if column.name != "event_time"]
    job.own.merge("features", rows.withColumn("batch", F.lit(batch).cast("bigint")), key, first=made.until is None)
    job.own.explain("features", new)
    job.log.info("features made as of %s", job.config.as_of.isoformat())


def _touched(use_case: UseCase, name: str, first: object, last: object) -> Column:
    """Entities whose prediction could see a row of a source that was known between two moments."""
    history, event = use_case.source(name).history, F.col(use_case.entity.event_time)
    if history is None:
        return F.lit(True)
    begins, ends = F.lit(first) + _lead(use_case.entity), F.lit(last) + _lead(use_case.entity)
    return (event >= begins) & (event <= ends + _blocks.interval(history))


def _lead(entity: Entity) -> Column:
    """Added to constants, never taken from the column: so that Delta can skip files by their event times."""
    return _blocks.interval(entity.lead)


main = task(run)
