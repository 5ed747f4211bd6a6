"""What the registry asks of Unity Catalog, through MLflow's own store for it: every question leaves this machine.

MLflow refuses some arguments for Unity Catalog that its other stores take, before anything is sent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime

import pytest
from double import Double

from mlops.contract import ModelError
from mlops.contract.model_version import Version
from mlops.platform.registry import Registry

MODEL = "prod.flights.late_arrival"
VERSION = Version(MODEL, 1, "", datetime(2024, 1, 1, tzinfo=UTC), {"old": "x"}, ())


@pytest.fixture
def registry(double: Double) -> Iterator[Registry]:
    import mlflow

    before = mlflow.get_tracking_uri(), mlflow.get_registry_uri()
    yield Registry(None)
    mlflow.set_tracking_uri(before[0])
    mlflow.set_registry_uri(before[1])


QUESTIONS: dict[str, Callable[[Registry], object]] = {
    "ensure": lambda registry: registry._ensure_model(MODEL),
    "create": lambda registry: registry._client.create_registered_model(MODEL),
    "version": lambda registry: registry.get_version(MODEL, 1),
    "versions": lambda registry: registry.list_versions(MODEL),
    "holder": lambda registry: registry.find_alias_holder(MODEL, "champion"),
    "set_alias": lambda registry: registry.set_alias(VERSION, "champion"),
    "drop_alias": lambda registry: registry._client.delete_registered_model_alias(MODEL, "champion"),
    "tag": lambda registry: registry.set_tags(VERSION, {"verdict": "accepted"}),
    "untag": lambda registry: registry.set_tags(VERSION, {"old": None}),
    "describe": lambda registry: registry.set_description(VERSION, "text"),
    "delete": lambda registry: registry._client.delete_model_version(MODEL, "1"),
}


@pytest.mark.parametrize("name", QUESTIONS)
def test_the_question_reaches_the_workspace(registry: Registry, double: Double, name: str) -> None:
    from mlflow.exceptions import MlflowException

    with suppress(MlflowException, ModelError):
        QUESTIONS[name](registry)
    assert [path for _, path in double.calls if "unity-catalog" in path], double.calls


def test_unity_catalog_draws_the_lineage_of_a_version_from_the_tables_of_its_run(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlflow
    from mlflow.data.delta_dataset_source import DeltaDatasetSource
    from mlflow.entities import DatasetInput, Run, RunData, RunInfo, RunInputs
    from mlflow.store._unity_catalog.registry.rest_store import UcModelRegistryStore

    logged: list[DatasetInput] = []
    monkeypatch.setattr(DeltaDatasetSource, "_lookup_table_id", lambda _, name: f"id of {name}")
    monkeypatch.setattr(
        mlflow, "log_input", lambda data, context: logged.append(DatasetInput(data._to_mlflow_entity(), []))
    )
    registry.log_tables({"prod.flights.features": 3, "prod.flights.outcomes": 2})
    info = RunInfo("1", "1", "ada", "RUNNING", 0, None, "active")
    sources = UcModelRegistryStore._get_lineage_input_sources(
        registry, Run(info, RunData(), RunInputs(dataset_inputs=logged))
    )
    assert [(source.table.name, source.table.table_id) for source in sources] == [
        ("prod.flights.features", "id of prod.flights.features"),
        ("prod.flights.outcomes", "id of prod.flights.outcomes"),
    ]
