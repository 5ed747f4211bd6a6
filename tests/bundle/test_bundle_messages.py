"""One cause is one message, and the message names the cause and the cure."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from names import BUNDLE, MODEL, SCHEMA

from laptop.bundle import load_bundle
from laptop.cli import main
from laptop.lint import lint_bundle

DATABRICKS, LAPTOP, TRAINING = "databricks.yml", "laptop.yml", "resources/training.job.yml"
RIGHTS, LAKEHOUSE = "resources/rights.yml", "resources/lakehouse.yml"
MONITORING = "resources/monitoring.job.yml"
READERS = "deployment, inference, monitoring, rollout, streaming, training, validation"
TABLES = f"{READERS}: no job of any target writes prod.{SCHEMA}"


def change(root: Path, file: str, old: str, new: str, count: int = -1) -> None:
    text = (root / file).read_text()
    assert old in text, "the bundle has changed: nothing to break"
    (root / file).write_text(text.replace(old, new, count))


@pytest.mark.parametrize(
    ("file", "old", "new", "told"),
    [
        (DATABRICKS, f"inside its catalog.\n    default: {SCHEMA}\n", "inside its catalog.\n", [
            "variable 'schema' has no value (the CLI stops without one",
        ]),
        (DATABRICKS, "      alert_email: ${workspace.current_user.userName}\n", "", [
            "variable 'alert_email' has no value (target dev) (the CLI stops without one",
        ]),
        (LAKEHOUSE, "resources:", "resource:", ["databricks.yml has no key 'resource'", "did you mean 'resources'?"]),
        (MONITORING, "{{tasks.monitoring.values", "{{tasks.monitring.values", [
            "{{tasks.monitring.values.retraining_due}}: there is no task 'monitring'", "did you mean 'monitoring'?",
        ]),
        (RIGHTS, "        deployment:", "        deploymnt:", [
            "job 'deploymnt' has no tasks, and only a target declares it (target staging, prod)",
            "did you mean 'deployment'?",
        ]),
        (LAKEHOUSE, "  schemas:", "  schemata:", ["resources has no key 'schemata'", "did you mean 'schemas'?"]),
        (DATABRICKS, "sync:\n  paths: []\n", "", ["the bundle has no sync.paths", "uploads every file"]),
        (DATABRICKS, "  paths: []\n", "  exclude: [laptop.yml]\n", ["the bundle has no sync.paths"]),
        (DATABRICKS, "  paths: []\n", "  path: []\n", ["sync has no key 'path'", "did you mean 'paths'?"]),
        (DATABRICKS, "sync:\n  paths: []\n", "snyc:\n  paths: []\n", ["databricks.yml has no key 'snyc'"]),
        (TRAINING, "timeout_seconds: 7200", "timeout_seconds: -5", ["job 'training' has timeout_seconds -5"]),
        (TRAINING, "timeout_seconds: 5400", "timeout_seconds: -5", ["of job 'training' has timeout_seconds -5"]),
        (LAPTOP, "data_schema: ${var.schema}", "data_schema: others", ["writes prod.others, which they read"]),
        (LAPTOP, "data_catalog: prod", "data_catalog: production", [f"writes production.{SCHEMA}, which they read"]),
        (DATABRICKS, "      catalog: prod\n", "      catalog: production\n", [TABLES]),
    ],
)  # fmt: skip
def test_one_cause_is_one_message(copied: Path, file: str, old: str, new: str, told: list[str]) -> None:
    change(copied, file, old, new)
    (problem,) = [str(each) for each in lint_bundle(copied)]
    assert all(words in problem for words in told), problem


def test_braces_without_quotes_are_told_to_be_quoted(copied: Path) -> None:
    change(copied, TRAINING, '"{{job.run_id}}"', "{{job.run_id}}")
    assert {problem.fix for problem in lint_bundle(copied)} == {"put {{...}} in quotes"}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (f"  name: {BUNDLE}\n", "  name: others\n"),
        (f"    default: {SCHEMA}\n", "    default: others\n"),
        (f"    default: {MODEL}\n", "    default: other_model\n"),
    ],
    ids=["bundle", "schema", "model"],
)
def test_a_name_of_the_bundle_is_changed_in_one_place_and_reads_and_writes_still_meet(
    copied: Path, old: str, new: str
) -> None:
    change(copied, DATABRICKS, old, new)
    assert [str(problem) for problem in lint_bundle(copied)] == []
    jobs = {target: load_bundle(copied, target).jobs for target in ("dev", "staging", "prod")}
    given = {
        (target, key): {each["name"]: each["default"] for each in job["parameters"]}
        for target, found in jobs.items()
        for key, job in found.items()
    }
    written = {(each["catalog"], each["schema"]) for each in given.values()}
    read = {(each["data_catalog"], each["data_schema"]) for each in given.values() if "data_schema" in each}
    assert read <= written
    assert given["prod", "promotion"]["source_model"] == given["staging", "training"]["model_name"]


def test_one_problem_is_no_plural(copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    change(copied, TRAINING, "timeout_seconds: 7200", "timeout_seconds: -5")
    monkeypatch.chdir(copied)
    assert CliRunner().invoke(main, ["validate"]).output.endswith("\n1 problem\n")


TOY = "bundle: {name: toy}\nresources: {jobs: {j: {tasks: [{task_key: a, notebook_task: {notebook_path: n.py}}]}}}\n"


def test_what_only_this_house_asks_for_holds_where_laptop_yml_says_so(written: Callable[..., Path]) -> None:
    files = {"n.py": "# Databricks notebook source\n"}
    assert lint_bundle(written(TOY, files)) == ()
    asked = {problem.rule for problem in lint_bundle(written(TOY, {"laptop.yml": "house_rules: true\n"}))}
    assert {"timeout", "job", "engine", "cli", "sync"} <= asked
    assert lint_bundle(written(TOY), house=False) == ()


@pytest.mark.parametrize(
    ("file", "wrong", "right", "told"),
    [
        ("databricks.yml", "prevent_destroy: true", "prevent_destroy: maybe", "prevent_destroy is the text 'maybe'"),
        ("databricks.yml", "- resources/*.yml", "- resource/*.yml", "include 'resource/*.yml' matches no file"),
        ("resources/deployment.job.yml", "op: EQUAL_TO", "op: EQUALS", "op is the text 'EQUALS'"),
        ("resources/rights.yml", "CAN_VIEW", "CAN_SEE", "level is the text 'CAN_SEE'"),
        ("laptop.yml", "mlops.config", "mlops.confg", "configurations is 'mlops.confg'"),
    ],
)
def test_a_wrong_value_is_told_once_however_many_ways_lead_to_it(
    copied: Path, file: str, wrong: str, right: str, told: str
) -> None:
    change(copied, file, wrong, right, 1)
    (problem,) = lint_bundle(copied)
    assert told in problem.summary


@pytest.mark.parametrize(
    ("job", "field"),
    [
        ("tasks: [{task_key: [a], condition_task: {op: EQUAL_TO, left: a, right: b}}]", "tasks[0].task_key"),
        ("tasks: [{task_key: a, condition_task: {op: ~, left: a, right: b}}]", "condition_task.op"),
        ("tasks: [{task_key: a, condition_task: {op: EQUAL_TO, left: {x: y}, right: b}}]", "condition_task.left"),
        ("tasks: [{task_key: a, run_job_task: {job_id: abc}}]", "run_job_task.job_id"),
        ("parameters: [{name: [a], default: b}]", "parameters[0].name"),
        ("schedule: {quartz_cron_expression: '0 0 6 * * ?', timezone_id: ~}", "schedule.timezone_id"),
    ],
)
@pytest.mark.parametrize("from_target", [False, True], ids=["of the job", "of the target"])
def test_a_needed_value_that_the_cli_drops_is_not_told_as_missing_too(
    written: Callable[..., Path], job: str, field: str, from_target: bool
) -> None:
    declared = "resources: {jobs: {j: {name: n, %s}}}" % (job if not from_target else "")
    over = "{resources: {jobs: {j: {%s}}}}" % (job if from_target else "")
    (problem,) = lint_bundle(written(f"bundle: {{name: b}}\n{declared}\ntargets: {{dev: {over}}}\n"))
    assert f"{field} is " in problem.summary
