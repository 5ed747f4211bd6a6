"""Task ingestion: read new landed files into one table per source; rows that break a rule go to quarantine.

Every source of a batch is judged before any table is written. Each table is then written in one commit, and writing it
again changes nothing. The ledger is written last and knows each file by its content, so each file is ingested exactly
once.

Ingestion does not depend on `as_of`: a row that is known later is in its table, and no earlier prediction time sees it.
So runs as of any moments, in any order, end with the same tables.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from datetime import datetime
from functools import reduce
from operator import or_
from typing import NoReturn

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from mlops.config import IngestionConfig
from mlops.context import Context, task
from mlops.contract import BatchBlocked, Conflict, DataError, Source
from mlops.contract.data import FILE_MODIFIED
from mlops.data import (
    archive,
    expectations,
    landing,
    large_batches,
    quarantine,
    readers,
    table_schemas,
)
from mlops.data.batch_agreement import BatchAgreement, Judged
from mlops.data.file_formats import File
from mlops.data.landed_files import NAMED, LandedFiles, find_landed, name_some
from mlops.data.landing import LandedFile
from mlops.data.large_batches import StagedResult
from mlops.data.ledger import KnownContent
from mlops.data.quarantine import BatchRows
from mlops.data.readers import header_error
from mlops.platform import run_links, runtime, staging
from mlops.platform.tables import Schema, rows_of
from mlops.reports import pages

_WORKERS = 2
"""Number of tables that are read or written at the same time."""
NewFiles = dict[LandedFile, File]
"""Files of new content, each with its content, or with its header if workers read it."""


def run(job: Context[IngestionConfig]) -> None:
    """Ingest every file whose content is new, in the order of file names."""
    try:
        _ingest(job)
    finally:  # also of a repeat that finds no file, if the run before was killed
        staging.drop_staged(job.own, job.config.run_id)


def _ingest(job: Context[IngestionConfig]) -> None:
    files = find_landed(job)
    known, batch = files.known, files.newest or _newest_feature_batch(job)
    if not files.landed:
        job.log.info("no new file in %s", job.config.landing)
    else:
        judge, landed = _choose_way(job, files.landed, known)
        with ThreadPoolExecutor(_WORKERS) as pool:
            made = pool.submit(_make_tables, job, files)  # runs while files are read and judged
            compared = BatchAgreement(job.own, job.use_case, pool, files.filled)
            for result in judge(job, landed, known, batch + 1):
                compared.add(result)
            made.result()
            if compared.results:
                _publish_batch(job, pool, compared, batch + 1, files.filled)
                _write_ledger(job, compared.results, batch + 1, files.version)
    if (age := job.use_case.policy.archive_after) is not None:
        _archive_files(job, [*files.read, *known.copies], runtime.now() - age)


def _archive_files(job: Context[IngestionConfig], files: Sequence[LandedFile], before: datetime) -> None:
    """Archive files whose rows are in tables. One that cannot be moved stays and is named."""
    moved, stayed = archive.archive_files(job.config.landing, files, before)
    if moved:
        job.log.info("%d files that were read moved to %s/%s", moved, job.config.landing, landing.ARCHIVED)
    if stayed:
        job.log.warning("not moved to %s: %s", landing.ARCHIVED, name_some(stayed))


def _choose_way(
    job: Context[IngestionConfig], landed: Sequence[LandedFile], known: KnownContent
) -> tuple[Callable[..., Iterator[Judged]], Sequence[LandedFile]]:
    """Choose the function that judges the files, one batch whatever their size, and the files that it has to read.

    Raises DataError if workers would have to judge a rule that compares rows of different parts.
    """
    limit = job.use_case.policy.max_read_bytes
    if (size := sum(file.memory for file in landed)) <= limit:
        return _judge_sources, landed
    names = {file.source for file in landed}
    if rules := large_batches.find_rules_on_all_rows([s for s in job.use_case.sources if s.name in names]):
        # A copy of known content is listed in each run, and must not stop new files.
        new = [file for file in landed if (file.source, file.compute_digest()) not in known.read]
        if sum(file.memory for file in new) <= limit:
            known.copies.extend(file for file in landed if file not in new)
            return _judge_sources, new
        raise DataError(
            f"the new files have {size:,} bytes, compressed ones counted ten times, and the driver reads at most "
            f"{limit:,} at once (max_read_bytes of the policy); these rules set rows aside and may compare rows, which "
            f"workers that read parts cannot do: {', '.join(rules)}. Land fewer files at once, raise max_read_bytes, "
            "which takes ten times as much memory of the driver, or mark the rules block or warn"
        )
    job.log.info("%d bytes are more than max_read_bytes, %d: workers read and judge the files", size, limit)
    return _judge_staged, landed


def _make_tables(job: Context[IngestionConfig], files: LandedFiles) -> None:
    table_schemas.create_tables(job.own, job.use_case, "ledger", "quarantine")
    for source in job.use_case.sources:
        if job.own.exists(source.name):
            table_schemas.check_source(job.own, source)
        elif source.name in files.existing:
            raise Conflict(f"{job.own.full_name(source.name)} was deleted during this run: run it again")
        else:
            table_schemas.create_source(job.own, source, expectations.column_comments(source.expectations()))


def _newest_feature_batch(job: Context[IngestionConfig]) -> int:
    """Return the newest batch that features were made from, so that numbers go on even if the ledger was lost."""
    if not job.own.exists("features"):
        return 0
    return job.own.read_table("features").agg(F.max("batch")).collect()[0][0] or 0


def _judge_sources(
    job: Context[IngestionConfig], landed: Sequence[LandedFile], known: KnownContent, batch: int
) -> Iterator[BatchRows]:
    """Judge every source that has new content."""

    def read_content(file: LandedFile) -> tuple[bytes, str]:
        return file.read_content(job.use_case.source(file.source).files)

    for source, new in _choose_files(job, landed, known, batch, read_content):
        files = tuple(new.values())
        rows = readers.read_files(source, files)
        outcomes = expectations.run_expectations(
            rows.table.take(rows.read), source.expectations(), source.list_required_columns()
        )
        yield quarantine.split_valid_rows(source, files, rows, outcomes, readers.unknown_columns(files, source))


def _judge_staged(
    job: Context[IngestionConfig], landed: Sequence[LandedFile], known: KnownContent, batch: int
) -> Iterator[StagedResult]:
    """Judge every source that has new content in Spark's workers."""
    surveys, errors = large_batches.survey_files(job.own, landed, job.use_case)

    def find_survey(file: LandedFile) -> tuple[bytes, str]:
        if file in errors:
            raise DataError(errors[file])
        return surveys[file].head, surveys[file].sha256

    limit = job.use_case.policy.max_collected_rows
    for source, new in _choose_files(job, landed, known, batch, find_survey):
        yield large_batches.judge_source(job.own, job.config.run_id, source, new, surveys, limit=limit)


