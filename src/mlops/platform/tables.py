"""Read and write Delta tables. This is the only module that uses table names, paths and Delta's statements.

On Databricks a table is `catalog.schema.name`; on a laptop, which has no catalog, it is Delta's path identifier of
`<home>/warehouse/catalog/schema/name`. Every statement below works on both.
"""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops.contract import ConfigError, Conflict, DataError
from mlops.platform import delta_errors, runtime
from mlops.platform.sql_literals import quote_text, write_time

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, Row, SparkSession

_PART = re.compile(r"[A-Za-z0-9_]{1,255}")
KEPT = timedelta(days=400)
"""How long table versions are kept, and so how long a training can be repeated from the versions that it logged."""
_OWNER = "mlops.use_case"
"""Property of a table: the use case that its rows are of."""
SHARED = frozenset({"audit"})
"""Tables that all use cases of a schema share, without prefix: each row names its model."""
Span = tuple[str, datetime, datetime]
SQL_TYPES = {"string": "STRING", "long": "BIGINT", "double": "DOUBLE", "timestamp": "TIMESTAMP", "boolean": "BOOLEAN",
             "map": "MAP<STRING,DOUBLE>"}  # fmt: skip


@dataclass(frozen=True)
class TableColumn:
    """One column of a table: `type` is string, long, double, timestamp (UTC), boolean or map (text to double)."""

    name: str
    type: str
    comment: str = ""
    required: bool = False


