"""Managed data profiling through the real SDK: switched on once, whoever asks, and refused in a sentence."""

from __future__ import annotations

import pytest
from double import Double, denied

from mlops.contract import MlopsError
from mlops.platform.profiling import profile_table

TABLE = "prod.flights.predictions"
COLUMNS = {"moment": "event_time", "version": "model_version", "prediction": "prediction", "of_classes": False}


@pytest.fixture
def tables(double: Double) -> Double:
    double.tables[TABLE] = {"table_id": "t-1"}
    double.schemas["prod.flights"] = {"schema_id": "s-1"}
    return double


def test_a_table_is_profiled_by_week_in_its_own_schema_and_a_repeat_changes_nothing(tables: Double) -> None:
    assert profile_table(TABLE, **COLUMNS)
    assert not profile_table(TABLE, **COLUMNS)
    assert tables.count("POST", "/data-quality") == 1
    config = tables.monitors["t-1"]["data_profiling_config"]
    assert config["output_schema_id"] == "s-1"
    assert config["inference_log"] == {
        "timestamp_column": "event_time", "granularities": ["AGGREGATION_GRANULARITY_1_WEEK"],
        "prediction_column": "prediction", "model_id_column": "model_version",
        "problem_type": "INFERENCE_PROBLEM_TYPE_REGRESSION",
    }  # fmt: skip


def test_classes_are_profiled_as_classes(tables: Double) -> None:
    assert profile_table(TABLE, **COLUMNS | {"of_classes": True})
    log = tables.monitors["t-1"]["data_profiling_config"]["inference_log"]
    assert log["problem_type"] == "INFERENCE_PROBLEM_TYPE_CLASSIFICATION"


def test_a_run_that_was_slower_than_another_is_content(tables: Double) -> None:
    from double import Refused

    tables.fail("POST", "/api/data-quality", Refused(409, "ALREADY_EXISTS", "The table has a monitor already."))
    assert not profile_table(TABLE, **COLUMNS)


def test_a_refusal_is_told_in_a_sentence(tables: Double) -> None:
    tables.refuse("POST", "/api/data-quality", denied("MANAGE on the table"))
    with pytest.raises(MlopsError, match=f"data profiling of {TABLE}: User does not have MANAGE on the table"):
        profile_table(TABLE, **COLUMNS)


def test_a_table_that_is_not_there_is_told(double: Double) -> None:
    with pytest.raises(MlopsError, match=r"data profiling of .* does not exist"):
        profile_table(TABLE, **COLUMNS)
