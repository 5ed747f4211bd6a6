"""`mlops` without --home: which job it starts, how it follows it, and whom it asks, over HTTP."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from double import Double, Refused

from mlops.contract import MlopsError
from mlops_cli import bundle_cli
from mlops_cli.cli import run_args
from mlops_cli.warehouse import query_rows

MODEL = "prod.toy.failing"
PARAMETERS = {
    "model_name": "${resources.registered_models.model.full_name}",
    "catalog": "prod",
    "schema": "${resources.schemas.lakehouse.name}",
    "experiment": "/toy",
}
"""As the Databricks CLI prints them: what names another resource it leaves for the deployment to fill in."""
DOCUMENT = {
    "workspace": {"host": "https://adb.example"},
    "resources": {
        "schemas": {"lakehouse": {"id": "prod.toy", "catalog_name": "prod", "name": "toy"}},
        "registered_models": {
            "model": {
                "id": MODEL,
                "catalog_name": "prod",
                "schema_name": "${resources.schemas.lakehouse.name}",
                "name": "failing",
            }
        },
        "jobs": {
            "deployment": {"id": "7", "parameters": [{"name": n, "default": v} for n, v in PARAMETERS.items()]},
            "rollback": {"id": "9", "parameters": []},
        },
    },
}
AT = "2024-01-01T00:00:0"
COLUMNS = (
    "model_name", "sequence", "move_id", "move", "from_version", "to_version", "source", "artifact_digest",
    "verdict_digest", "approved_by", "by", "reason", "run_id", "at", "as_of",
)  # fmt: skip


@pytest.fixture
def workspace(double: Double, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Double:
    """A double, and a Databricks CLI that tells what is deployed there."""
    cli = tmp_path / "bin" / "databricks"
    cli.parent.mkdir()
    cli.write_text(f"#!/bin/sh\ncat <<'END'\n{json.dumps(DOCUMENT)}\nEND\n")
    cli.chmod(0o755)
    monkeypatch.setenv("PATH", f"{cli.parent}:/usr/bin:/bin")
    monkeypatch.setattr("time.sleep", lambda _: None)
    return double


def test_a_rollback_starts_the_job_and_follows_it_to_its_end(
    workspace: Double, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_args(["rollback", "--target", "prod", "--reason", "late rate doubled"]) == 0
    assert workspace.bodies[-1]["job_id"] == 9
    assert workspace.bodies[-1]["job_parameters"] == {"reason": "late rate doubled"}
    told = capsys.readouterr().err.splitlines()
    assert told == ["target prod in https://adb.example", f"{workspace.url}/run/1", "run 1: RUNNING"]


def test_a_run_that_fails_is_told_with_its_page(workspace: Double, capsys: pytest.CaptureFixture[str]) -> None:
    workspace.ends = "FAILED"
    assert run_args(["rollback", "--target", "prod", "--reason", "x"]) == 1
    error = capsys.readouterr().err
    assert f"error: run 1 did not end well (as the double says), see {workspace.url}/run/1" in error


def test_a_repair_takes_the_newest_run_of_that_version(workspace: Double) -> None:
    place = bundle_cli.load_deployed("prod", None)
    for number in ("3", "4", "3"):
        place.run_job("deployment", {"model_version": number})
    place.repair_job("deployment", {"model_version": "4"})
    assert workspace.bodies[-1] == {"run_id": 2, "rerun_all_failed_tasks": True}
    with pytest.raises(MlopsError, match="has no run of job deployment with"):
        place.repair_job("deployment", {"model_version": "5"})


def test_who_may_not_start_the_job_is_told_so(workspace: Double, capsys: pytest.CaptureFixture[str]) -> None:
    workspace.refuse("POST", "run-now", Refused(403, "PERMISSION_DENIED", "no"))
    assert run_args(["rollback", "--target", "prod", "--reason", "x"]) == 1
    assert "you lack the right: see docs/reference/rights.md" in capsys.readouterr().err


def test_the_history_is_read_by_a_warehouse(workspace: Double, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [
        ["prod.toy.failing", "2", "b", "rollback", "2", "1", "", "d", "v", None, "ops", "worse", "8", *[f"{AT}2Z"] * 2],
        [
            "prod.toy.failing",
            "1",
            "a",
            "deployment",
            None,
            "2",
            "",
            "d",
            "v",
            "ada",
            "run",
            "good",
            "7",
            *[f"{AT}1Z"] * 2,
        ],
    ]
    workspace.warehouses = [{"id": "off", "state": "STOPPED"}, {"id": "on", "state": "RUNNING"}]
    workspace.statement = {
        "statement_id": "s",
        "status": {"state": "SUCCEEDED"},
        "manifest": {"schema": {"columns": [{"name": name} for name in COLUMNS]}},
        "result": {"data_array": rows},
    }
    assert run_args(["history", "--target", "prod"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "1  2024-01-01 00:00:01  deployment of version 2 by run: good (approved by ada, verdict v)",
        "2  2024-01-01 00:00:02  rollback of version 1 in place of 2 by ops: worse (verdict v)",
    ]
    asked = next(body for body in workspace.bodies if "statement" in body)
    assert asked["warehouse_id"] == "on"
    assert [one["value"] for one in asked["parameters"]] == ["prod.toy.audit", "prod.toy.failing"]


def _long_answer(rows: int) -> dict[str, object]:
    return {
        "statement_id": "s",
        "status": {"state": "SUCCEEDED"},
        "manifest": {"schema": {"columns": [{"name": "number"}]}},
        "result": {"data_array": [[str(row)] for row in range(rows)]},
    }


@pytest.mark.parametrize("rows", [0, 1, 2, 3, 4, 5, 9])
def test_every_chunk_of_an_answer_is_read(workspace: Double, rows: int) -> None:
    workspace.warehouses, workspace.statement = [{"id": "on", "state": "RUNNING"}], _long_answer(rows)
    assert query_rows("a.b.c", "model", "m") == [{"number": str(row)} for row in range(rows)]


@pytest.mark.parametrize("short", [{"truncated": True}, {"total_row_count": 7}])
def test_an_answer_that_was_cut_is_no_answer(workspace: Double, short: dict[str, object]) -> None:
    workspace.warehouses, workspace.statement = [{"id": "on", "state": "RUNNING"}], _long_answer(5)
    workspace.statement["manifest"].update(short)
    with pytest.raises(MlopsError, match="answered 5 rows and holds more"):
        query_rows("a.b.c", "model", "m")


def test_a_workspace_without_a_warehouse_is_told(workspace: Double, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_args(["history", "--target", "prod"]) == 1
    assert "reading prod.toy.audit: no SQL warehouse can be used" in capsys.readouterr().err


def test_a_statement_that_fails_is_told(workspace: Double, capsys: pytest.CaptureFixture[str]) -> None:
    workspace.warehouses = [{"id": "on", "state": "RUNNING"}]
    workspace.statement = {"statement_id": "s", "status": {"state": "FAILED", "error": {"message": "no such table"}}}
    assert run_args(["history", "--target", "prod"]) == 1
    assert "reading prod.toy.audit failed: no such table" in capsys.readouterr().err


def test_a_model_is_linked_to_its_deployment_job_and_a_repeat_changes_nothing(
    workspace: Double, capsys: pytest.CaptureFixture[str]
) -> None:
    import mlflow

    before = mlflow.get_tracking_uri(), mlflow.get_registry_uri()
    name = MODEL
    workspace.models[name] = {}
    try:
        for more, linked in (([], "7"), ([], "7"), (["--undo"], ""), (["--undo"], "")):
            assert run_args(["link", "--target", "prod", *more]) == 0
            assert workspace.models[name]["deployment_job_id"] == linked
        assert workspace.count("PATCH", "registered-models/update") == 2
        del workspace.models[name]
        assert run_args(["link", "--target", "prod"]) == 1
    finally:
        mlflow.set_tracking_uri(before[0])
        mlflow.set_registry_uri(before[1])
    told = capsys.readouterr()
    assert [line for line in told.out.splitlines() if line.startswith(name)] == [
        f"{name} starts job 7 for each new version",
        f"{name} starts job 7 for each new version, as before",
        f"{name} starts no job",
        f"{name} starts no job, as before",
    ]
    assert "error: " in told.err.splitlines()[-1]
