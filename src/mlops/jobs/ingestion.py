"""Files of the landing folder become typed tables, one per source; rows that break a rule go to quarantine.

Every source of a delivery is judged before any table is written. Each table is then written in one commit; written
twice it stays the same, so the ledger, written last, makes the whole exactly once: it knows each file by its content.

What is taken in does not depend on `as_of`: a row that is known later lies in its table, and no question that is asked
before sees it. So runs as of any moments, in any order, end in the same tables.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import reduce
from operator import or_
from typing import NoReturn

from pyspark.sql import functions as F

from mlops.config import IngestionConfig
from mlops.context import Context, task
from mlops.contract import BatchBlocked, DataError
from mlops.data import expectations, landing, quarantine, readers, table_schemas
from mlops.data.landing import LandedFile
from mlops.data.quarantine import FILE_MODIFIED, BatchResult
from mlops.data.readers import File
from mlops.platform.tables import rows_of
from mlops.reports import pages

_DELIVERY = 256 * 2**20
"""Bytes of text that are judged at once; it takes about ten times as much memory."""
_NAMED = 10
"""So many files, or reasons, are named in the log; the page has every reason."""
_WORKERS = 2
"""Tables that are written at the same time."""


def run(job: Context[IngestionConfig]) -> None:
    """Take in every file whose content is new, oldest names first."""
    there = {source.name for source in job.use_case.sources if job.own.exists(source.name)}
    version = job.own.newest_version("ledger") if job.own.exists("ledger") else 0
    ledger = rows_of(job.own.read_table("ledger", version)) if version else []
    kept = [row for row in ledger if row["source"] in there]
    seen = {(row["source"], row["file"], row["bytes"], row["modified"]) for row in kept}
    landed, unread = landing.list_new_files(job.config.landing, [source.name for source in job.use_case.sources], seen)
    if unread:
        job.log.warning("%s", _log_ignored_files(job, unread))
    if not landed:
        if not ledger:
            raise DataError(
                f"the landing folder {job.config.landing} holds no file of a source: run the job 'sample', or land "
                f"your own{f'; {_log_ignored_files(job, unread)}' if unread else ''}"
            )
        job.log.info("no new file in %s", job.config.landing)
        return
    known = {(row["source"], row["sha256"]) for row in kept}
    batch = max([row["batch"] for row in ledger] or [_newest_feature_batch(job)])
    with ThreadPoolExecutor(_WORKERS) as pool:
        made = pool.submit(_make_tables, job)  # while files are read and judged
        for files in landing.split_into_batches(landed, _DELIVERY):
            if judged := list(_judge_sources(job, files, known, batch + 1)):
                made.result()
                batch += 1
                _publish_batch(job, pool, judged, batch, {source for source, _ in known})
                _write_ledger(job, judged, batch, version)
                known |= {(each.source.name, file.sha256) for each in judged for file in each.files}
                version += 1
        made.result()


def _log_ignored_files(job: Context[IngestionConfig], names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"not read in {job.config.landing}, where files are <source>/<name>.csv: {', '.join(names[:_NAMED])}{more}"


def _make_tables(job: Context[IngestionConfig]) -> None:
    table_schemas.create_tables(job.own, "ledger", "quarantine")
    for source in job.use_case.sources:
        if job.own.exists(source.name):
            table_schemas.check_source(job.own, source)
        else:
            table_schemas.create_source(job.own, source, expectations.column_comments(source.expectations()))


def _newest_feature_batch(job: Context[IngestionConfig]) -> int:
    """The newest batch that features were made from: batches go on counting even where the ledger was lost."""
    if not job.own.exists("features"):
        return 0
    return job.own.read_table("features").agg(F.max("batch")).collect()[0][0] or 0


def _judge_sources(
    job: Context[IngestionConfig], landed: Sequence[LandedFile], known: set[tuple[str, str]], batch: int
) -> Iterator[BatchResult]:
    """Every source that has new content, judged; nothing is read while a file cannot be."""
    new: dict[str, dict[str, File]] = {source.name: {} for source in job.use_case.sources}
    misfits = []
    for each in landed:
        try:
            content, sha256 = each.read_content()
        except DataError as error:
            misfits.append(str(error))
            continue
        if (each.source, sha256) not in known:
            new[each.source].setdefault(sha256, File(each.name, sha256, each.size, each.modified, content))
    sources = [(source, tuple(new[source.name].values())) for source in job.use_case.sources if new[source.name]]
    misfits += [why for source, files in sources for file in files if (why := readers.header_error(file, source))]
    if misfits:
        _block_batch(job, (), misfits, batch)
    for source, files in sources:
        rows = readers.read_files(source, files)
        outcomes = expectations.run_expectations(rows.table.take(rows.read), source.expectations())
        yield quarantine.split_valid_rows(source, files, rows, outcomes, readers.unknown_columns(files, source))


def _publish_batch(
    job: Context[IngestionConfig],
    pool: ThreadPoolExecutor,
    delivery: Sequence[BatchResult],
    batch: int,
    written: set[str],
) -> None:
    for each in delivery:
        job.log.info("%s", each.summary)
    problems = [problem for each in delivery for problem in each.problems]
    if problems:
        _block_batch(job, delivery, problems, batch)
    writes = [pool.submit(_publish_rows, job, each, first=each.source.name not in written) for each in delivery]
    aside = pool.submit(_write_quarantine, job, delivery, first=not written)
    rivals = [write.result() for write in writes]
    aside.result()
    together = zip(delivery, rivals, strict=True)
    _log_report(job, [replace(each, conflicting=each.conflicting + count) for each, count in together], (), batch)


def _block_batch(
    job: Context[IngestionConfig], delivery: Sequence[BatchResult], problems: Sequence[str], batch: int
) -> NoReturn:
    _log_report(job, delivery, problems, batch)
    more = f"; and {len(problems) - _NAMED} more, on the delivery's page" if len(problems) > _NAMED else ""
    raise BatchBlocked(f"{'; '.join(problems[:_NAMED])}{more}: nothing of this delivery was published")


def _publish_rows(job: Context[IngestionConfig], judged: BatchResult, *, first: bool) -> int:
    """Add versions of rows to a source's table; returns how many contradict a row of an earlier delivery."""
    source, (start, end) = judged.source, judged.span
    if start is None or end is None:
        return 0
    rows, version = job.own.spark.createDataFrame(judged.good), list(dict.fromkeys([*source.key, source.known_at]))
    span = (source.known_at, start, end)
    added = job.own.merge_rows(source.name, rows, version, newer=FILE_MODIFIED, span=span, first=first)
    if added is None or added == judged.good.num_rows:
        return 0
    before = job.own.read_table(source.name, job.own.newest_version(source.name) - 1)
    values = [column.name for column in source.columns if column.name not in version]
    other = [~F.col(f"t.{name}").eqNullSafe(F.col(f"s.{name}")) for name in values]
    rivals = int(rows.alias("s").join(before.alias("t"), version).where(reduce(or_, other, F.lit(False))).count())
    if rivals:
        job.log.warning(
            "%s: %d rows differ from an earlier row of their key that was known at the same moment: the one of the "
            "later file stays. A correction has to say a later %s", source.name, rivals, source.known_at,
        )  # fmt: skip
    return rivals


