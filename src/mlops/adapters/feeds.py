"""CSV files of a source: found by content, read as text, typed by the contract; nothing is nulled in silence."""

from __future__ import annotations

import csv
import hashlib
from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import reduce
from pathlib import Path

from pyspark.sql import Column as SparkColumn
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from mlops.adapters import storage
from mlops.adapters.quality import broken, rule_name
from mlops.contract import BatchBlocked, Column, Source

RULES = "_rules"
"""Of a typed frame: the names of the rules that the row breaks, an array of text; empty for a good row."""
RAW = "_raw"
"""Of a typed frame: the row as it came, JSON of its columns' texts."""
FILE = "_file"
"""Of a typed frame: the name of the file that the row came in."""
_TIME = "yyyy-MM-dd'T'HH:mm:ss'Z'"


@dataclass(frozen=True)
class File:
    """One landed file, known by its content."""

    path: Path
    sha256: str
    header: tuple[str, ...]


def new_files(landing: str, source: Source, known: Collection[str]) -> tuple[File, ...]:
    """The source's files whose content is not among the known digests, by name; of equal files the first.

    Raises:
        BatchBlocked: a file has not all of the source's columns, or one twice; names the file and the columns.
    """
    fresh: dict[str, File] = {}
    for path in storage.files(f"{landing}/{source.name}"):
        content = path.read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        if digest not in known and digest not in fresh:
            first = content.split(b"\n", 1)[0].decode("utf-8-sig", "replace").rstrip("\r")
            fresh[digest] = File(path, digest, _checked(next(csv.reader([first]), []), path, source))
    return tuple(fresh.values())


def read(spark: SparkSession, source: Source, files: Iterable[File]) -> DataFrame:
    """Rows of files: the source's columns, typed, and RULES, RAW and FILE."""
    by_header: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for file in files:
        by_header[file.header].append(str(file.path))
    parts = [_text(spark, source, header, paths) for header, paths in by_header.items()]
    return _typed(reduce(lambda left, right: left.unionByName(right), parts), source)


def _checked(header: list[str], path: Path, source: Source) -> tuple[str, ...]:
    wanted = [column.name for column in source.columns]
    missing = [name for name in wanted if name not in header]
    twice = sorted({name for name in header if header.count(name) > 1})
    if missing or twice:
        found = f"it has {', '.join(header) or 'no header'}"
        what = f"lacks {', '.join(missing)}" if missing else f"has {', '.join(twice)} more than once"
        raise BatchBlocked(f"{path.name} of {source.name} {what} ({found}): nothing of this batch was published")
    return tuple(header)


def _text(spark: SparkSession, source: Source, header: tuple[str, ...], paths: list[str]) -> DataFrame:
    schema = ", ".join(f"`{name}` STRING" for name in header)
    frame = spark.read.csv(paths, schema=schema, header=True, mode="PERMISSIVE", multiLine=False, encoding="UTF-8")
    names = [column.name for column in source.columns]
    return frame.select(*names, F.col("_metadata.file_name").alias(FILE))


def _typed(text: DataFrame, source: Source) -> DataFrame:
    """Cast column by column, then judge each row by what it became."""
    raw = F.to_json(F.struct(*[column.name for column in source.columns])).alias(RAW)
    unreadable = [_unreadable(column).alias(f"_unreadable_{column.name}") for column in source.columns]
    cast = text.select(*[_cast(column).alias(column.name) for column in source.columns], *unreadable, raw, FILE)
    rules = [F.when(F.col(f"_unreadable_{c.name}"), f"{c.name}:{c.type}") for c in source.columns]
    rules += [
        F.when(F.col(c.name).isNull() & ~F.col(f"_unreadable_{c.name}"), f"{c.name}:required")
        for c in source.columns
        if c.required
    ]
    rules += [F.when(broken(e), rule_name(e)) for e in source.expectations() if e.action == "quarantine"]
    named = cast.withColumn(RULES, F.array_compact(F.array(*rules)))
    return named.select(*[column.name for column in source.columns], RULES, RAW, FILE)


def _cast(column: Column) -> SparkColumn:
    text = F.col(column.name)
    match column.type:
        case "string":
            return text
        case "timestamp":
            return F.try_to_timestamp(text, F.lit(_TIME))
        case number:
            return text.try_cast({"long": "bigint", "double": "double"}[number])


def _unreadable(column: Column) -> SparkColumn:
    return F.col(column.name).isNotNull() & _cast(column).isNull()
