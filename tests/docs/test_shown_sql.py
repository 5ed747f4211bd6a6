"""Every fenced block of SQL of every page is read by Spark; the queries on costs run on rows of the system tables."""

from __future__ import annotations

import re

import pytest
from pyspark.errors import AnalysisException
from shown_commands import ROOT, read_blocks

BLOCKS = [
    (page.relative_to(ROOT).as_posix(), block)
    for page in sorted((ROOT / "docs").rglob("*.md"))
    for block in read_blocks(page.read_text(), "sql")
]
PLATFORM = ("CREATE EXTERNAL VOLUME",)
"""Beginnings of statements that only Unity Catalog has; Spark knows no volumes."""
ABSENT = {"TABLE_OR_VIEW_NOT_FOUND", "REQUIRES_SINGLE_PART_NAMESPACE"}
"""Conditions of Spark for a table of a catalog that it does not have, once it has read the statement."""
START = "TIMESTAMP '2026-11-01 10:00:00'"
ROWS = {
    "system.billing.usage": f"""
        named_struct('job_name', 'flights-prod-training', 'job_run_id', 7L) AS usage_metadata, 4.0D AS usage_quantity,
        'JOBS' AS billing_origin_product, 'sku' AS sku_name, 'AZURE' AS cloud, current_date() AS usage_date,
        {START} AS usage_start_time""",
    "system.billing.list_prices": f"""
        named_struct('effective_list', named_struct('default', 0.5D)) AS pricing, 'sku' AS sku_name, 'AZURE' AS cloud,
        {START} AS price_start_time, CAST(NULL AS TIMESTAMP) AS price_end_time""",
    "system.lakeflow.job_run_timeline": """
        '1' AS job_id, 'SUCCEEDED' AS result_state, current_timestamp() AS period_start_time,
        current_timestamp() + INTERVAL 90 SECONDS AS period_end_time""",
    "system.lakeflow.jobs": f"'1' AS job_id, 'flights-prod-training' AS name, {START} AS change_time",
}
"""One row of each system table, with the columns that the platform documents."""
ANSWERS = [
    {"job": "flights-prod-training", "runs": 1, "dbu": 4.0, "list_price": 2.0},
    {"name": "flights-prod-training", "minutes": 1.5},
]


def test_spark_reads_every_block(spark):
    statements = [(page, text) for page, block in BLOCKS for text in block.split(";") if text.strip()]
    read = [(page, text) for page, text in statements if not text.strip().startswith(PLATFORM)]
    assert len(read) == len(statements) - 1 >= 3
    for page, text in read:
        with pytest.raises(AnalysisException) as unread:  # the tables are not here, and a syntax error comes first
            spark.sql(text).schema  # noqa: B018
        assert unread.value.getCondition() in ABSENT, f"{page}: {unread.value.getCondition()}"


def test_the_queries_on_costs_answer(spark):
    for table, columns in ROWS.items():
        spark.sql(f"SELECT {columns}").createOrReplaceTempView(table.replace(".", "_"))
    queries = [block for page, block in BLOCKS if page == "docs/how-to/cost.md"]
    tables = re.compile("|".join(map(re.escape, sorted(ROWS, key=len, reverse=True))))
    answers = []
    for query in queries:
        text = tables.sub(lambda table: table[0].replace(".", "_"), query).rstrip().rstrip(";")
        answers += [row.asDict() for row in spark.sql(text).collect()]
    assert answers == ANSWERS
