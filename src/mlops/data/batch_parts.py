"""Judge parts and shards of a large batch in Spark's workers, by the functions for a small one. It imports no Spark.

`read_task` and `judge_shard` return rows of Arrow, and one row with figures as JSON, which the driver adds up.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa
from pydantic import TypeAdapter

from mlops.contract import Expectation, Outcome, Source
from mlops.contract.data import FILE_MODIFIED
from mlops.data import expectations, file_parts, quarantine, readers
from mlops.data.expectations import RowCount
from mlops.data.file_formats import File
from mlops.data.file_parts import Part, Survey
from mlops.data.landing import LandedFile
from mlops.data.quarantine import BrokenRow, Figures

SURVEY = pa.schema({"number": pa.int64(), "error": pa.string(), "sha256": pa.string(), "head": pa.binary(),
                    "parts": pa.list_(pa.list_(pa.int64()))})  # fmt: skip
_EXAMPLES = 5
"""Number of rows of each broken rule that come to the driver, for the page."""
Columns = list[tuple[str, str]]
Task = list[tuple[int, LandedFile, tuple[Part, ...]]]
"""What a worker reads in one task: the number of each file in its source's batch, the file and parts of it."""


@dataclass(frozen=True)
class PartCounts:
    """What was counted in parts of a batch while their rows were read."""

    good: int = 0
    """Rows that break no rule so far."""
    rules: tuple[RowCount, ...] = ()
    """Counts of the rules on single rows, in their order; empty: no row was read."""

    def __add__(self, other: PartCounts) -> PartCounts:
        """Add the counts of other parts."""
        both = [a + b for a, b in zip(self.rules, other.rules, strict=True)] if self.rules and other.rules else []
        rules = tuple(both) or self.rules or other.rules
        return PartCounts(self.good + other.good, rules)

    def outcomes(self, rules: Sequence[Expectation]) -> list[Outcome]:
        """Make the outcomes of the rules on single rows."""
        counts = self.rules or [RowCount()] * len(rules)
        return [expectations.outcome_of_parts(rule, count) for rule, count in zip(rules, counts, strict=True)]


@dataclass(frozen=True)
class ShardFigures:
    """Figures of a shard, and its first rows of each broken rule: number of the file, line, rule, row."""

    figures: Figures
    examples: tuple[tuple[int, int, str, str], ...]


PART_COUNTS = TypeAdapter(PartCounts)
SHARD_FIGURES = TypeAdapter(ShardFigures)


def part_columns(source: Source) -> Columns:
    """Columns of the rows of `read_task`; `_counts` is PartCounts in a row of its own."""
    own = [("_file", "long"), ("_line", "long"), ("_raw", "string"), ("_rules", "string"), ("_counts", "string")]
    return [*_own_columns(source), *own]


def shard_columns(source: Source) -> Columns:
    """Columns of the rows of `judge_shard`: `_kind` is good, broken or figures; `_row` of figures is ShardFigures."""
    texts = ("_kind", "_file", "_sha256", "_column", "_rule", "_row")
    return [
        *_own_columns(source),
        (FILE_MODIFIED, "timestamp"),
        ("_line", "long"),
        *((name, "string") for name in texts),
    ]


def _own_columns(source: Source) -> Columns:
    return [(column.name, column.type) for column in source.columns]


def prepare_for_sample(rules: Sequence[Expectation], rows: int) -> list[Expectation]:
    """Prepare rules to judge a sample of so many rows: whether these are enough for a rule does not depend on it."""
    return [replace(rule, min_rows=1) if rows >= rule.min_rows else rule for rule in rules]


def pack_parts(
    source: Source, landed: Sequence[LandedFile], surveys: Mapping[LandedFile, Survey], size: int
) -> list[Task]:
    """Put the parts of files into tasks of about `size` bytes; a file that cannot be cut is in one task."""
    tasks: list[Task] = []
    filled = size
    for number, file in enumerate(landed):
        parts = surveys[file].parts
        units = [(part,) for part in parts] if file_parts.can_cut(file.name, source.files) else [parts]
        for unit in units:
            if filled >= size:
                tasks.append([])
                filled = 0
            tasks[-1].append((number, file, unit))
            filled += sum(part.end - part.start for part in unit)
    return tasks


def read_task(source: Source, heads: Sequence[File], task: Task, size: int) -> Iterator[pa.RecordBatch]:
    """Read, type and judge the rows of a task, about `size` bytes at a time.

    Args:
        source: the source.
        heads: the source's files in the batch, each with its head as content.
        task: what to read.
        size: bytes of text that are judged at once.

    Raises:
        DataError: a file cannot be read, or was changed since it was listed.
    """
    rules = [rule for rule in source.expectations() if expectations.judges_single_rows(rule)]
    chunk: list[tuple[int, int, File]] = []
    for number, landed, parts in task:
        for file, shift in file_parts.read_parts(landed, heads[number], parts):
            chunk.append((number, shift, file))
            if sum(len(file.content) for *_, file in chunk) >= size:
                yield from _judge_chunk(source, rules, chunk)
                chunk = []
    yield from _judge_chunk(source, rules, chunk)


