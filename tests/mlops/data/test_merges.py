"""Rows that contradict a row of an earlier batch are counted, whatever else is committed to their table meanwhile."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest
from pyspark.sql import SparkSession
from things import make_things

from mlops.contract import Source
from mlops.data import table_schemas
from mlops.jobs import ingestion
from mlops.platform.tables import Schema, TableColumn

THINGS = make_things(id="long", seen="timestamp", size="double")
NOW = datetime(2024, 1, 1, tzinfo=UTC)
MOMENT = pa.timestamp("us", "UTC")


def publish(schema: Schema, hour: int, *rows: tuple[int, float], first: bool = False, source: Source = THINGS) -> int:
    """Publish rows of a file that was changed in an hour; returns how many contradict a row of an earlier batch."""
    ids, sizes = zip(*rows, strict=True)
    good = pa.table({
        "id": pa.array(ids, pa.int64()), "seen": pa.array([NOW] * len(rows), MOMENT), "size": pa.array(sizes),
        "file_modified": pa.array([NOW + timedelta(hours=hour)] * len(rows), MOMENT),
    })  # fmt: skip
    for column in source.columns[3:]:
        good = good.append_column(column.name, pa.nulls(len(rows), pa.string()))
    job: Any = SimpleNamespace(own=schema, log=logging.getLogger("merges"))
    judged: Any = SimpleNamespace(source=source, span=(NOW, NOW), good=good, published=len(rows))
    return ingestion._publish_rows(job, judged, first=first)


@pytest.mark.parametrize("is_maintained", [False, True])
def test_contradictions_are_counted_also_after_compaction_and_by_a_second_attempt(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_maintained: bool
) -> None:
    schema, merge = Schema(spark, tmp_path, "prod", "toy"), Schema.merge_rows
    table_schemas.create_source(schema, THINGS, {})

    def merge_rows(schema: Schema, *given: Any, **named: Any) -> int | None:
        added = merge(schema, *given, **named)
        if is_maintained:
            spark.sql(f"ALTER TABLE {schema.identifier('things')} SET TBLPROPERTIES ('maintained' = 'yes')")
        return added

    monkeypatch.setattr(Schema, "merge_rows", merge_rows)
    assert publish(schema, 1, (1, 1.0), (2, 2.0), first=True) == 0
    assert publish(schema, 2, (3, 3.0), (4, 4.0)) == 0
    assert publish(schema, 3, (2, 5.0), (4, 4.0), (6, 6.0)) == 1
    assert publish(schema, 3, (2, 5.0), (4, 4.0), (6, 6.0)) == 1, "a run that was cut short before the ledger"
    assert publish(schema, 0, (2, 7.0), (6, 6.0)) == 1, "the row of the later file stays"
    stored = sorted((row["id"], row["size"]) for row in schema.read_table("things").collect())
    assert stored == [(1, 1.0), (2, 5.0), (3, 3.0), (4, 4.0), (6, 6.0)]


def test_a_repeat_after_a_column_was_added_is_compared_with_versions_from_before_it(
    spark: SparkSession, tmp_path: Path
) -> None:
    schema, wider = (
        Schema(spark, tmp_path, "prod", "toy"),
        make_things(id="long", seen="timestamp", size="double", kind="string"),
    )
    table_schemas.create_source(schema, THINGS, {})
    publish(schema, 1, (1, 1.0), first=True)
    assert publish(schema, 2, (2, 2.0), (3, 3.0)) == 0
    schema.add_columns("things", [TableColumn("kind", "string", "Kind")])
    assert publish(schema, 0, (2, 7.0), (3, 3.0), source=wider) == 1