def _choose_files(
    job: Context[IngestionConfig],
    landed: Sequence[LandedFile],
    known: KnownContent,
    batch: int,
    read_content: Callable[[LandedFile], tuple[bytes, str]],
) -> list[tuple[Source, NewFiles]]:
    """Choose each source's files of new content. A file that cannot be read blocks the batch before rows are judged."""
    new: dict[str, dict[str, tuple[LandedFile, File]]] = {source.name: {} for source in job.use_case.sources}
    misfits = []
    for file in landed:
        try:
            content, sha256 = read_content(file)
        except DataError as error:
            misfits.append(str(error))
            continue
        if (file.source, sha256) in known.read:
            known.copies.append(file)
        elif sha256 not in new[file.source] or new[file.source][sha256][0].modified < file.modified:
            # Of two files with one content the later one counts, as it does where their contents differ.
            kind = job.use_case.source(file.source).files
            # A table that is filled again gets the rows that it had, also if a copy or a move gave the file a new time.
            modified = known.modified.get((file.source, sha256), file.modified)
            new[file.source][sha256] = file, File(file.name, sha256, file.size, modified, content, kind)
    if known.copies:
        names = [f"{file.source}/{file.name}" for file in known.copies]
        job.log.info("taken in before, and not again: %s", name_some(names))
    chosen = [(source, dict(new[source.name].values())) for source in job.use_case.sources if new[source.name]]
    misfits += [why for source, files in chosen for file in files.values() if (why := header_error(file, source))]
    if misfits:
        _block_batch(job, (), misfits, batch)
    return chosen


def _publish_batch(
    job: Context[IngestionConfig], pool: ThreadPoolExecutor, compared: BatchAgreement, batch: int, filled: set[str]
) -> None:
    results = compared.results
    for result in results:
        job.log.info("%s", result.summary)
    problems = [problem for result in results for problem in result.problems]
    if problems := problems or compared.find_disagreements():
        _block_batch(job, results, problems, batch)
    writes = [pool.submit(_publish_rows, job, result, first=result.source.name not in filled) for result in results]
    quarantined = pool.submit(_write_quarantine, job, results, first=not filled)
    rivals = [write.result() for write in writes]
    quarantined.result()
    pairs = zip(results, rivals, strict=True)
    _log_report(job, [replace(result, conflicting=result.conflicting + count) for result, count in pairs], (), batch)


def _open_rows(job: Context[IngestionConfig], result: Judged) -> AbstractContextManager[DataFrame]:
    if isinstance(result, StagedResult):
        return nullcontext(result.open_rows(job.own))
    return staging.open_frame(job.own, result.good)


def _block_batch(
    job: Context[IngestionConfig], results: Sequence[Judged], problems: Sequence[str], batch: int
) -> NoReturn:
    _log_report(job, results, problems, batch)
    more = f"; and {len(problems) - NAMED} more, on the batch's page" if len(problems) > NAMED else ""
    raise BatchBlocked(f"{'; '.join(problems[:NAMED])}{more}: nothing of this batch was published")


