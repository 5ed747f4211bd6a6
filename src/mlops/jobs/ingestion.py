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

from mlops.adapters import feeds, pages, quality
from mlops.adapters.feeds import Landed
from mlops.adapters.tables import rows_of
from mlops.config import IngestionConfig
from mlops.contract import BatchBlocked, DataError
from mlops.jobs import _layout
from mlops.jobs._launch import Context, task
from mlops.lifecycle import intake, judging
from mlops.lifecycle.intake import File
from mlops.lifecycle.judging import FILE_MODIFIED, Judged

_DELIVERY = 256 * 2**20
"""Bytes of text that are judged at once; it takes about ten times as much memory."""
_NAMED = 10
"""So many files, or reasons, are named in the log; the page has every reason."""
_WORKERS = 2
"""Tables that are written at the same time."""


def run(job: Context[IngestionConfig]) -> None:
    """Take in every file whose content is new, oldest names first."""
    there = {source.name for source in job.use_case.sources if job.own.exists(source.name)}
    version = job.own.version("ledger") if job.own.exists("ledger") else 0
    ledger = rows_of(job.own.read("ledger", version)) if version else []
    kept = [row for row in ledger if row["source"] in there]
    seen = {(row["source"], row["file"], row["bytes"], row["modified"]) for row in kept}
    landed, unread = feeds.landed(job.config.landing, [source.name for source in job.use_case.sources], seen)
    if unread:
        job.log.warning("%s", _unread(job, unread))
    if not landed:
        if not ledger:
            raise DataError(
                f"the landing folder {job.config.landing} holds no file of a source: run the job 'sample', or land "
                f"your own{f'; {_unread(job, unread)}' if unread else ''}"
            )
        job.log.info("no new file in %s", job.config.landing)
        return
    known = {(row["source"], row["sha256"]) for row in kept}
    batch = max([row["batch"] for row in ledger] or [_newest_made(job)])
    with ThreadPoolExecutor(_WORKERS) as pool:
        made = pool.submit(_make_tables, job)  # while files are read and judged
        for files in feeds.deliveries(landed, _DELIVERY):
            if judged := list(_judged(job, files, known, batch + 1)):
                made.result()
                batch += 1
                _take_in(job, pool, judged, batch, {source for source, _ in known})
                _enter(job, judged, batch, version)
                known |= {(each.source.name, file.sha256) for each in judged for file in each.files}
                version += 1
        made.result()


