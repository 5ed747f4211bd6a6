"""`mlops promote` and `mlops ci journal` on a real registry: where a version comes from, and how far it is."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mlops.platform.model_scan import artifact_digest
from mlops_cli.bundle_cli import DeployedBundle
from mlops_cli.cli import run_args

if TYPE_CHECKING:
    from mlflow import MlflowClient

SOURCE, MODEL = "staging.flights.late_arrival", "prod.flights.late_arrival"
ACCEPTED = {"verdict": "accepted"}


@pytest.fixture
def registry(home: Path, empty_store: Path) -> MlflowClient:
    """A home that knows target prod, and both targets' models without any version."""
    from mlops.platform.registry import Registry

    shutil.copy(empty_store, home)

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


@pytest.fixture
def started(registry: MlflowClient, home: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, str]]]:
    """The jobs that a command starts, with their parameters; promotion copies the version as its task does."""
    runs: list[tuple[str, dict[str, str]]] = []

    def run_job(self: DeployedBundle, job: str, parameters: dict[str, str], starter: str | None = None) -> None:
        runs.append((job, parameters))
        source = f"{parameters.get('source_model', SOURCE)}/{parameters['source_version']}"
        version(registry, home, MODEL, {"promoted_from": f"{source}@{artifact_digest(home / 'files')}"})

    monkeypatch.setattr(DeployedBundle, "run_job", run_job)
    return runs


@pytest.mark.parametrize("words", [[], ["--version=2"]], ids=["its champion", "by number"])
def test_promote_takes_a_version_of_the_source_that_is_given_to_it(
    registry: MlflowClient,
    home: Path,
    started: list[tuple[str, dict[str, str]]],
    capsys: pytest.CaptureFixture[str],
    words: list[str],
) -> None:
    other = "dev.dev_ada_flights.dev_ada_late_arrival"
    registry.create_registered_model(other)
    for name in (SOURCE, other, other):
        version(registry, home, name, ACCEPTED)
    registry.set_registered_model_alias(SOURCE, "champion", "1")
    registry.set_registered_model_alias(other, "champion", "2")
    command = [
        "promote",
        "--target=prod",
        f"--home={home}",
        *words,
        "-p",
        f"source_model={other}",
        "-p",
        "as_of=2013-04-01",
    ]
    assert run_args(command) == 0
    assert started == [("promotion", {"source_version": "2", "source_model": other, "as_of": "2013-04-01"})]
    output = capsys.readouterr()
    assert f"promoting {other} version 2 to {MODEL}" in output.err
    assert f"is the copy of {other} version 2" in output.out


def test_promote_without_a_source_takes_the_champion_of_the_deployed_one_and_says_if_there_is_none(
    registry: MlflowClient, home: Path, started: list[tuple[str, dict[str, str]]], capsys: pytest.CaptureFixture[str]
) -> None:
    version(registry, home, SOURCE, ACCEPTED)
    assert run_args(["promote", "--target=prod", f"--home={home}"]) == 1
    assert f"{SOURCE} has no champion to promote; name a version with --version" in capsys.readouterr().err
    registry.set_registered_model_alias(SOURCE, "champion", "1")
    assert run_args(["promote", "--target=prod", f"--home={home}"]) == 0
    assert started == [("promotion", {"source_version": "1"})]


@pytest.mark.parametrize(
    ("source", "told"),
    [("late_arrival", "'source_model' is 'late_arrival'"), ("dev.none.here", "dev.none.here")],
    ids=["no name", "no model"],
)
def test_promote_starts_nothing_from_a_source_that_is_none(
    home: Path,
    started: list[tuple[str, dict[str, str]]],
    capsys: pytest.CaptureFixture[str],
    source: str,
    told: str,
) -> None:
    assert run_args(["promote", "--target=prod", f"--home={home}", "-p", f"source_model={source}"]) == 1
    assert told in capsys.readouterr().err
    assert started == []
