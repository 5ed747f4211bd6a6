"""Rows that are staged as a file are the rows of `createDataFrame`, with their types."""

from __future__ import annotations

from datetime import UTC, datetime

import pyarrow as pa

from mlops.platform import staging
from mlops.platform.tables import Schema

END = datetime.max.replace(tzinfo=UTC)
ROWS = pa.table(
    {
        "text": pa.array(["", "é\0 ", None, "a\nb"]),
        "number": pa.array([2**63 - 1, -(2**63), None, 0], pa.int64()),
        "size": pa.array([float("nan"), -0.0, None, 1e-310]),
        "moment": pa.array(
            [datetime(1, 1, 1, tzinfo=UTC), datetime(2013, 11, 3, 5, 30, 0, 1, UTC), None, END],
            pa.timestamp("us", "UTC"),
        ),
        "yes": pa.array([True, False, None, True]),
    }
)  # fmt: skip


def test_staged_rows_are_those_of_a_local_relation_with_their_types(spark, tmp_path):
    local = spark.createDataFrame(ROWS)
    with staging.open_frame(Schema(spark, tmp_path, "prod", "toy"), ROWS) as staged:
        assert staged.schema == local.schema
        assert repr(staged.orderBy("number").toArrow().to_pylist()) == repr(
            local.orderBy("number").toArrow().to_pylist()
        )
        assert staged.inputFiles()
    with staging.open_frame(Schema(spark, None, "prod", "toy"), ROWS) as frame:
        assert repr(frame.toArrow().to_pylist()) == repr(ROWS.to_pylist()), "on Databricks"
    with staging.open_frame(Schema(spark, None, "prod", "toy"), ROWS[:0]) as frame:
        assert (frame.schema, frame.count()) == (local.schema, 0), "a run in which nothing is due"
