"""Read from the ledger what a run of ingestion asks: which listed files were read, and which content is known.

The driver gets the rows of files that are still in the landing folder, not of all that ever were.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from mlops.data.landing import KnownFile, LandedFile

_MOST_SIZES = 1000
"""Largest number of lengths that a query names; to more new files the digests of all files are compared."""


@dataclass(frozen=True)
class ListedFiles:
    """What the ledger knows of the files that are listed now."""

    newest: Mapping[str, int] = field(default_factory=dict)
    """Newest batch of each source."""
    read: Collection[KnownFile] = frozenset()
    """Files that were read; some of them may no longer be listed."""


def find_listed(ledger: DataFrame, sources: Collection[str], listed: Sequence[LandedFile]) -> ListedFiles:
    """Find the files that were read, with one statement.

    Args:
        ledger: the table, or an empty frame of its columns.
        sources: sources whose files count as read; those of another one, whose table was deleted, are new again.
        listed: the files in the landing folder. A file that is older than all of them is not asked about.
    """
    batches = ledger.groupBy("source").agg(F.max("batch").alias("batch"))
    rows = batches.select("source", *(F.lit(None).cast(kind) for kind in ("string", "bigint", "timestamp")), "batch")
    if sources and listed:
        since = ledger.where(F.col("modified") >= F.lit(min(file.modified for file in listed)))
        since = since.where(F.col("source").isin([*sources]))
        rows = rows.union(since.select("source", "file", "bytes", "modified", F.lit(None).cast("bigint")))
    newest: dict[str, int] = {}
    read: set[KnownFile] = set()
    for *file, batch in zip(*(column.to_pylist() for column in rows.toArrow().columns), strict=True):
        if batch is None:
            read.add(tuple(file))
        else:
            newest[file[0]] = batch
    return ListedFiles(newest, read)


def find_known_content(ledger: DataFrame, sources: Collection[str], new: Sequence[LandedFile]) -> set[tuple[str, str]]:
    """Find source and digest of the files that may have the content of a new one, since they are as long.

    Args:
        ledger: the table.
        sources: as in `find_listed`.
        new: files that were not read.
    """
    if not sources:
        return set()
    rows, sizes = ledger.where(F.col("source").isin([*sources])), {file.size for file in new}
    if len(sizes) <= _MOST_SIZES:
        rows = rows.where(F.col("bytes").isin([*sizes]))
    table = rows.select("source", "sha256").toArrow()
    return set(zip(table["source"].to_pylist(), table["sha256"].to_pylist(), strict=True))
