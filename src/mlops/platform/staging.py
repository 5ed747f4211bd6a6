"""Pass rows of this process to Spark, and rows of one pass of a job to the next one."""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from pyspark.errors import PySparkException

from mlops.platform import runtime
from mlops.platform.tables import Schema, rows_of

_LOG = logging.getLogger(__name__)
_STAGED = "_staged_"
"""Begin of the name of a staged table; no source's name begins with _."""
_LEFTOVER = timedelta(days=2)
"""Age at which no run can still read a staged table."""

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame


@contextmanager
def open_frame(schema: Schema, rows: pa.Table) -> Iterator[DataFrame]:
    """Open rows as a frame, which must not be used after the block.

    On a laptop the rows are written to a Parquet file, which Spark reads by columns: writing 25,000 rows of 42 columns
    to a table takes half as long. (Rejected: `createDataFrame` alone. Its rows are sent again with each statement that
    uses them, and one thread of the server evaluates them row by row. On Databricks `createDataFrame` is still used,
    because staging on a volume has not been measured there.)

    Args:
        schema: whose Spark session reads the rows.
        rows: timestamps have the zone UTC.
    """
    from pyspark.sql.pandas.types import from_arrow_schema

    if schema.warehouse is None:
        yield schema.spark.createDataFrame(rows, from_arrow_schema(rows.schema))  # else it refuses to take no rows
        return
    import pyarrow.parquet as pq

    with tempfile.TemporaryDirectory(prefix="mlops-rows-") as folder:
        file = Path(folder) / "rows.parquet"
        pq.write_table(rows, file)
        yield schema.spark.read.schema(from_arrow_schema(rows.schema)).parquet(file.as_uri())


def stage_rows(schema: Schema, run: str, name: str, rows: DataFrame) -> str:
    """Write rows to a table of a run, for a later pass of it, because serverless has no cache; returns its name.

    Only who may write the other tables of the schema can change it. (Rejected: Parquet files in the landing volume, to
    which whoever lands files could add rows that nobody judges.)
    """
    table = f"{_prefix(run)}{name}"
    # Nothing selects rows by statistics.
    writer = (
        rows.writeTo(schema.identifier(table)).using("delta").tableProperty("delta.dataSkippingNumIndexedCols", "0")
    )
    writer.createOrReplace()
    return table


def drop_staged(schema: Schema, run: str) -> None:
    """Drop the staged tables of a run, and those that a killed run left two days ago or earlier.

    What cannot be dropped is named and stays for a later run: this one has done its work, or fails for another reason.
    """
    try:
        for table in _list_staged(schema):
            if table.startswith(_prefix(run)) or _find_changed(schema, table) < runtime.now() - _LEFTOVER:
                _drop_table(schema, table)
    except (OSError, PySparkException) as error:
        _LOG.warning("staged rows were not dropped, a later run does it: %s", error)


def _drop_table(schema: Schema, table: str) -> None:
    if schema.warehouse is None:
        schema.spark.sql(f"DROP TABLE IF EXISTS {schema.identifier(table)}")
    else:
        shutil.rmtree(schema.folder(schema.warehouse) / schema.table_name(table))


def _prefix(run: str) -> str:
    return f"{_STAGED}{run.replace('-', '_')}__"


def _list_staged(schema: Schema) -> list[str]:
    begin = schema.table_name(_STAGED)
    if schema.warehouse is None:
        shown = schema.spark.sql(f"SHOW TABLES IN `{schema.catalog}`.`{schema.name}` LIKE '{begin}*'")
        names = [row["tableName"] for row in rows_of(shown)]
    else:
        names = [path.name for path in schema.folder(schema.warehouse).glob(f"{begin}*")]
    return [name.removeprefix(schema.prefix) for name in names]


def _find_changed(schema: Schema, table: str) -> datetime:
    if schema.warehouse is not None:
        folder = schema.folder(schema.warehouse) / schema.table_name(table)
        return datetime.fromtimestamp(folder.stat().st_mtime, UTC)
    (detail,) = rows_of(schema.spark.sql(f"DESCRIBE DETAIL {schema.identifier(table)}").select("lastModified"))
    changed: datetime = detail["lastModified"]
    return changed
