"""The bundle of the second model: nothing to report, and what it shares with the first one is the same."""

from __future__ import annotations

import os
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

from laptop.bundle import load_bundle
from laptop.lint import lint_bundle

ROOT = Path(__file__).parents[2]
BIKES = ROOT / "examples/bikes"
OWN = {"schema", "model", "question", "sample_environments", "trial_days"}


def test_the_bundle_has_no_problem():
    assert [str(problem) for problem in lint_bundle(BIKES)] == []


def test_its_jobs_are_those_of_the_first_model_and_write_to_a_schema_of_their_own():
    ours, theirs = (load_bundle(folder, "prod").jobs for folder in (BIKES, ROOT))
    assert set(ours) == set(theirs)
    written = [{p["name"]: p["default"] for p in jobs["training"]["parameters"]} for jobs in (ours, theirs)]
    for name in ("schema", "model_name", "experiment"):
        assert written[0][name] != written[1][name]


def test_what_it_does_not_own_is_as_in_the_first_bundle():
    ours, theirs = (yaml.safe_load((folder / "databricks.yml").read_text()) for folder in (BIKES, ROOT))
    for name in ours["variables"].keys() - OWN:
        assert ours["variables"][name] == theirs["variables"][name], name
    assert ours["variables"].keys() == theirs["variables"].keys()
    assert ours["targets"] == theirs["targets"]
    ours, theirs = (yaml.safe_load((folder / "laptop.yml").read_text()) for folder in (BIKES, ROOT))
    assert ours == {key: value for key, value in theirs.items() if key != "docs"}  # the site is the repository's


def test_its_wheel_has_the_tasks_and_constraints_of_the_first_one():
    ours, theirs = (tomllib.loads((folder / "pyproject.toml").read_text()) for folder in (BIKES, ROOT))
    assert ours["project"]["scripts"] == theirs["project"]["scripts"]
    assert ours["project"]["entry-points"]["task_parameters"] == theirs["project"]["entry-points"]["task_parameters"]
    assert ours["tool"]["uv"]["constraint-dependencies"] == theirs["tool"]["uv"]["constraint-dependencies"]
    assert (BIKES / "src/mlops").resolve() == ROOT / "src/mlops"


@pytest.mark.nightly
@pytest.mark.timeout(1800)
def test_the_whole_loop_runs_from_its_own_environment(tmp_path):
    command = ["uv", "run", "--locked", "--project", BIKES, "laptop", "demo", "--home", tmp_path / "home"]
    # A server of this test run would execute the features without the package of the bikes.
    clean = {name: value for name, value in os.environ.items() if name != "SPARK_REMOTE"} | {"CI": "true"}
    done = subprocess.run(command, cwd=BIKES, env=clean, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (done.stdout + done.stderr)[-5000:]
    for words in ("1 of 1: 1 July to 28 July", "prod.bikes.rentals", "mean absolute error", "2011-07-"):
        assert words in done.stdout
    champions = [line for line in done.stdout.splitlines() if line.startswith("champion ")]
    assert [line.split()[1].split(".")[0] for line in champions] == ["dev", "staging", "prod"]