def _unread(job: Context[IngestionConfig], names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"not read in {job.config.landing}, where files are <source>/<name>.csv: {', '.join(names[:_NAMED])}{more}"


def _make_tables(job: Context[IngestionConfig]) -> None:
    _layout.create(job.own, "ledger", "quarantine")
    for source in job.use_case.sources:
        if job.own.exists(source.name):
            _layout.check_source(job.own, source)
        else:
            _layout.create_source(job.own, source, quality.comments(source.expectations()))


def _newest_made(job: Context[IngestionConfig]) -> int:
    """The newest batch that features were made from: batches go on counting even where the ledger was lost."""
    if not job.own.exists("features"):
        return 0
    return job.own.read("features").agg(F.max("batch")).collect()[0][0] or 0


def _judged(
    job: Context[IngestionConfig], landed: Sequence[Landed], known: set[tuple[str, str]], batch: int
) -> Iterator[Judged]:
    """Every source that has new content, judged; nothing is read while a file cannot be."""
    new: dict[str, dict[str, File]] = {source.name: {} for source in job.use_case.sources}
    misfits = []
    for each in landed:
        try:
            content, sha256 = each.read()
        except DataError as error:
            misfits.append(str(error))
            continue
        if (each.source, sha256) not in known:
            new[each.source].setdefault(sha256, File(each.name, sha256, each.size, each.modified, content))
    sources = [(source, tuple(new[source.name].values())) for source in job.use_case.sources if new[source.name]]
    misfits += [why for source, files in sources for file in files if (why := intake.misfit(file, source))]
    if misfits:
        _block(job, (), misfits, batch)
    for source, files in sources:
        rows = intake.read(source, files)
        outcomes = quality.check(rows.table.take(rows.read), source.expectations())
        yield judging.judge(source, files, rows, outcomes, intake.unknown_columns(files, source))


def _take_in(
    job: Context[IngestionConfig], pool: ThreadPoolExecutor, delivery: Sequence[Judged], batch: int, written: set[str]
) -> None:
    for each in delivery:
        job.log.info("%s", each.summary)
    problems = [problem for each in delivery for problem in each.problems]
    if problems:
        _block(job, delivery, problems, batch)
    writes = [pool.submit(_publish, job, each, first=each.source.name not in written) for each in delivery]
    aside = pool.submit(_quarantine, job, delivery, first=not written)
    rivals = [write.result() for write in writes]
    aside.result()
    together = zip(delivery, rivals, strict=True)
    _report(job, [replace(each, conflicting=each.conflicting + count) for each, count in together], (), batch)


def _block(job: Context[IngestionConfig], delivery: Sequence[Judged], problems: Sequence[str], batch: int) -> NoReturn:
    _report(job, delivery, problems, batch)
    more = f"; and {len(problems) - _NAMED} more, on the delivery's page" if len(problems) > _NAMED else ""
    raise BatchBlocked(f"{'; '.join(problems[:_NAMED])}{more}: nothing of this delivery was published")


def _publish(job: Context[IngestionConfig], judged: Judged, *, first: bool) -> int:
    """Add versions of rows to a source's table; returns how many contradict a row of an earlier delivery."""
    source, (start, end) = judged.source, judged.span
    if start is None or end is None:
        return 0
    rows, version = job.own.spark.createDataFrame(judged.good), list(dict.fromkeys([*source.key, source.known_at]))
    span = (source.known_at, start, end)
    added = job.own.merge(source.name, rows, version, newer=FILE_MODIFIED, span=span, first=first)
    if added is None or added == judged.good.num_rows:
        return 0
    before = job.own.read(source.name, job.own.version(source.name) - 1)
    values = [column.name for column in source.columns if column.name not in version]
    other = [~F.col(f"t.{name}").eqNullSafe(F.col(f"s.{name}")) for name in values]
    rivals = int(rows.alias("s").join(before.alias("t"), version).where(reduce(or_, other, F.lit(False))).count())
    if rivals:
        job.log.warning(
            "%s: %d rows differ from an earlier row of their key that was known at the same moment: the one of the "
            "later file stays. A correction has to say a later %s", source.name, rivals, source.known_at,
        )  # fmt: skip
    return rivals


def _enter(job: Context[IngestionConfig], delivery: Sequence[Judged], batch: int, version: int) -> None:
    """Write the ledger: of runs that overlap one succeeds, so no two deliveries have one number."""
    entries = [
        (each.source.name, f.name, f.sha256, f.size, f.modified, batch, *each.span, job.config.as_of)
        for each in delivery
        for f in each.files
    ]
    job.own.append_once("ledger", _layout.frame(job.own, "ledger", entries), version)


def _report(job: Context[IngestionConfig], delivery: Sequence[Judged], problems: Sequence[str], batch: int) -> None:
    """The delivery's page and counts, as a run in MLflow."""
    title = f"Delivery {batch} of {job.use_case.name}: {'blocked' if problems else 'published'}"
    subtitle = f"Ingestion as of {job.config.as_of:%Y-%m-%d %H:%M} UTC, job run {job.config.run_id}"
    page = pages.delivery(title, subtitle, delivery, problems)
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
    with job.registry.run(job.config.experiment, f"ingestion-{batch}", tags):
        job.registry.log(job.config.model_dump(mode="json"), counts, {"data.html": page})


def _quarantine(job: Context[IngestionConfig], delivery: Sequence[Judged], *, first: bool) -> None:
    rows = [
        (each.source.name, b.file.name, b.file.sha256, b.line, b.column, b.rule, b.row, job.config.as_of)
        for each in delivery
        for b in each.broken
    ]
    if rows:
        frame = _layout.frame(job.own, "quarantine", rows)
        job.own.insert_new("quarantine", frame, ("source", "sha256", "line", "rule"), first=first)


main = task(run)
