"""Files of the landing folder become typed tables, one per source; rows that break a rule go to quarantine."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from mlops.adapters import feeds, quality
from mlops.adapters.feeds import File
from mlops.config import IngestionConfig
from mlops.contract import BatchBlocked, DataError, Source
from mlops.jobs import _layout
from mlops.jobs._launch import Context, task


def run(job: Context[IngestionConfig]) -> None:
    """Take in every file whose content is new; the ledger, written last, knows each by its digest."""
    there = {source.name for source in job.use_case.sources if job.own.exists(source.name)}
    _layout.create_ingestion(job.own, job.use_case)
    ledger = job.own.read("ledger").select("source", "sha256", "batch").collect()
    known = {row.sha256 for row in ledger if row.source in there}
    found = {s.name: feeds.new_files(job.config.landing, s, known) for s in job.use_case.sources}
    if not ledger and not any(found.values()):
        raise DataError(
            f"the landing folder {job.config.landing} holds no file: run the job 'sample', or land your own"
        )
    batch = 1 + max([row.batch for row in ledger] + _made(job))
    fresh = [source for source in job.use_case.sources if found[source.name]]
    entries = [entry for source in fresh for entry in _take_in(job, source, found[source.name], batch)]
    if entries:
        job.own.insert_new("ledger", _layout.frame(job.own, "ledger", entries), ("source", "sha256"))
    else:
        job.log.info("no new file in %s", job.config.landing)


def _made(job: Context[IngestionConfig]) -> list[int]:
    """The newest batch that features were made from: batches go on counting even where the ledger was lost."""
    if not job.own.exists("features"):
        return [0]
    return [job.own.read("features").agg(F.max("batch")).collect()[0][0] or 0]


def _take_in(
    job: Context[IngestionConfig], source: Source, files: tuple[File, ...], batch: int
) -> list[tuple[object, ...]]:
    """Publish one source's files; returns their ledger rows. A repeat publishes the same, so the ledger comes last."""
    rows = feeds.read(job.own.spark, source, files)
    _stop_at_block(source, rows)
    span = rows.agg(
        F.count("*").alias("rows"),
        F.count_if(F.size(feeds.RULES) > 0).alias("bad"),
        F.min(source.known_at).alias("first"),
        F.max(source.known_at).alias("last"),
    ).collect()[0]
    if span.bad:
        _quarantine(job, source, rows.where(F.size(feeds.RULES) > 0))
    job.own.merge(source.name, _newest(source, rows), source.key, newer=source.known_at)
    job.log.info("%s: %d rows of %d files, %d to quarantine", source.name, span.rows - span.bad, len(files), span.bad)
    return [(source.name, f.path.name, f.sha256, batch, span.first, span.last, job.config.as_of) for f in files]


def _stop_at_block(source: Source, rows: DataFrame) -> None:
    expectations = [e for e in source.expectations() if e.action != "quarantine"]
    for outcome in quality.check(rows, expectations):
        if outcome.action == "block" and outcome.failed:
            raise BatchBlocked(
                f"{source.name}: {outcome.failed} of {outcome.rows} rows break {outcome.rule}; none was published"
            )


def _quarantine(job: Context[IngestionConfig], source: Source, bad: DataFrame) -> None:
    rows = bad.select(
        F.lit(source.name).alias("source"),
        F.col(feeds.FILE).alias("file"),
        F.concat_ws(", ", feeds.RULES).alias("rules"),
        F.col(feeds.RAW).alias("row"),
        F.lit(job.config.as_of).alias("as_of"),
    )
    job.own.insert_new("quarantine", rows.dropDuplicates(["source", "file", "row"]), ("source", "file", "row"))


def _newest(source: Source, rows: DataFrame) -> DataFrame:
    """One good row per key: the one known last, of two known at once the greater: file order is no matter."""
    from pyspark.sql import Window

    names = [column.name for column in source.columns]
    order = Window.partitionBy(*source.key).orderBy(*[F.col(name).desc() for name in (source.known_at, *names)])
    good = rows.where(F.size(feeds.RULES) == 0).withColumn("_rank", F.row_number().over(order))
    return good.where("_rank = 1").select(*names)


main = task(run)
