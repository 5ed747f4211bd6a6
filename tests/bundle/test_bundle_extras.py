"""What one line switches on: the alert and the dashboard, a budget policy, and classic compute."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from types import ModuleType

import pytest
from databricks.bundles.jobs import Job
from kinds import BINARY, NUMBER, SEVERAL
from names import SCHEMA

from laptop.bundle import load_bundle
from laptop.lint import lint_bundle
from laptop.watch import find_file_triggers
from mlops.data.table_schemas import TABLES, metric_columns
from mlops.questions import Question

EXTRAS = "resources/extras"


@pytest.fixture
def switched_on(copied: Path) -> Path:
    file = copied / "databricks.yml"
    file.write_text(file.read_text().replace("  - resources/*.yml\n", f"  - resources/*.yml\n  - {EXTRAS}/*.yml\n"))
    return copied


def test_alert_and_dashboard_come_by_one_include_line_and_the_linter_likes_them(switched_on: Path) -> None:
    assert [str(problem) for problem in lint_bundle(switched_on)] == []
    resources = load_bundle(switched_on, "prod").document["resources"]
    assert resources["alerts"].keys() == {"open_alerts"}
    assert resources["dashboards"]["champion"]["embed_credentials"] is False
    assert f"FROM prod.{SCHEMA}.alerts" in resources["alerts"]["open_alerts"]["query_text"]


def test_a_budget_policy_comes_by_one_include_line_and_a_value_and_reaches_every_job(copied: Path) -> None:
    file, policy = copied / "databricks.yml", copied / EXTRAS / "budget/policy.yml"
    file.write_text(
        file.read_text().replace("  - resources/*.yml\n", f"  - resources/*.yml\n  - {EXTRAS}/budget/*.yml\n")
    )
    assert {problem.rule for problem in lint_bundle(copied)} == {"variables"}
    policy.write_text(policy.read_text().replace("role user.\n", "role user.\n    default: 1-a\n"))
    assert [str(problem) for problem in lint_bundle(copied)] == []
    for target in ("dev", "staging", "prod"):
        assert {job["budget_policy_id"] for job in load_bundle(copied, target).jobs.values()} == {"1-a"}


def test_triggers_come_by_one_include_line_and_start_jobs_that_the_schedules_start(copied: Path) -> None:
    file = copied / "databricks.yml"
    file.write_text(
        file.read_text().replace("  - resources/*.yml\n", f"  - resources/*.yml\n  - {EXTRAS}/triggers/*.yml\n")
    )
    assert [str(problem) for problem in lint_bundle(copied)] == []
    bundle = load_bundle(copied, "prod")
    jobs = bundle.jobs
    arrival, update = jobs["file_arrival"]["trigger"], jobs["features_update"]["trigger"]
    assert (arrival["pause_status"], update["pause_status"]) == ("UNPAUSED", "UNPAUSED")
    landing = {each["name"]: each["default"] for each in jobs["ingestion"]["parameters"]}["landing"]
    assert arrival["file_arrival"]["url"] == f"{landing}/"
    assert update["table_update"]["table_names"] == [f"prod.{SCHEMA}.features"]
    (trigger,) = find_file_triggers(bundle, copied / "home")
    assert trigger.folder == copied / "home" / landing.removeprefix("/")


def test_every_table_and_column_of_the_dashboard_is_one_that_the_jobs_write(root: Path) -> None:
    board = json.loads((root / EXTRAS / "monitoring.lvdash.json").read_text())
    shown = {each["name"]: "".join(each["queryLines"]) for each in board["datasets"]}
    for name, query in shown.items():
        table = re.search(r"FROM (?:.*FROM )?(\w+)", query)
        assert table
        if name == "metrics":
            assert set(re.findall(r"(\w+) = ", query)) <= {column.name for column in TABLES[name]}
        elif table[1] in TABLES:
            words = re.search(r"SELECT (.*)\nFROM", query)
            assert words
            assert set(re.findall(r"\w+", words[1])) <= {column.name for column in TABLES[table[1]]}, name
        else:
            assert table[1] == "alerts"
    for widget in (each["widget"] for page in board["pages"] for each in page["layout"]):
        query = widget["queries"][0]["query"]
        fields = {field["name"] for field in query["fields"]}
        assert fields <= set(re.findall(r"\w+", shown[query["datasetName"]])), widget["name"]


@pytest.mark.parametrize("question", [BINARY, SEVERAL, NUMBER], ids=["binary", "classes", "number"])
def test_the_dashboard_shows_the_figures_of_every_kind_of_question(root: Path, question: Question) -> None:
    """The columns of the table `metrics` differ by kind, and SQL refuses a column that is not there."""
    board = json.loads((root / EXTRAS / "monitoring.lvdash.json").read_text())
    lines = next(each["queryLines"] for each in board["datasets"] if each["name"] == "metrics")
    shown = {line.split()[-1].strip(","): set(re.findall(r"\$\.(\w+)", line)) for line in lines if "$." in line}
    names = question.names
    columns = {column.name for column in metric_columns(question)}
    for alias, figure in (("ranking", names.ranking), ("loss", names.loss), ("gap", names.gap)):
        assert shown[alias] & columns == {figure}


@pytest.fixture(scope="module")
def classic() -> ModuleType:
    spec = importlib.util.spec_from_file_location("classic", Path(__file__).parents[2] / EXTRAS / "classic.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_on_classic_compute_every_task_has_the_jobs_cluster_and_the_libraries_of_its_environment(
    classic: ModuleType, root: Path
) -> None:
    for key, job in load_bundle(root, "prod").jobs.items():
        moved = classic.on_a_cluster.function(Job.from_dict(job)).as_dict()
        assert not {"environments", "performance_target"} & moved.keys()
        wheels = [task for task in moved["tasks"] if "python_wheel_task" in task]
        wanted = len(job["environments"][0]["spec"]["dependencies"])
        assert [(task["job_cluster_key"], len(task["libraries"])) for task in wheels] == [("classic", wanted)] * len(
            wheels
        )
        assert not any("environment_key" in task or "disable_auto_optimization" in task for task in moved["tasks"]), key
        assert [task["task_key"] for task in moved["tasks"]] == [task["task_key"] for task in job["tasks"]]
