"""Names that the bundle and the code share, held both ways."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from pydantic import BaseModel
from reached import code_reached

from laptop.bundle import Bundle, load_bundle
from laptop.lint.project import Project
from mlops.config import CONFIGS, parse_arguments


@pytest.fixture(scope="module")
def bundle(root: Path) -> Bundle:
    return load_bundle(root, "prod")


def wheel_tasks(bundle: Bundle) -> list[tuple[str, dict]]:
    return [(job, task) for job, spec in bundle.jobs.items() for task in spec["tasks"] if "python_wheel_task" in task]


def fields(job: str) -> dict[str, bool]:
    """What pydantic itself says of a job's parameters, and whether each has to be given."""
    return {field.alias or name: field.is_required() for name, field in CONFIGS[job].model_fields.items()}


def told(bundle: Bundle, job: str, task: dict) -> dict[str, str]:
    own = task["python_wheel_task"].get("named_parameters", {})
    return own | {each["name"]: each["default"] for each in bundle.jobs[job].get("parameters", [])}


def test_every_job_has_a_configuration_and_every_configuration_a_job(bundle: Bundle) -> None:
    assert set(bundle.jobs) == set(CONFIGS)


def test_every_entry_point_of_a_task_is_run_by_one_of_that_name(bundle: Bundle, project: Project) -> None:
    scripts = {name: target for name, target in project.entry_points.items() if ".jobs." in target}
    run = {task["task_key"]: task["python_wheel_task"]["entry_point"] for _, task in wheel_tasks(bundle)}
    assert run == {name: name for name in scripts}
    assert scripts == {name: f"mlops.jobs.{name}:main" for name in scripts}


def test_every_task_comes_from_this_wheel(bundle: Bundle, project: Project) -> None:
    assert {task["python_wheel_task"]["package_name"] for _, task in wheel_tasks(bundle)} == {project.name}


def test_what_a_task_is_told_is_what_its_configuration_takes(bundle: Bundle) -> None:
    for job, task in wheel_tasks(bundle):
        given, wanted = told(bundle, job, task), fields(job)
        assert given.keys() <= wanted.keys(), (job, task["task_key"])
        assert {name for name, required in wanted.items() if required} <= given.keys(), (job, task["task_key"])


def test_the_configuration_accepts_what_the_platform_would_pass(bundle: Bundle) -> None:
    """Run-time values stand in for `{{...}}` and for what has no default: the rest is the bundle's own text."""
    at_run = {
        "run_id": "1", "as_of": "2013-04-01T00:00:00Z", "model_version": "1", "source_version": "1", "reason": "why",
        "decision": "approved", "since": "2013-01-01", "until": "2013-01-31", "git_commit": "0" * 40,
    }  # fmt: skip
    for job, task in wheel_tasks(bundle):
        given = {name: at_run.get(name, value) for name, value in told(bundle, job, task).items()}
        assert parse_arguments([f"--{name}={value}" for name, value in given.items()]).job == job


def test_a_task_reads_only_what_every_job_that_runs_it_is_told(bundle: Bundle) -> None:
    """Types cannot say this: a task's context is cast to the configuration of the job that it was written for."""
    for job, task in wheel_tasks(bundle):
        there = {*CONFIGS[job].model_fields, *dir(BaseModel)}
        assert read_by(task["task_key"]) <= there, (job, task["task_key"])


def read_by(task: str) -> set[str]:
    """Fields of `job.config` that a task reads, itself and through the modules that jobs share."""
    nodes = (part for code in code_reached(task) for part in ast.walk(code) if isinstance(part, ast.Attribute))
    return {node.attr for node in nodes if ast.unparse(node.value) == "job.config"}


def test_the_linter_reads_of_the_configurations_what_pydantic_says(project: Project) -> None:
    """The linter reads mlops.config as text, since the laptop may not import it: here the two are compared."""
    assert project.configs is not None
    seen = {job: {name: field.required for name, field in found.items()} for job, found in project.configs.items()}
    assert seen == {job: fields(job) for job in CONFIGS}
    assert project.configs["deployment"]["approval"].allowed == {"required", "automatic"}


def test_the_linter_sees_the_task_values_that_the_jobs_set(project: Project) -> None:
    found = {name: set(keys) for name, keys in project.task_values.items() if keys}
    assert found == {
        "training": {"model_version"},
        "promotion": {"model_version"},
        "validation": {"verdict"},
        "monitoring": {"retraining_due"},
    }
