"""The wheel in serverless environment version 6: it moves nothing that is there but on purpose, and every task starts.

The environment is built from what Databricks publishes (environment_6.txt). Spark comes as it comes to serverless code:
`pyspark` out of databricks-connect, the Spark Connect client, never out of PyPI's pyspark. What stays untested is the
image itself: its operating system, and the session that it hands to a task.
"""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
from isolated import environment, uv

pytestmark = [pytest.mark.nightly, pytest.mark.timeout(900)]
ROOT = Path(__file__).parents[2]
PINS = Path(__file__).with_name("environment_6.txt")
MOVES = {
    "mlflow-skinny": "the bundle names mlflow on purpose: it is the security floor, above what is preinstalled",
    "wcwidth": "prettytable, which skops needs for its cards, wants a newer one; only terminals' column widths use it",
}
_FRAME = ["--run_id=1", "--as_of=2013-04-01T00:00:00Z", "--catalog=prod", "--schema=flights_integration"]
_DATA = ["--data_catalog=prod", "--data_schema=flights"]
_MODEL = ["--model_name=prod.flights_integration.late"]
_LANDING = ["--landing=/Volumes/prod/flights/landing"]
_EXPERIMENT = ["--experiment=/Users/ada/flights"]
_TRAINING = [*_DATA, *_MODEL, *_EXPERIMENT, "--deployment_job_id=1"]
_SOURCE = ["--source_model=dev.flights.late", "--source_version=1"]
_TRIAL = ["--since=2013-01-01", "--until=2013-04-05", "--approval=automatic"]
_DEPLOYMENT = [*_DATA, *_MODEL, *_EXPERIMENT, "--model_version=1", "--approval=required"]
TASKS: dict[str, tuple[str, list[str]]] = {
    "sample": ("sample", [*_LANDING, "--since=2013-03-01", "--until=2013-03-01"]),
    "ingestion": ("ingestion", [*_LANDING, *_EXPERIMENT]),
    "features": ("ingestion", [*_LANDING, *_EXPERIMENT]),
    "training": ("training", _TRAINING),
    "handover": ("training", [*_TRAINING, "--model_version=1"]),
    "validation": ("deployment", _DEPLOYMENT),
    "approval": ("deployment", _DEPLOYMENT),
    "deployment": ("deployment", _DEPLOYMENT),
    "endpoint": ("deployment", [*_DEPLOYMENT, "--endpoint=late"]),
    "rollout": ("rollout", [*_DATA, *_MODEL, "--endpoint=late"]),
    "inference": ("inference", [*_DATA, *_MODEL]),
    "streaming": (
        "streaming",
        [*_DATA, *_MODEL, f"{_LANDING[0].replace('landing=', 'checkpoint_folder=')}/_checkpoints"],
    ),
    "monitoring": ("monitoring", [*_DATA, *_MODEL, *_EXPERIMENT, "--data_profiling=off"]),
    "promotion": (
        "promotion",
        [*_MODEL, "--source_model=dev.flights.late", "--source_version=1", "--deployment_job_id=1"],
    ),
    "rollback": ("rollback", [*_MODEL, "--reason=drill"]),
    "review": ("review", [*_MODEL, "--model_version=1", "--decision=approved", "--reason=drill"]),
    "cleanup": (
        "integration",
        [*_LANDING, *_DATA, *_EXPERIMENT, "--model_name=prod.flights_integration.late", *_TRIAL],
    ),
}
NO_WORKSPACE = re.compile(
    r"cannot configure default credentials|not logged in to a workspace|configure Databricks Connect"
    r"|configuring Databricks authentication"
)


@dataclass(frozen=True)
class Installed:
    python: Path
    before: dict[str, str]
    after: dict[str, str]
    wheel: Path


def _versions(python: Path) -> dict[str, str]:
    lines = uv("pip", "list", "--format", "freeze", "--python", python).stdout.splitlines()
    return dict(line.split("==") for line in lines)