def _publish_rows(job: Context[IngestionConfig], judged: Judged, *, first: bool) -> int:
    """Add versions of rows to a source's table; returns how many contradict a row of an earlier batch."""
    source, (start, end) = judged.source, judged.span
    if start is None or end is None:
        return 0
    version, span = list(dict.fromkeys([*source.key, source.known_at])), (source.known_at, start, end)
    with _open_rows(job, judged) as rows:
        added = job.own.merge_rows(source.name, rows, version, newer=FILE_MODIFIED, span=span, first=first)
        if added is None or added == judged.published:
            return 0
        versions = _find_before_merge(job.own, source.name, judged.published)
        before = [job.own.read_table(source.name, number) for number in versions]
        # A column of the source may be younger than the merge.
        rows_before = reduce(lambda one, other: one.unionByName(other, allowMissingColumns=True), before)
        names = [column.name for column in source.columns if column.name not in version]
        differs = reduce(or_, [~F.col(f"t.{name}").eqNullSafe(F.col(f"s.{name}")) for name in names], F.lit(False))
        is_same = [F.col(f"t.{name}") == F.col(f"s.{name}") for name in version]
        rivals = int(rows.alias("s").join(rows_before.alias("t"), [*is_same, differs], "left_semi").count())
    if rivals:
        job.log.warning(
            "%s: %d rows differ from an earlier row of their key that was known at the same moment: the row of the "
            "later file stays. A correction needs a later %s", source.name, rivals, source.known_at,
        )  # fmt: skip
    return rivals


def _find_before_merge(schema: Schema, table: str, rows: int) -> list[int]:
    """Find the version before the merge of so many rows, and the newest one: a row contradicts what is in either.

    Other commits, as of compaction, may have come after the merge. A merge that changed nothing is left out: it may be
    the second attempt of a run that was cut short after the first one.
    """
    history = rows_of(schema.spark.sql(f"DESCRIBE HISTORY {schema.identifier(table)} LIMIT 20"))
    merges = [{**entry, **dict(entry["operationMetrics"])} for entry in history if entry["operation"] == "MERGE"]
    changing = [m for m in merges if {m.get(f"numTargetRows{what}", "0") for what in ("Inserted", "Updated")} != {"0"}]
    same = [merge for merge in changing if merge.get("numSourceRows") == str(rows)]
    return [*(merge["version"] - 1 for merge in (same or merges)[:1]), history[0]["version"]]


def _write_ledger(job: Context[IngestionConfig], results: Sequence[Judged], batch: int, version: int) -> None:
    """Write the batch's files to the ledger. Of overlapping runs only one succeeds, so batch numbers are unique."""
    entries = [
        (result.source.name, f.name, f.sha256, f.size, f.modified, batch, *result.span, job.config.as_of)
        for result in results
        for f in result.files
    ]
    job.own.append_once("ledger", table_schemas.make_frame(job.own, "ledger", entries), version)


def _log_report(job: Context[IngestionConfig], results: Sequence[Judged], problems: Sequence[str], batch: int) -> None:
    """Log the batch's page and counts as a run in MLflow."""
    title = f"Batch {batch} of {job.use_case.name}: {'blocked' if problems else 'published'}"
    subtitle = f"Ingestion as of {job.config.as_of:%Y-%m-%d %H:%M} UTC, job run {job.config.run_id}"
    page = pages.render_batch(title, subtitle, results, problems)
    counts = {
        f"{result.source.name}_{name}": value
        for result in results
        for name, value in (
            ("rows", result.rows),
            ("published", 0 if problems else result.published),
            ("bad", result.bad),
            ("conflicting", result.conflicting),
        )
    }
    tags = {"job": "ingestion", "job_run": job.config.run_id, "blocked": str(bool(problems)).lower()}
    with job.registry.open_run(job.config.experiment, f"ingestion-{batch}", tags):
        job.registry.log_to_run(job.config.model_dump(mode="json"), counts, {"data.html": run_links.add_links(page)})


def _write_quarantine(job: Context[IngestionConfig], results: Sequence[Judged], *, first: bool) -> None:
    rows = [
        (result.source.name, b.file.name, b.file.sha256, b.line, b.column, b.rule, b.row, job.config.as_of)
        for result in results
        if isinstance(result, BatchRows)
        for b in result.broken
    ]
    frames = [table_schemas.make_frame(job.own, "quarantine", rows)] if rows else []
    frames += [
        result.open_quarantine(job.own).withColumn("as_of", F.lit(job.config.as_of))
        for result in results
        if isinstance(result, StagedResult) and result.bad
    ]
    if frames:
        frame = reduce(DataFrame.unionByName, frames)
        table_schemas.insert_broken(job.own, frame, job.config.as_of, first=first)


main = task(run)