@dataclass(frozen=True)
class Schema:
    """The tables of one schema of one catalog."""

    spark: SparkSession
    warehouse: Path | None
    """Where tables lie on a laptop; None on Databricks."""
    catalog: str
    name: str
    remark: str = ""
    """Text in the error about a missing table: why it is read from this schema."""
    prefix: str = ""
    """Prefix of the stored name of each table that is not in SHARED."""

    def table_name(self, table: str) -> str:
        """Name under which a table is stored."""
        return table if table in SHARED else f"{self.prefix}{table}"

    def identifier(self, table: str) -> str:
        """How SQL names a table.

        Raises:
            ConfigError: a part of the name holds anything but letters, digits and underscores.
        """
        stored = self.table_name(table)
        for part in (self.catalog, self.name, stored):
            if not _PART.fullmatch(part):
                raise ConfigError(f"{part!r} cannot be part of a table name: letters, digits and underscores only")
        if self.warehouse is None:
            return f"`{self.catalog}`.`{self.name}`.`{stored}`"
        return f"delta.`{self.folder(self.warehouse) / stored}`"

    def full_name(self, table: str) -> str:
        """Return catalog.schema.table."""
        return f"{self.catalog}.{self.name}.{self.table_name(table)}"

    def exists(self, table: str) -> bool:
        """Whether the table exists; on a laptop: whether the log in its folder has an entry."""
        identifier = self.identifier(table)
        if self.warehouse is None:
            return bool(self.spark.catalog.tableExists(identifier))
        log = self.folder(self.warehouse) / self.table_name(table) / "_delta_log"
        return any(log.glob("*.json"))

    def folder(self, warehouse: Path) -> Path:
        """Return the folder of the schema's tables below a laptop's warehouse."""
        return warehouse / self.catalog / self.name

    def _must_exist(self, table: str) -> None:
        if not self.exists(table):
            raise DataError(f"there is no table {self.full_name(table)}: {self.remark}run the job that writes it first")

    def read_table(self, table: str, version: int | None = None) -> DataFrame:
        """The table, now or as it was at a version.

        Raises:
            DataError: there is no such table.
        """
        self._must_exist(table)
        if version is None:  # without a statement of its own, which `sql` sends
            return self.spark.table(self.identifier(table))
        return self.spark.sql(f"SELECT * FROM {self.identifier(table)} VERSION AS OF {int(version)}")

    def newest_version(self, table: str) -> int:
        """Return the number of the table's newest version; raises DataError if there is no such table."""
        self._must_exist(table)
        return int(self.spark.sql(f"DESCRIBE HISTORY {self.identifier(table)} LIMIT 1").collect()[0]["version"])

    def find_id(self, table: str) -> str:
        """Find the identifier of the table, which another table that is made in its place does not have."""
        return str(self._describe(table)["id"])

    def _describe(self, table: str) -> Row:
        return self.spark.sql(f"DESCRIBE DETAIL {self.identifier(table)}").collect()[0]

    def check_version(self, table: str, version: int) -> None:
        """Raise DataError if the table's log does not have the version."""
        try:
            self.read_table(table, version).schema  # noqa: B018 - Spark looks for the version when it is asked for the columns
        except Exception as error:
            if explained := delta_errors.explain_error(error, self.full_name(table)):
                raise explained from error
            raise

    def create_table(
        self, table: str, columns: Sequence[TableColumn], comment: str, key: Sequence[str] = (), *, owner: str = ""
    ) -> None:
        """Create the table if it does not exist, as `create_statement` writes it.

        Raises:
            ConfigError: the table belongs to another owner.
            DataError: in its place are files that are no Delta table.
        """
        for pause in (0.2, 1, 5):
            if self.exists(table):
                if owner:
                    self._check_owner(table, owner)
                return
            with suppress(Conflict), delta_errors.raise_conflicts(self.full_name(table)):
                self.spark.sql(self.create_statement(table, columns, comment, key, owner=owner))
                return
            time.sleep(pause)  # another run creates it: the first entry of its log follows its folder in a moment
        raise DataError(
            f"table {self.full_name(table)} cannot be created: its folder holds files and no log. Restore its folder "
            f"_delta_log from a copy, or delete the table's folder and run the job that writes it"
        )

    def _check_owner(self, table: str, owner: str) -> None:
        # Leaves the table's log unread, which takes a second, and hides values with "url", "token" and the like.
        shown = self.spark.sql(f"SHOW TBLPROPERTIES {self.identifier(table)}").collect()
        if {row["key"]: row["value"] for row in shown}.get(_OWNER, owner) == owner:  # of old tables none is recorded
            return
        if (stored := self._describe(table)["properties"][_OWNER]) != owner:
            raise ConfigError(
                f"table {self.full_name(table)} belongs to the use case {stored!r}, and this one is {owner!r}: write "
                f'table_prefix="{re.sub(r"[^a-z0-9]+", "_", owner.lower())}_" into the UseCase, or give the bundle a '
                f"schema of its own (variable `schema`); if it was only renamed, set the property {_OWNER}"
            )

    def create_statement(
        self, table: str, columns: Sequence[TableColumn], comment: str, key: Sequence[str] = (), *, owner: str = ""
    ) -> str:
        """Write the statement that creates the table.

        Args:
            table: its name.
            columns: in their order.
            comment: on the table.
            key: required columns, the last one a time: with it the table is a feature table in Unity Catalog. A key is
                declared on Databricks only, open-source Delta knows none.
            owner: use case that the rows belong to; empty: the table has no owner.
        """
        lines = [
            f"`{c.name}` {SQL_TYPES[c.type]}{' NOT NULL' if c.required else ''} COMMENT {quote_text(c.comment)}"
            for c in columns
        ]
        if key and self.warehouse is None:
            names = ", ".join(f"`{name}`" for name in key)
            lines.append(f"CONSTRAINT `{self.table_name(table)}_key` PRIMARY KEY ({names} TIMESERIES)")
        kept = f"interval {KEPT.days} days"
        properties = {f"delta.{what}Duration": kept for what in ("logRetention", "deletedFileRetention")}
        properties |= {_OWNER: owner} if owner else {}
        settings = ", ".join(f"'{name}' = {quote_text(value)}" for name, value in properties.items())
        return (
            f"CREATE TABLE IF NOT EXISTS {self.identifier(table)} ({', '.join(lines)}) USING DELTA "
            f"COMMENT {quote_text(comment)} TBLPROPERTIES ({settings})"
        )

    def delete_rows(self, table: str, model: str) -> None:
        """Delete every row, of a shared table those of a model; the table and its history stay."""
        where = f" WHERE model_name = {quote_text(model)}" if table in SHARED else ""
        self.spark.sql(f"DELETE FROM {self.identifier(table)}{where}")

    def find_missing_columns(self, table: str, columns: Sequence[TableColumn]) -> list[TableColumn]:
        """List the columns that the table does not have.

        Raises:
            DataError: the table has one of them with another type.
        """
        existing = {field.name: field.dataType.simpleString().upper() for field in self.read_table(table).schema.fields}
        for c in columns:
            if c.name in existing and existing[c.name] != SQL_TYPES[c.type]:
                raise DataError(
                    f"table {self.full_name(table)} has column {c.name!r} as {existing[c.name]}, the code makes it "
                    f"{SQL_TYPES[c.type]}: give it another name, or delete the table, which its job then creates again"
                )
        return [column for column in columns if column.name not in existing]

    def add_columns(self, table: str, columns: Sequence[TableColumn]) -> None:
        """Add empty columns.

        (Rejected: an append that adds them. It gives a text from Arrow a type that delta-rs cannot read.)
        """
        for c in columns:
            added = f"`{c.name}` {SQL_TYPES[c.type]} COMMENT {quote_text(c.comment)}"
            self.spark.sql(f"ALTER TABLE {self.identifier(table)} ADD COLUMNS ({added})")

    def set_comments(self, table: str, columns: Sequence[TableColumn]) -> None:
        """Set the comments of columns."""
        for c in columns:
            comment = f"ALTER COLUMN `{c.name}` COMMENT {quote_text(c.comment)}"
            self.spark.sql(f"ALTER TABLE {self.identifier(table)} {comment}")

    def merge_rows(
        self,
        table: str,
        frame: DataFrame,
        key: Sequence[str],
        *,
        newer: str | None = None,
        span: Span | None = None,
        first: bool = False,
    ) -> int | None:
        """Upsert rows on their key atomically; returns the number of rows with a new key, None if all are new.

        Args:
            table: target; columns of the frame that it lacks are added in the same commit, empty in all other rows.
            frame: at most one row per key.
            key: columns, never null.
            newer: a column. An incoming row replaces the stored one only if its value of this column is greater, or if
                that is equal and the columns after it compare greater. So the same rows stay, whatever order they come
                in. None: an incoming row always replaces.
            span: a time column, and its first and last value in stored rows that count: other files are not read.
            first: the table may never have been written to; then rows are appended, which is much cheaper.

        Raises:
            Conflict: another writer was faster; nothing was written.
        """
        names = [name for name in frame.columns if name not in key]
        update = ", ".join(f"`{name}` = s.`{name}`" for name in names)
        order = [newer, *(name for name in names if name != newer)]
        incoming, stored = (", ".join(f"{side}.`{name}`" for name in order) for side in "st")
        condition = f" AND struct({incoming}) > struct({stored})" if newer else ""
        matched = f"WHEN MATCHED{condition} THEN UPDATE SET {update}"
        return self._merge(table, frame, key, matched, span=span, first=first)

    def append_rows(self, table: str, frame: DataFrame, *, adds_columns: bool = False) -> None:
        """Append rows without looking at keys; it takes a fifth of the time of a merge."""
        writer = frame.writeTo(self.identifier(table))
        (writer.option("mergeSchema", "true") if adds_columns else writer).append()

    def replace_rows(self, table: str, frame: DataFrame, where: Column) -> None:
        """Replace all rows that meet a condition by a frame whose rows meet it, too, in one commit.

        Columns of the frame that the table lacks are added, empty in all other rows.

        Raises:
            Conflict: another writer was faster; nothing was written.
        """
        with delta_errors.raise_conflicts(self.full_name(table)):
            frame.writeTo(self.identifier(table)).option("mergeSchema", "true").overwrite(where)

    def insert_new(
        self, table: str, frame: DataFrame, key: Sequence[str], *, span: Span | None = None, first: bool = False
    ) -> None:
        """Insert the rows whose key the table does not have; `span`, `first` and errors are those of `merge_rows`."""
        self._merge(table, frame, key, "", span=span, first=first)

    def append_numbered(self, table: str, frame: DataFrame, writer: str, number: int, **options: str) -> None:
        """Append rows, unless `writer` has appended rows with this number or a greater one: Delta skips them silently.

        Raises:
            Conflict: another run takes the number at this moment; nothing was written.
        """
        with delta_errors.raise_conflicts(self.full_name(table)):
            frame.writeTo(self.identifier(table)).options(txnAppId=writer, txnVersion=str(number), **options).append()

    def append_once(self, table: str, frame: DataFrame, after: int, *, adds_columns: bool = False) -> None:
        """Append rows, provided that no other run has called this since the table's version `after`.

        Raises:
            Conflict: another run has; nothing was written.
        """
        options = {"userMetadata": (token := uuid.uuid4().hex)} | ({"mergeSchema": "true"} if adds_columns else {})
        self.append_numbered(table, frame, "mlops", after + 1, **options)
        newest = self.spark.sql(f"DESCRIBE HISTORY {self.identifier(table)} LIMIT 10").collect()
        if token not in {row["userMetadata"] for row in newest}:
            raise Conflict(delta_errors.BEATEN.format(self.full_name(table)))

    def _merge(
        self, table: str, frame: DataFrame, key: Sequence[str], matched: str, *, span: Span | None = None, first: bool
    ) -> int | None:
        if first and self.newest_version(table) == 0:
            with suppress(Conflict):
                self.append_once(table, frame, after=0)
                return None
        on = " AND ".join(f"t.`{name}` = s.`{name}`" for name in key)
        if span:
            on += f" AND t.`{span[0]}` BETWEEN {write_time(span[1])} AND {write_time(span[2])}"
        names, values = (", ".join(f"{side}`{name}`" for name in frame.columns) for side in ("", "s."))
        with _make_view(frame) as view, delta_errors.raise_conflicts(self.full_name(table)):
            counts = self.spark.sql(
                f"MERGE WITH SCHEMA EVOLUTION INTO {self.identifier(table)} t USING {view} s ON {on} {matched} "
                f"WHEN NOT MATCHED THEN INSERT ({names}) VALUES ({values})"
            ).collect()[0]
        return int(counts["num_inserted_rows"])


def rows_of(frame: DataFrame) -> list[dict[str, Any]]:
    """Collect a frame's rows as dictionaries by column, with times in UTC.

    (Rejected: `collect`, which returns times without zone in the process's local time, in which one hour of autumn
    occurs twice.)
    """
    rows: list[dict[str, Any]] = frame.toArrow().to_pylist()
    return rows


def open_schema(catalog: str, name: str, remark: str = "", prefix: str = "") -> Schema:
    """Open a schema on Databricks, or in the laptop's home; `prefix` as in `Schema`."""
    home = runtime.home()
    return Schema(runtime.spark(), None if home is None else home / "warehouse", catalog, name, remark, prefix)


@contextmanager
def _make_view(frame: DataFrame) -> Iterator[str]:
    """Make a temporary view of a frame, so that SQL can name the frame on Spark Connect and classic."""
    name = f"incoming_{uuid.uuid4().hex}"
    frame.createOrReplaceTempView(name)
    try:
        yield name
    finally:
        frame.sparkSession.catalog.dropTempView(name)