def _pins() -> dict[str, str]:
    return dict(line.split("==") for line in PINS.read_text().splitlines() if not line.startswith("#"))


def _variable(name: str) -> str:
    found = re.search(
        rf'^  {name}:\n(?:    .*\n)*?    default: "(.+)"', (ROOT / "databricks.yml").read_text(), re.MULTILINE
    )
    assert found is not None
    return found[1]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    folder = tmp_path_factory.mktemp("environment")
    uv("build", "--wheel", "--quiet", "--out-dir", folder / "dist", ROOT)
    (wheel,) = (folder / "dist").glob("*.whl")
    python = environment(folder / "venv")
    uv("pip", "install", "--quiet", "--no-deps", "--python", python, "--requirements", PINS)
    before = _versions(python)
    named = re.findall(r"^            - (\w+==[\d.]+)$", (ROOT / "databricks.yml").read_text(), re.MULTILINE)
    dependencies = [f"mlflow=={_variable('mlflow_version')}", *named]  # as environments.spec of the jobs
    uv("pip", "install", "--quiet", "--python", python, wheel, *dependencies)
    return Installed(python, before, _versions(python), wheel)


def _start(installed: Installed, *command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    clean = {"HOME": str(folder), "PATH": os.defpath, "OMP_NUM_THREADS": "1"}
    program = installed.python.parent / command[0]
    return subprocess.run([program, *command[1:]], env=clean, cwd=folder, capture_output=True, text=True, check=False)


def test_the_list_is_of_the_version_that_the_bundle_names() -> None:
    assert PINS.name == f"environment_{_variable('environment_version')}.txt"


def test_the_environment_holds_exactly_what_is_published(installed: Installed) -> None:
    assert installed.before == _pins()


def test_the_wheel_moves_nothing_but_on_purpose(installed: Installed) -> None:
    moved = {name for name, version in installed.before.items() if installed.after.get(name) != version}
    assert moved == set(MOVES)
    assert uv("pip", "check", "--python", installed.python, check=False).returncode == 0


def test_no_spark_comes_with_the_wheel(installed: Installed) -> None:
    assert not {"pyspark", "pyspark-client", "delta-spark", "databricks-bundles"} & set(installed.after)
    assert installed.after["databricks-connect"] == installed.before["databricks-connect"]


def test_the_ml_base_environment_s_older_sdk_is_allowed(installed: Installed, tmp_path: Path) -> None:
    python = environment(tmp_path / "venv")
    uv("pip", "install", "--dry-run", "--python", python, installed.wheel, "databricks-sdk==0.108.0")


def test_every_module_of_the_wheel_imports_there(installed: Installed, tmp_path: Path) -> None:
    script = (
        "import importlib, pkgutil, mlops, usecase\n"
        "for package in (mlops, usecase):\n"
        "    for module in pkgutil.walk_packages(package.__path__, package.__name__ + '.'):\n"
        "        importlib.import_module(module.name)\n"
        "        print(module.name)\n"
    )
    done = _start(installed, "python", "-c", script, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert {f"mlops.jobs.{task}" for task in TASKS} <= set(done.stdout.split())
    assert "laptop" not in done.stdout


@pytest.mark.parametrize("task", TASKS)
def test_a_task_starts_there_and_fails_only_for_want_of_a_workspace(
    installed: Installed, tmp_path: Path, task: str
) -> None:
    job, parameters = TASKS[task]
    done = _start(installed, task, f"--job={job}", *_FRAME, *parameters, folder=tmp_path)
    assert done.returncode == 1
    assert NO_WORKSPACE.search(done.stderr[-1500:]), done.stderr[-3000:]


def test_every_entry_point_is_tried() -> None:
    from importlib.metadata import entry_points

    ours = {point.name for point in entry_points(group="console_scripts") if point.value.startswith("mlops.jobs.")}
    assert ours == set(TASKS)
