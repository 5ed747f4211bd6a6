"""Pass rows of this process to Spark."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from mlops.platform.tables import Schema

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
