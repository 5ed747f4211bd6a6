"""Read a Delta table as a stream: each call takes what came since the last one, and a checkpoint remembers it."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from mlops.contract import DataError
from mlops.platform.tables import Schema

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

_OTHER_TABLE = re.compile(r"DIFFERENT_DELTA_TABLE_READ_BY_STREAMING_SOURCE|DELTA_STREAMING_CHECK_COLUMN_MAPPING")


def process_new_rows(schema: Schema, table: str, checkpoint: Path, process: Callable[[DataFrame, int], None]) -> None:
    """Hand the rows that came since the last call to a function, batch by batch, and wait until it has taken them.

    A batch that was not taken to its end is handed over again, so `process` must not count a row twice. It also gets
    rows again that share a file with a row that was replaced. Spark's server calls it, in a process of its own.

    Args:
        schema: where the table is.
        table: its name.
        checkpoint: folder that remembers what was taken; without it all rows of the table are new.
        process: gets a batch, and its number.

    Raises:
        DataError: the checkpoint belongs to another table, such as one that was deleted and made again.
    """
    # A commit that replaces rows stops a stream unless this is set; `skipChangeCommits` would lose its new rows.
    reader = schema.spark.readStream.format("delta").option("ignoreChanges", "true")
    name = schema.identifier(table)
    rows = reader.table(name) if schema.warehouse is None else reader.load(name.removeprefix("delta.").strip("`"))
    writer = rows.writeStream.foreachBatch(process).option("checkpointLocation", str(checkpoint))
    try:
        # The one trigger that serverless compute allows.
        writer.trigger(availableNow=True).start().awaitTermination()
    except Exception as error:
        if not _OTHER_TABLE.search(str(error)):
            raise
        raise DataError(
            f"the checkpoint {checkpoint} is of another table than {schema.full_name(table)}, which was made again: "
            "delete that folder; rows that have a prediction are not scored again"
        ) from error
