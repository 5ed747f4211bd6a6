"""Read from the ledger what a run of ingestion asks: which listed files were read, and which content is known.

The driver gets the rows of files that are still in the landing folder, not of all that ever were.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from mlops.data.landing import KnownFile, LandedFile

NO_FILE = ""
"""Digest in a row that has no file and says that a source's table was deleted: files until that batch count as new.

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
    emptied = F.max(F.when(F.col("bytes").isNull(), F.col("batch")))  # not by the digest, which takes 64 bytes a row
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


@dataclass(frozen=True)
class KnownContent:
    """What the ledger knows of the content of new files."""

    read: Collection[tuple[str, str]] = frozenset()
    """Source and digest of content whose rows are in the source's table."""
    modified: Mapping[tuple[str, str], datetime] = field(default_factory=dict)
    """When the file that first brought a content was last changed, by source and digest."""
    copies: list[LandedFile] = field(default_factory=list)
    """The new files whose content is in `read`, as they are found."""


def find_known_content(
    ledger: DataFrame, sources: Collection[str], new: Sequence[LandedFile], recorded: ListedFiles
) -> KnownContent:
    """Find the content that new files may have, since it is as long.

    Args:
        ledger: the table.
        sources: sources whose tables exist.
        new: files that were not read.
        recorded: what `find_listed` found.
    """
    rows, sizes = ledger.where(F.col("bytes").isNotNull()), {file.size for file in new}
    if len(sizes) <= _MOST_SIZES:
        rows = rows.where(F.col("bytes").isin([*sizes]))
    rows = rows.select("source", "sha256", "batch", "modified")
    read: set[tuple[str, str]] = set()
    first: dict[tuple[str, str], tuple[int, datetime]] = {}
    for source, sha256, batch, changed in zip(*(c.to_pylist() for c in rows.toArrow().columns), strict=True):
        content = source, sha256
        first[content] = min(first.get(content, (batch, changed)), (batch, changed))
        if source in sources and batch > recorded.emptied.get(source, 0):
            read.add(content)
    return KnownContent(read, {content: changed for content, (_, changed) in first.items()})
