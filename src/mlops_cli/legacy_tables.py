"""Writes the SQL that copies tables of `hive_metastore` into a catalog, and the SQL that compares copy and source."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_NESTED = ("array<", "map<", "struct<", "variant")
_JSON = "map('timestampFormat', 'yyyy-MM-dd HH:mm:ss.SSSSSS', 'timestampNTZFormat', 'yyyy-MM-dd HH:mm:ss.SSSSSS')"
_CLOUDS = ("abfss://", "gs://", "s3://", "s3a://")


@dataclass(frozen=True)
class TableFacts:
    """The facts of a table from DESCRIBE TABLE EXTENDED."""

    columns: tuple[tuple[str, str], ...]
    """Name and type of each column, in the table's order."""
    provider: str = ""
    """Format, as in delta or parquet."""
    kind: str = ""
    """MANAGED, EXTERNAL or VIEW."""
    location: str = ""

    @property
    def may_stay(self) -> bool:
        """Whether its files are in cloud storage that Unity Catalog can read."""
        return self.kind == "EXTERNAL" and self.location.startswith(_CLOUDS)


def parse_facts(rows: Sequence[Mapping[str, Any]]) -> TableFacts:
    """Parse the rows of DESCRIBE TABLE EXTENDED: columns up to the first blank or heading, then facts by name."""
    names = [str(row["col_name"] or "").strip() for row in rows]
    end = next((i for i, name in enumerate(names) if not name or name.startswith("#")), len(names))
    types = [str(row["data_type"] or "").strip() for row in rows]
    facts = dict(zip(names[end:], types[end:], strict=True))
    columns = tuple(zip(names[:end], types[:end], strict=True))
    return TableFacts(
        columns, facts.get("Provider", "").lower(), facts.get("Type", "").upper(), facts.get("Location", "")
    )


def quote_name(*parts: str) -> str:
    """Quote a SQL name: each part in backticks, whatever it contains."""
    return ".".join(f"`{part.replace('`', '``')}`" for part in parts)


def copy_statement(source: str, target: str, facts: TableFacts, *, in_place: bool) -> str:
    """Write the statement that creates the table in the catalog; it fails if the table exists.

    Args:
        source: quoted name.
        target: quoted name.
        facts: of the source.
        in_place: leave the files of an external table where they are.
    """
    if in_place and facts.may_stay:
        return f"SYNC TABLE {target} FROM {source}"
    if facts.provider == "delta":
        return f"CREATE TABLE {target} DEEP CLONE {source}"
    return f"CREATE TABLE {target} AS SELECT * FROM {source}"  # noqa: S608 (names are quoted)


def proof_statement(table: str, columns: Sequence[tuple[str, str]]) -> str:
    """Write the statement that counts the rows of a table, and sums a hash of each row over all columns.

    Two tables with the same rows give the same answer, whatever the order of rows; a value that differs, a row that is
    missing and a row that is there twice change it. xxhash64 passes over NULL, so that each column says whether it is
    one; it takes no map, so that nested columns are hashed as JSON.
    """
    terms = []
    for name, type_ in columns:
        column = quote_name(name)
        terms += [f"to_json({column}, {_JSON})" if type_.lower().startswith(_NESTED) else column, f"{column} IS NULL"]
    digest = f"sum(CAST(xxhash64({', '.join(terms)}) AS DECIMAL(38, 0)))"
    return f"SELECT count(*) AS row_count, {digest} AS row_digest FROM {table}"  # noqa: S608 (names are quoted)


def describe_difference(
    before: tuple[TableFacts, Mapping[str, Any]], after: tuple[TableFacts, Mapping[str, Any]]
) -> str | None:
    """Describe the difference between a table and its copy; None: there is none.

    Args:
        before: columns of the source, and the row that its proof answered.
        after: of the copy.
    """
    (old, counted), (new, recounted) = before, after
    if old.columns != new.columns:
        differing = sorted({f"{name} {type_}" for name, type_ in set(old.columns) ^ set(new.columns)})
        return f"its columns differ: {', '.join(differing) or 'they stand in another order'}"
    if counted["row_count"] != recounted["row_count"]:
        return f"it has {recounted['row_count']} rows, and the source has {counted['row_count']}"
    if counted["row_digest"] != recounted["row_digest"]:
        return f"it has as many rows as the source, {counted['row_count']}, and some of them are others"
    return None
