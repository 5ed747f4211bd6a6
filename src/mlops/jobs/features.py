"""Features of every entity whose prediction time has come, from what was known then: one path for all uses."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from functools import reduce
from operator import or_

from pyspark.sql import Column
from pyspark.sql import functions as F

from mlops.config import IngestionConfig
from mlops.jobs import _blocks, _layout
from mlops.jobs._launch import Context, task
from mlops.jobs._layout import utc

Stretches = list[tuple[datetime | None, datetime]]
"""Of prediction times, first and last; None: from the beginning."""


def run(job: Context[IngestionConfig]) -> None:
    """Make the rows that new batches touch and those whose prediction time has come since; replace them in one commit.

    A table that lacks a feature is made anew as a whole: every row gets it as it was known then.
    """
    new = _layout.create_features(job.own, job.use_case)
    entity = job.use_case.entity
    made = (
        job.own.read("features")
        .agg(F.max("batch").alias("batch"), F.max("prediction_time").alias("until"))
        .collect()[0]
    )
    fresh = job.own.read("ledger").where(F.col("batch") > (made.batch or 0))
    taken_in = fresh.groupBy("source").agg(F.min("first_known"), F.max("last_known"), F.max("batch")).collect()
    stretches: Stretches = [(None, job.config.as_of)]
    if made.until is not None and not new:
        stretches = [(utc(made.until) + timedelta.resolution, job.config.as_of)]
        stretches += _touched(job, [(source, utc(first), utc(last)) for source, first, last, _ in taken_in])
    # Bounds are moved, never the column, so that Delta can skip files by its event times.
    entities = job.own.read(entity.source).where(_within(entity.event_time, stretches, entity.lead))
    asked = F.col(entity.event_time) - _blocks.interval(entity.lead)
    rows = _blocks.features(job.own, job.use_case, entities.withColumn(_blocks.ASKED, asked))
    if rows is None:
        job.log.info("no entity to make features of")
        return
    batch = max([made.batch or 0, *(row[3] for row in taken_in)])
    rows = rows.withColumn("batch", F.lit(batch).cast("bigint"))
    # Not a merge on the key, which computes the rows twice: once to find their partners, once to write.
    job.own.replace("features", rows, _within("prediction_time", stretches))
    job.own.explain("features", new)
    job.log.info("features made as of %s", job.config.as_of.isoformat())


def _touched(job: Context[IngestionConfig], taken_in: Iterable[tuple[str, datetime, datetime]]) -> Stretches:
    """Where a prediction could see a row of a source that was known between two moments."""
    use_case, as_of = job.use_case, job.config.as_of
    seen = {use_case.entity.source, *_blocks.sent(use_case)}
    history = {source.name: source.history for source in use_case.sources}
    return [
        (None, as_of) if (back := history[source]) is None else (first, min(last + back, as_of))
        for source, first, last in taken_in
        if source in seen
    ]


def _within(column: str, stretches: Stretches, later: timedelta = timedelta()) -> Column:
    moment = F.col(column)
    parts = [
        moment <= F.lit(last + later) if first is None else moment.between(F.lit(first + later), F.lit(last + later))
        for first, last in stretches
    ]
    return reduce(or_, parts)


main = task(run)