def _write_ledger(job: Context[IngestionConfig], delivery: Sequence[BatchResult], batch: int, version: int) -> None:
    """Write the ledger: of runs that overlap one succeeds, so no two deliveries have one number."""
    entries = [
        (each.source.name, f.name, f.sha256, f.size, f.modified, batch, *each.span, job.config.as_of)
        for each in delivery
        for f in each.files
    ]
    job.own.append_once("ledger", table_schemas.make_frame(job.own, "ledger", entries), version)


def _log_report(
    job: Context[IngestionConfig], delivery: Sequence[BatchResult], problems: Sequence[str], batch: int
) -> None:
    """The delivery's page and counts, as a run in MLflow."""
    title = f"Delivery {batch} of {job.use_case.name}: {'blocked' if problems else 'published'}"
    subtitle = f"Ingestion as of {job.config.as_of:%Y-%m-%d %H:%M} UTC, job run {job.config.run_id}"
    page = pages.render_batch(title, subtitle, delivery, problems)
    counts = {
        f"{each.source.name}_{name}": value
        for each in delivery
        for name, value in (
            ("rows", each.rows),
            ("published", 0 if problems else each.good.num_rows),
            ("bad", each.bad),
            ("conflicting", each.conflicting),
        )
    }
    tags = {"job": "ingestion", "job_run": job.config.run_id, "blocked": str(bool(problems)).lower()}
    with job.registry.open_run(job.config.experiment, f"ingestion-{batch}", tags):
        job.registry.log_to_run(job.config.model_dump(mode="json"), counts, {"data.html": page})


def _write_quarantine(job: Context[IngestionConfig], delivery: Sequence[BatchResult], *, first: bool) -> None:
    rows = [
        (each.source.name, b.file.name, b.file.sha256, b.line, b.column, b.rule, b.row, job.config.as_of)
        for each in delivery
        for b in each.broken
    ]
    if rows:
        frame = table_schemas.make_frame(job.own, "quarantine", rows)
        job.own.insert_new("quarantine", frame, ("source", "sha256", "line", "rule"), first=first)


main = task(run)
