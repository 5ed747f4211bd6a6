"""Rows that are staged as a file are the rows of `createDataFrame`, with their types."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest

from mlops.platform import runtime, staging
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


@pytest.mark.parametrize("is_laptop", [True, False])
def test_a_run_drops_its_own_staged_tables_and_what_was_left_long_ago(spark, tmp_path, monkeypatch, is_laptop):
    schema = Schema(spark, tmp_path if is_laptop else None, "spark_catalog", "staging", prefix="mine_")
    spark.sql(f"CREATE DATABASE staging LOCATION '{tmp_path / 'spark_catalog' / 'staging'}'")
    try:
        staging.drop_staged(schema, "1")  # nothing is staged
        staging.stage_rows(schema, "1", "things", spark.range(3))
        mine = staging.stage_rows(schema, "1", "things", spark.range(5).withColumnRenamed("id", "other"))
        other = staging.stage_rows(schema, "11", "things", spark.range(7))
        spark.range(9).writeTo(schema.identifier("things")).using("delta").create()
        assert schema.read_table(mine).columns == ["other"], "what an attempt of the run left is replaced"
        staging.drop_staged(schema, "1")
        assert [schema.exists(name) for name in (mine, other, "things")] == [False, True, True]
        now = runtime.now()
        monkeypatch.setattr(runtime, "now", lambda: now + timedelta(days=1))
        staging.drop_staged(schema, "2")
        assert schema.read_table(other).count() == 7
        monkeypatch.setattr(runtime, "now", lambda: now + timedelta(days=3))
        staging.drop_staged(schema, "2")
        assert [schema.exists(name) for name in (other, "things")] == [False, True]
    finally:
        spark.sql("DROP DATABASE staging CASCADE")
