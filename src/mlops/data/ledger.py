"""Read from the ledger what a run of ingestion asks: which listed files were read, and which content is known.

The driver gets the rows of files that are still in the landing folder, not of all that ever were.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from operator import or_

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from mlops.data.landing import KnownFile, LandedFile

EMPTIED = ""
"""Digest in the row that says that a source's table was deleted: files of that batch and before count as new.

Without it a run that makes the table, and is blocked or killed before it fills it, would leave it empty for good.
"""
_MOST_SIZES = 1000
"""Largest number of lengths that a query names; to more new files the digests of all files are compared."""


@dataclass(frozen=True)
class ListedFiles:
    """What the ledger knows of the files that are listed now."""

    newest: Mapping[str, int] = field(default_factory=dict)
    """Newest batch of each source."""
    emptied: Mapping[str, int] = field(default_factory=dict)
    """Of each source whose table was deleted, the newest batch at that time: rows of later batches are in its table."""
    read: Collection[KnownFile] = frozenset()
    """Files whose rows are in a table; some of them may no longer be listed."""

    def is_filled(self, source: str) -> bool:
        """Whether a batch was written to the source's table and the table was not deleted since, as far as is known."""
        return self.newest.get(source, 0) > self.emptied.get(source, 0)


def find_listed(ledger: DataFrame, sources: Collection[str], listed: Sequence[LandedFile]) -> ListedFiles:
    """Find the files that were read, with one statement.

    Args:
        ledger: the table, or an empty frame of its columns.
        sources: sources whose tables exist; files of another one count as new again.
        listed: the files in the landing folder. A file that is older than all of them is not asked about.
    """
    emptied = F.max(F.when(F.col("sha256") == EMPTIED, F.col("batch")))
    batches = ledger.groupBy("source").agg(F.max("batch").alias("batch"), emptied.alias("emptied"))
    names = (F.lit(None).cast(kind) for kind in ("string", "bigint", "timestamp"))
    rows = batches.select("source", *names, "batch", "emptied")
    if sources and listed:
        since = ledger.where(F.col("modified") >= F.lit(min(file.modified for file in listed)))
        since = since.where(F.col("source").isin([*sources]))
        rows = rows.union(since.select("source", "file", "bytes", "modified", "batch", F.lit(None).cast("bigint")))
    newest: dict[str, int] = {}
    before: dict[str, int] = {}
    files: list[tuple[KnownFile, int]] = []
    for *file, batch, emptied_at in zip(*(column.to_pylist() for column in rows.toArrow().columns), strict=True):
        source, name, *_ = file
        if name is not None:
            files.append((tuple(file), batch))
            continue
        newest[source] = batch
        if emptied_at is not None:
            before[source] = emptied_at
    read = {file for file, batch in files if batch > before.get(file[0], 0)}
    return ListedFiles(newest, before, read)


def find_known_content(
    ledger: DataFrame, sources: Collection[str], new: Sequence[LandedFile], emptied: Mapping[str, int]
) -> set[tuple[str, str]]:
    """Find source and digest of the files that may have the content of a new one, since they are as long.

    Args:
        ledger: the table.
        sources: as in `find_listed`.
        new: files that were not read.
        emptied: as in `ListedFiles`.
    """
    if not sources:
        return set()
    filled = ((F.col("source") == source) & (F.col("batch") > emptied.get(source, 0)) for source in sorted(sources))
    rows, sizes = ledger.where(reduce(or_, filled)), {file.size for file in new}
    if len(sizes) <= _MOST_SIZES:
        rows = rows.where(F.col("bytes").isin([*sizes]))
    table = rows.select("source", "sha256").toArrow()
    return set(zip(table["source"].to_pylist(), table["sha256"].to_pylist(), strict=True))
