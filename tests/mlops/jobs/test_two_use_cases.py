"""Two use cases in one schema: the second is refused before it mixes its rows with those of the first."""

from __future__ import annotations

from dataclasses import replace

import pytest
from toy import TOY

from mlops.contract import ConfigError
from mlops.data import table_schemas
from mlops.platform.tables import open_schema

OTHER = replace(TOY, name="other")


@pytest.mark.parametrize(
    "create",
    [
        lambda schema, use_case: table_schemas.create_tables(schema, use_case, "audit", "metrics"),
        table_schemas.create_features,
        table_schemas.create_predictions,
    ],
    ids=["fixed tables", "features", "predictions"],
)
def test_a_table_of_another_use_case_is_refused_by_name_and_cure(spark, home, create):
    schema = open_schema("prod", "shared")
    for _ in range(2):
        create(schema, TOY)
    with pytest.raises(
        ConfigError, match=r"table prod\.shared\.\w+ belongs to the use case 'toy', and this one is 'oth"
    ):
        create(schema, OTHER)
    create(open_schema("prod", "other"), OTHER)


def test_a_table_of_before_belongs_to_nobody_and_is_taken(spark, home):
    schema = open_schema("prod", "before")
    schema.create_table("audit", table_schemas.table_columns("audit", TOY), "made without an owner")
    table_schemas.create_tables(schema, OTHER, "audit")
