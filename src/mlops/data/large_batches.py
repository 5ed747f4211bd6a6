"""Read and judge a large batch in Spark's workers, so that none of its rows comes to the driver.

Three passes call the functions that judge a small batch: files are surveyed (`file_parts`); their parts are read, typed
and judged by the rules on single rows; rows of equal keys meet in shards, where one row per version is kept
(`quarantine.split_valid_rows`). What a pass makes is staged in a table (`staging.stage_rows`). The driver gets counts,
and the columns that rules on the whole batch read.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass
from typing import Any

import pyarrow as pa
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from mlops.contract import DataError, Expectation, Outcome, Source, UseCase
from mlops.contract.data import FILE_MODIFIED
from mlops.data import batch_parts, expectations, file_parts, readers, table_schemas
from mlops.data.batch_parts import PART_COUNTS, SHARD_FIGURES, PartCounts
from mlops.data.file_formats import File
from mlops.data.file_parts import Survey
from mlops.data.landing import LandedFile
from mlops.data.quarantine import BatchResult
from mlops.platform import staging
from mlops.platform.tables import Schema, rows_of

_LOG = logging.getLogger(__name__)
PART = 16 * 2**20
"""Bytes of text that a worker judges at once: 0.6 GB of memory for the flights."""
_SURVEY = "number BIGINT, error STRING, sha256 STRING, head BINARY, parts ARRAY<ARRAY<BIGINT>>"
_BUCKETS = 2**20
_MOST_TASKS = 2000
_FEWEST_TASKS = 16
"""Number of tasks that survey files, if there are so many."""


@dataclass(frozen=True)
class StagedResult(BatchResult):
    """The result of a source's rows in a batch that workers judged; the rows are staged."""

    table: str
    """Table of the staged rows."""

    def open_rows(self, schema: Schema) -> DataFrame:
        """Read the rows to publish, with the column FILE_MODIFIED."""
        columns = [*(column.name for column in self.source.columns), FILE_MODIFIED]
        return schema.read_table(self.table).where("_kind = 'good'").select(*columns)

    def open_quarantine(self, schema: Schema) -> DataFrame:
        """Read the rows in quarantine, as columns of its table without `as_of`."""
        rows = schema.read_table(self.table).where("_kind = 'broken'")
        named = [F.col(f"_{name}").alias(name) for name in ("file", "sha256", "line", "column", "rule", "row")]
        return rows.select(F.lit(self.source.name).alias("source"), *named)


def find_rules_on_all_rows(sources: Sequence[Source]) -> list[str]:
    """Name the rules that set rows aside and may compare them with rows of other parts, which no part can judge."""
    return [
        f"{source.name}: {expectations.rule_name(expectation)}"
        for source in sources
        for expectation in source.expectations()
        if expectation.action == "quarantine" and not expectations.judges_single_rows(expectation)
    ]


