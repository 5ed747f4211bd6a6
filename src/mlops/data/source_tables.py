"""Land the new rows of existing Delta tables as Parquet files, so that ingestion reads every source in one way.

Rows reach the landing folder by Spark, never through the driver. Each landed version of the table has a folder
`<landing>/<source>/version-<number>-<table>` with the rows that the previously landed version did not have; `table` is
the begin of the table's identifier, since a table that was dropped and made again counts its versions anew. A row that
was deleted from the table stays ingested, as a row of a file does.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from pyspark.sql import DataFrame

from mlops.config import IngestionConfig
from mlops.context import Context
from mlops.contract import ConfigError, DataError, Source
from mlops.data.landing import MARKER
from mlops.platform import storage
from mlops.platform.tables import Schema, open_schema

_FOLDER = re.compile(r"version-(\d{9})(?:-(\w+))?")
"""Folders of former releases name no table."""
_DONE = "_SUCCESS"
"""File that Spark writes into a folder after all others."""


def land_tables(job: Context[IngestionConfig]) -> None:
    """Land the newest version of each source's table, if it was not landed before.

    Raises:
        ConfigError: a table's name has not three parts.
        DataError: there is no such table.
    """
    for source in job.use_case.sources:
        if source.table:
            _land_table(job, source)


def _land_table(job: Context[IngestionConfig], source: Source) -> None:
    schema, table = _open_table(source)
    folder, newest = f"{job.config.landing}/{source.name}", schema.newest_version(table)
    table_id = schema.find_id(table)[:8]
    landed: dict[int, str] = {}
    complete = []
    for entry in storage.list_entries(folder):
        if name := _FOLDER.fullmatch(entry.name):
            if not Path(entry.path, _DONE).exists():
                shutil.rmtree(entry.path)  # a killed run left it: half a file would block each batch
                continue
            complete.append(entry.path)
            if name[2] in (None, table_id) and int(name[1]) <= newest:
                landed[int(name[1])] = entry.path
    before = max(landed, default=None)
    if job.use_case.policy.archive_after is not None:
        for path in {*complete} - {landed.get(before or 0)}:
            if all(MARKER.fullmatch(file.name) for file in storage.scan_folder(path)):
                shutil.rmtree(path)  # its files are archived, and only the newest folder says what was landed
    if before == newest:
        return
    rows = _read_columns(source, schema.read_table(table, newest))
    if before is not None:
        rows = _without_known(source, rows, schema, table, before)
    target = storage.resolve_local_path(f"{folder}/version-{newest:09}-{table_id}")
    rows.write.mode("overwrite").parquet(str(target))
    job.log.info("%s: landed version %d of %s", source.name, newest, source.table)


def _open_table(source: Source) -> tuple[Schema, str]:
    parts = source.table.split(".")
    if len(parts) != 3:
        raise ConfigError(f"source {source.name!r} reads table {source.table!r}: write it as catalog.schema.table")
    return open_schema(*parts[:2]), parts[2]


def _read_columns(source: Source, rows: DataFrame) -> DataFrame:
    return rows.select(*[column.name for column in source.columns if column.name in rows.columns])


def _without_known(source: Source, rows: DataFrame, schema: Schema, table: str, before: int) -> DataFrame:
    try:
        schema.check_version(table, before)
    except DataError:  # past the table's retention: ingestion recognises the rows that it has
        return rows
    return rows.exceptAll(_read_columns(source, schema.read_table(table, before)))
