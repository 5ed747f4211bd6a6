"""Reads tables of a laptop's home without Spark, which takes seconds to start, for the commands of people."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def read_rows(home: Path, catalog: str, schema: str, table: str, where: tuple[str, str] | None = None) -> list[Any]:
    """Read the rows of a table as mappings; none where there is no such table.

    Args:
        home: the laptop's home folder.
        catalog: of the table.
        schema: of the table.
        table: its name.
        where: a column, whose name is one of ours, and the text of its value in the rows; None: all rows.
    """
    folder = home / "warehouse" / catalog / schema / table
    if not (folder / "_delta_log").is_dir():
        return []
    import pyarrow as pa
    from deltalake import DeltaTable, QueryBuilder

    statement = "SELECT * FROM stored"
    if where is not None:
        column, value = where[0], where[1].replace("'", "''")
        statement += f" WHERE CAST(\"{column}\" AS VARCHAR) = '{value}'"
    # (Rejected: to_pyarrow_table. Its threads may still run when the process ends, and then abort it.)
    reader = QueryBuilder().register("stored", DeltaTable(str(folder))).execute(statement)
    # (Rejected: pa.table. It imports pandas to check whether its argument is a frame.)
    return list(pa.RecordBatchReader.from_stream(reader.read_all()).read_all().to_pylist())