def survey_files(
    schema: Schema, landed: Sequence[LandedFile], use_case: UseCase
) -> tuple[dict[LandedFile, Survey], dict[LandedFile, str]]:
    """Survey files in workers; returns also why some cannot be read."""
    formats = [use_case.source(file.source).files for file in landed]

    def survey(numbers: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for number in (number for batch in numbers for number in batch.column(0).to_pylist()):
            row: dict[str, Any] = {"number": number, "error": "", "sha256": "", "head": b"", "parts": []}
            try:
                known = file_parts.survey_file(landed[number], formats[number], PART)
            except DataError as error:
                row["error"] = str(error)
            else:
                parts = [list(astuple(part)) for part in known.parts]
                row |= {"sha256": known.sha256, "head": known.head, "parts": parts}
            yield pa.RecordBatch.from_pylist([row], batch_parts.SURVEY)

    # A task of its own for each of many small files would cost more than their bytes.
    tasks = min(len(landed), max(_FEWEST_TASKS, sum(file.size for file in landed) // PART), _MOST_TASKS)
    rows = rows_of(_run_tasks(schema, survey, _SURVEY, tasks, len(landed)))
    errors = {landed[row["number"]]: row["error"] for row in rows if row["error"]}
    surveys = {
        landed[row["number"]]: Survey(
            row["sha256"], row["head"], tuple(file_parts.Part(*part) for part in row["parts"])
        )
        for row in rows
        if not row["error"]
    }
    return surveys, errors


def judge_source(
    schema: Schema,
    run: str,
    source: Source,
    files: Mapping[LandedFile, File],
    surveys: Mapping[LandedFile, Survey],
    *,
    limit: int,
) -> StagedResult:
    """Read and judge a source's files in workers.

    Args:
        schema: where rows are staged.
        run: the run that they belong to.
        source: the source.
        files: its new files, each with its head as content.
        surveys: of at least these files.
        limit: number of rows that may come to the driver for the rules on the whole batch.

    Raises:
        DataError: a file was changed while it was read.
    """
    rules, kept = list(source.expectations()), tuple(files.values())
    read = staging.stage_rows(schema, run, f"{source.name}_read", _read_rows(schema, source, files, surveys))
    counts = _add_counts(schema.read_table(read))
    rows = schema.read_table(read).where("_counts IS NULL")
    outcomes = _judge_batch(rows, source, rules, counts, limit)
    judged = staging.stage_rows(schema, run, f"{source.name}_judged", _judge_keys(rows, source, files))
    shards = schema.read_table(judged).where("_kind = 'figures'").select("_row")
    figures, broken = batch_parts.add_shards(
        [SHARD_FIGURES.validate_json(row["_row"]) for row in rows_of(shards)], kept
    )
    unknown = readers.unknown_columns(kept, source)
    return StagedResult(**vars(figures), source=source, files=kept, outcomes=outcomes, unknown=unknown, broken=broken,
                        table=judged)  # fmt: skip


def _read_rows(
    schema: Schema, source: Source, files: Mapping[LandedFile, File], surveys: Mapping[LandedFile, Survey]
) -> DataFrame:
    """Read the rows of all files, typed and judged by the rules on single rows, and rows with what these counted."""
    heads, tasks = tuple(files.values()), batch_parts.pack_parts(source, list(files), surveys, PART)

    def read_tasks(numbers: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for number in (number for batch in numbers for number in batch.column(0).to_pylist()):
            yield from batch_parts.read_task(source, heads, tasks[number], PART)

    columns = batch_parts.part_columns(source)
    return _run_tasks(schema, read_tasks, table_schemas.spark_schema(columns), len(tasks), len(tasks))


def _add_counts(rows: DataFrame) -> PartCounts:
    counted = rows.where("_counts IS NOT NULL").select("_counts")
    return sum((PART_COUNTS.validate_json(row["_counts"]) for row in rows_of(counted)), PartCounts())


def _judge_batch(
    rows: DataFrame, source: Source, rules: Sequence[Expectation], counts: PartCounts, limit: int
) -> tuple[Outcome, ...]:
    """Make the outcomes of all rules: of rules on single rows from counts, of others from the columns they read."""
    single = [rule for rule in rules if expectations.judges_single_rows(rule)]
    outcomes = {id(rule): outcome for rule, outcome in zip(single, counts.outcomes(single), strict=True)}
    others = [rule for rule in rules if id(rule) not in outcomes]
    is_sampled = counts.good > limit
    for by_share in (True, False):
        chosen = [rule for rule in others if expectations.judges_by_share(rule) == by_share]
        if not chosen:
            continue
        names = ", ".join(expectations.rule_name(rule) for rule in chosen)
        good = rows.where("_rules IS NULL")
        if is_sampled and by_share:
            # By the row and not by its key, of which there may be few: all rows or none of them would be taken.
            number = F.pmod(F.xxhash64("_file", "_line"), F.lit(_BUCKETS))
            good = good.where(number < _BUCKETS * limit // counts.good)
            _LOG.warning("%s: a sample of about %d of %d rows is judged by %s", source.name, limit, counts.good, names)
        elif is_sampled:
            _LOG.warning("%s: columns of all %d rows come to the driver for %s", source.name, counts.good, names)
        read = set().union(*(expectations.columns_read(rule, [c.name for c in source.columns]) for rule in chosen))
        wanted = [column.name for column in source.columns if column.name in read] or [source.known_at]
        table = (
            good.select("_file", "_line", *wanted).toArrow().sort_by([("_file", "ascending"), ("_line", "ascending")])
        )
        judging = batch_parts.prepare_for_sample(chosen, counts.good)
        judged = expectations.run_expectations(table.select(wanted), judging, source.list_required_columns())
        outcomes |= zip(map(id, chosen), judged, strict=True)
    return tuple(outcomes[id(rule)] for rule in rules)


def _judge_keys(rows: DataFrame, source: Source, files: Mapping[LandedFile, File]) -> DataFrame:
    """Judge rows in shards of keys: makes rows to publish, rows for quarantine, and a row with each shard's figures."""
    shards = min(_MOST_TASKS, 1 + sum(landed.memory for landed in files) // PART)
    heads = tuple(files.values())
    # A row that broke a rule may have no key.
    place = F.when(F.col("_rules").isNull(), _hash(source, shards)).otherwise(
        F.pmod(F.xxhash64("_file", "_line"), F.lit(shards))
    )

    def judge(group: pa.Table) -> pa.Table:
        return batch_parts.judge_shard(source, heads, group)

    columns = batch_parts.shard_columns(source)
    placed = rows.drop("_counts").withColumn("_shard", place).repartition(shards, "_shard")
    return placed.groupBy("_shard").applyInArrow(judge, table_schemas.spark_schema(columns))


def _hash(source: Source, buckets: int) -> Column:
    """Number of the bucket of a row's key: one for equal keys. + 0.0 turns -0.0 into 0.0."""
    types = {column.name: column.type for column in source.columns}
    keys = [F.col(name) + 0.0 if types[name] == "double" else F.col(name) for name in source.key]
    return F.pmod(F.xxhash64(*keys), F.lit(buckets))


def _run_tasks(
    schema: Schema,
    work: Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]],
    ddl: str,
    tasks: int,
    count: int,
) -> DataFrame:
    """Call a function with the numbers below `count` in tasks of Spark."""
    return schema.spark.range(0, count, 1, max(1, tasks)).mapInArrow(work, ddl)
