"""Features of every entity whose prediction time has come, from what was known then: one path for all uses."""

from __future__ import annotations

from pyspark.sql import Column
from pyspark.sql import functions as F

from mlops.config import IngestionConfig
from mlops.contract import Source
from mlops.jobs import _blocks, _layout
from mlops.jobs._launch import Context, task


def run(job: Context[IngestionConfig]) -> None:
    """Make the rows that new batches touch and those whose prediction time has come since; upsert them on their key."""
    _layout.create_features(job.own, job.use_case)
    entity = job.use_case.entity
    made = (
        job.own.read("features")
        .agg(F.max("batch").alias("batch"), F.max("prediction_time").alias("until"))
        .collect()[0]
    )
    ledger = job.own.read("ledger")
    fresh = ledger.where(F.col("batch") > (made.batch or 0))
    spans = fresh.groupBy("source").agg(F.min("first_known"), F.max("last_known"), F.max("batch")).collect()
    asked = F.col(entity.event_time) - F.expr(f"INTERVAL {entity.lead.total_seconds():.0f} SECONDS")
    come_since = F.lit(True) if made.until is None else asked > F.lit(made.until)
    touched = [_touched(asked, job.use_case.source(source), first, last) for source, first, last, _ in spans]
    wanted = F.lit(False)
    for condition in [come_since, *touched]:
        wanted = wanted | condition
    entities = job.own.read(entity.source).withColumn(_blocks.ASKED, asked)
    entities = entities.where(wanted & (asked <= F.lit(job.config.as_of)))
    rows = _blocks.features(job.own, job.use_case, entities)
    if rows is None:
        job.log.info("no entity to make features of")
        return
    batch = max([made.batch or 0, *(row[3] for row in spans)])
    key = [column.name for column in _layout.entity_columns(job.use_case) if column.name != "event_time"]
    job.own.merge("features", rows.withColumn("batch", F.lit(batch).cast("bigint")), key)
    job.log.info("features made as of %s", job.config.as_of.isoformat())


def _touched(asked: Column, source: Source, first: object, last: object) -> Column:
    """Predictions that could see a row known between two moments."""
    if source.history is None:
        return F.lit(True)
    remembered = F.lit(last) + F.expr(f"INTERVAL {source.history.total_seconds():.0f} SECONDS")
    return (asked >= F.lit(first)) & (asked <= remembered)


main = task(run)
