"""`mlops ci journal` on a real registry: where a version stands on its way into prod."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mlops.platform.model_scan import artifact_digest
from mlops_cli.cli import run_args

if TYPE_CHECKING:
    from mlflow import MlflowClient

SOURCE, MODEL = "staging.flights.late_arrival", "prod.flights.late_arrival"
ACCEPTED = {"verdict": "accepted"}


@pytest.fixture
def registry(home: Path) -> MlflowClient:
    """A home that knows target prod, and both targets' models without any version."""
    from mlops.platform.registry import Registry

    def parameters(**values: str) -> list[dict[str, str]]:
        return [{"name": name, "default": value} for name, value in values.items()]

    jobs = {
        "deployment": {"parameters": parameters(model_name=MODEL)},
        "promotion": {"parameters": parameters(model_name=MODEL, source_model=SOURCE)},
    }
    (home / "summary").mkdir()
    (home / "summary/prod.json").write_text(json.dumps({"resources": {"jobs": jobs}}))
    client: MlflowClient = Registry(home)._client
    for name in (SOURCE, MODEL):
        client.create_registered_model(name)
    return client


@pytest.fixture
def journal(home: Path, capsys: pytest.CaptureFixture[str]) -> Callable[[], tuple[int, str]]:
    def run() -> tuple[int, str]:
        code = run_args(["ci", "journal", "--version=1", "--target=prod", f"--home={home}"])
        return code, capsys.readouterr().out

    return run


def version(registry: MlflowClient, home: Path, model: str, tags: dict[str, str]) -> int:
    source = home / "files"
    source.mkdir(exist_ok=True)
    (source / "model.skops").write_text("the model")
    return int(registry.create_model_version(model, source=source.as_uri(), tags=tags).version)


def test_the_journal_follows_a_version_to_champion(
    registry: MlflowClient, home: Path, journal: Callable[[], tuple[int, str]]
) -> None:
    version(registry, home, SOURCE, ACCEPTED)
    assert journal()[0] == 0
    assert "- copy: open" in journal()[1]
    version(registry, home, MODEL, {"promoted_from": f"{SOURCE}/11@{artifact_digest(home / 'files')}"})
    assert "- copy: open" in journal()[1]
    number = version(registry, home, MODEL, {"promoted_from": f"{SOURCE}/1@{artifact_digest(home / 'files')}"})
    assert "- verdict: open" in journal()[1]
    registry.set_model_version_tag(MODEL, str(number), "verdict", "accepted")
    assert "- approval: waiting" in journal()[1]
    assert f"mlops approve {number} --target prod --home {home}" in journal()[1]
    registry.set_model_version_tag(MODEL, str(number), "approved_by", "ada")
    registry.set_registered_model_alias(MODEL, "champion", str(number))
    code, told = journal()
    assert code == 0
    assert told.count(": done") == 5


def test_a_version_that_was_refused_stops_the_pipeline(
    registry: MlflowClient, home: Path, journal: Callable[[], tuple[int, str]]
) -> None:
    version(registry, home, SOURCE, {**ACCEPTED, "verdict": "refused"})
    code, told = journal()
    assert code == 1
    assert "- source: refused" in told


def test_a_version_that_is_not_there_is_told(registry: MlflowClient, journal: Callable[[], tuple[int, str]]) -> None:
    assert journal()[0] == 1


def test_the_journal_follows_a_version_of_another_source_if_promote_was_given_one(
    registry: MlflowClient, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = "dev.dev_ada_flights.dev_ada_late_arrival"
    registry.create_registered_model(other)
    version(registry, home, other, ACCEPTED)
    words = ["ci", "journal", "--version=1", "--target=prod", f"--home={home}"]
    assert run_args([*words, "-p", f"source_model={other}"]) == 0
    assert "- copy: open" in capsys.readouterr().out
    assert run_args(words) == 1
    assert SOURCE in capsys.readouterr().err
    assert run_args([*words, "-p", "source_model"]) == 2
