"""What a merge did is found in the table's history."""

from __future__ import annotations

from pathlib import Path

from pyspark.sql import SparkSession

from mlops.jobs import ingestion
from mlops.platform.tables import Schema, TableColumn

COLUMNS = [TableColumn("id", "long", "Number of the thing."), TableColumn("size", "double", "Its size.")]


def test_the_version_before_a_merge_is_found_whatever_is_committed_after_it(
    spark: SparkSession, tmp_path: Path
) -> None:
    schema = Schema(spark, tmp_path, "prod", "toy")
    schema.create_table("things", COLUMNS, "Things.")
    for rows in ([(1, 1.0), (2, 2.0)], [(2, 3.0), (3, 3.0)]):
        schema.merge_rows("things", spark.createDataFrame(rows, "id bigint, size double"), ["id"])
    spark.sql(f"ALTER TABLE {schema.identifier('things')} SET TBLPROPERTIES ('maintained' = 'yes')")
    before = ingestion._find_before_merge(schema, "things", rows=2, inserted=1)
    assert sorted(row["id"] for row in schema.read_table("things", before).collect()) == [1, 2]
    newest = schema.newest_version("things")
    assert ingestion._find_before_merge(schema, "things", rows=2, inserted=0) == newest, "no such merge"
