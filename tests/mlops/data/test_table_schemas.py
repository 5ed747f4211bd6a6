"""What Unity Catalog is told of the feature table: its text, since nothing here understands a primary key."""

from __future__ import annotations

from pathlib import Path

import pytest
from toy import TOY

from mlops.data.table_schemas import feature_columns
from mlops.platform.tables import Schema

GOLDEN = (
    "CREATE TABLE IF NOT EXISTS `prod`.`toy`.`features` ("
    "`id` BIGINT NOT NULL COMMENT 'Order', "
    "`event_time` TIMESTAMP NOT NULL COMMENT 'When it happens, UTC', "
    "`prediction_time` TIMESTAMP NOT NULL COMMENT 'When the prediction is made, UTC', "
    "`size` DOUBLE COMMENT 'Size of the order. [kg]; known from the announcement', "
    "`kind` STRING COMMENT 'Kind of the order.; known from the announcement', "
    "`due_around` DOUBLE COMMENT 'Orders of the same kind announced in the last day. [orders]; known from the "
    "announcements', "
    "`batch` BIGINT NOT NULL COMMENT 'Newest ingestion batch that the row was made from', "
    "CONSTRAINT `features_key` PRIMARY KEY (`id`, `prediction_time` TIMESERIES)) USING DELTA "
    "COMMENT 'Features of: Will this order fail?' TBLPROPERTIES ("
    "'delta.logRetentionDuration' = 'interval 400 days', 'delta.deletedFileRetentionDuration' = 'interval 400 days')"
)


def definition(warehouse: Path | None) -> str:
    schema = Schema(None, warehouse, "prod", "toy")
    return schema.create_statement(
        "features", feature_columns(TOY), f"Features of: {TOY.question}", ["id", "prediction_time"]
    )


def test_the_feature_table_declares_its_primary_and_time_series_key_on_databricks():
    assert definition(None) == GOLDEN


@pytest.mark.parametrize("part", ["PRIMARY KEY", "TIMESERIES"])
def test_a_laptop_is_not_asked_for_what_it_does_not_know(part):
    assert part not in definition(Path("/home/warehouse"))