def _judge_chunk(
    source: Source, rules: Sequence[Expectation], chunk: Sequence[tuple[int, int, File]]
) -> Iterator[pa.RecordBatch]:
    """Judge the rows of parts that have the number and the shift of lines of their file."""
    if not chunk:
        return
    rows = readers.read_files(source, [file for *_, file in chunk])
    outcomes, counts = expectations.run_on_part(rows.table.take(rows.read), rules, source.list_required_columns())
    broken = quarantine.collect_broken(rows, outcomes)
    owners = [(number, shift) for number, shift, _ in chunk]
    places = [owners[owner] for owner in rows.file.tolist()]
    table = rows.table.append_column("_file", pa.array([number for number, _ in places], pa.int64()))
    lines = [line + shift for line, (_, shift) in zip(rows.line, places, strict=True)]
    table = table.append_column("_line", pa.array(lines, pa.int64())).append_column(
        "_raw", pa.array(rows.raw, pa.string())
    )
    named = [json.dumps(broken[at]) if at in broken else None for at in range(len(rows.raw))]
    table = table.append_column("_rules", pa.array(named, pa.string()))
    counted = _json_row("_counts", PART_COUNTS.dump_json(PartCounts(len(rows.raw) - len(broken), tuple(counts))))
    yield from _to_batches(part_columns(source), [table, counted])


def judge_shard(source: Source, heads: Sequence[File], rows: pa.Table) -> pa.Table:
    """Keep one row per version of the keys of a shard, as `quarantine.split_valid_rows` does.

    Args:
        source: the source.
        heads: the source's files in the batch.
        rows: all rows of some keys, as `read_task` returns them.
    """
    rows = rows.sort_by([("_file", "ascending"), ("_line", "ascending")])
    broken = {at: json.loads(text) for at, text in enumerate(rows["_rules"].to_pylist()) if text}
    columns = [column.name for column in source.columns]
    raw, line = rows["_raw"].to_pylist(), rows["_line"].to_pylist()
    whole = readers.Rows(rows.select(columns), raw, rows["_file"].to_numpy(), line, broken)
    judged = quarantine.split_valid_rows(source, heads, whole, (), ())
    aside = [
        {"_kind": "broken", "_file": row.file.name, "_sha256": row.file.sha256, "_line": row.line,
         "_column": row.column, "_rule": row.rule, "_row": row.row}
        for row in judged.broken
    ]  # fmt: skip
    figures = Figures(**{name: getattr(judged, name) for name in Figures.__dataclass_fields__})
    numbers = {id(file): number for number, file in enumerate(heads)}
    first = [(numbers[id(row.file)], row.line, row.rule, row.row) for row in judged.broken]
    summary = _json_row("_row", SHARD_FIGURES.dump_json(ShardFigures(figures, tuple(_keep_examples(first)))))
    good = judged.good.append_column("_kind", pa.array(["good"] * judged.good.num_rows, pa.string()))
    parts = [
        good,
        pa.Table.from_pylist(aside) if aside else good[:0],
        summary.append_column("_kind", pa.array(["figures"])),
    ]
    return pa.Table.from_batches(_to_batches(shard_columns(source), parts), _arrow_schema(shard_columns(source)))


def add_shards(shards: Sequence[ShardFigures], heads: Sequence[File]) -> tuple[Figures, tuple[BrokenRow, ...]]:
    """Add up the figures of all shards; returns also the first broken rows of each rule, by file and line."""
    first = _keep_examples(sorted(example for shard in shards for example in shard.examples))
    broken = tuple(BrokenRow(heads[number], line, rule, row) for number, line, rule, row in first)
    return quarantine.add_figures([shard.figures for shard in shards]), broken


def _keep_examples(broken: Sequence[tuple[int, int, str, str]]) -> list[tuple[int, int, str, str]]:
    counts: dict[str, int] = {}
    kept = []
    for example in broken:
        counts[example[2]] = counts.get(example[2], 0) + 1
        if counts[example[2]] <= _EXAMPLES:
            kept.append(example)
    return kept


def _json_row(column: str, text: bytes) -> pa.Table:
    return pa.table({column: pa.array([text.decode()], pa.string())})


def _arrow_schema(columns: Columns) -> pa.Schema:
    return pa.schema([(name, readers.ARROW_TYPES[kind]) for name, kind in columns])


def _to_batches(columns: Columns, parts: Sequence[pa.Table]) -> list[pa.RecordBatch]:
    """Put tables one below the other, in the order of the columns; what a table lacks is null."""
    schema = _arrow_schema(columns)
    together: Any = pa.concat_tables([schema.empty_table(), *parts], promote_options="default")
    batches: list[pa.RecordBatch] = together.select(schema.names).cast(schema).to_batches()
    return batches
