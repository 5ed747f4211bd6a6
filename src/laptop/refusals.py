"""Refuses jobs before they start: parts that a laptop cannot run, and values that the platform refuses."""

from __future__ import annotations

import math
import re
from collections.abc import Container, Iterator, Mapping
from typing import Any

from laptop import task_states
from laptop.bundle import Bundle, BundleError
from laptop.document import Diagnostic

# These include keys without effect on a laptop: they change when, where or for whom a job runs, never its results.
_JOB = {
    "name", "description", "tasks", "parameters", "timeout_seconds", "run_as", "tags", "schedule", "trigger", "queue",
    "max_concurrent_runs", "environments", "permissions", "health", "performance_target", "budget_policy_id",
    "email_notifications", "webhook_notifications", "notification_settings",
}  # fmt: skip
_TASK = {
    *task_states.KINDS, "task_key", "description", "depends_on", "run_if", "timeout_seconds", "max_retries", "health",
    "min_retry_interval_millis", "retry_on_timeout", "environment_key", "disable_auto_optimization",
    "email_notifications", "webhook_notifications", "notification_settings",
}  # fmt: skip
_FIELDS = {
    "python_wheel_task": {"package_name", "entry_point", "named_parameters", "parameters"},
    # A warehouse decides where SQL runs, not its result.
    "notebook_task": {"notebook_path", "base_parameters", "source", "warehouse_id"},
    "spark_python_task": {"python_file", "parameters", "source"},
    "sql_task": {"file", "parameters", "warehouse_id"},
    "condition_task": {"op", "left", "right"},
    "run_job_task": {"job_id", "job_parameters"},
    "for_each_task": {"inputs", "concurrency", "task"},
}


Path = tuple[str | int, ...]


def refuse_unsupported(bundle: Bundle, job: str) -> None:
    """Refuse a job if it, or a job that it runs, has parts that cannot run here, or that the platform refuses.

    Raises:
        BundleError: lists each such part with its place.
    """
    jobs, problems = [job], []
    for job_key in jobs:
        document = bundle.jobs[job_key]
        base: Path = ("resources", "jobs", job_key)
        tasks = document.get("tasks", [])
        problems += [_report_missing_fields(bundle, *base, key) for key in document if key not in _JOB]
        if not tasks:
            what = f"job {job_key!r} has no tasks"
            problems.append(Diagnostic("laptop", bundle.locate(*base), what, "there is nothing to run", "add tasks"))
        conditions = {task["task_key"] for task in tasks if "condition_task" in task}
        for number, task in enumerate(tasks):
            for path in _find_unsupported_fields(task, document):
                problems.append(_report_missing_fields(bundle, *base, "tasks", number, *path))
            for path, value, cure in _impossible_values(task, conditions):
                place, what = (
                    bundle.locate(*base, "tasks", number, *path),
                    f"{path[-1]} of job {job_key!r} is {value!r}",
                )
                problems.append(Diagnostic("laptop", place, what, "the platform does not take it", cure))
            called = task_states.job_of(bundle, _inner_task(task).get("run_job_task", {}).get("job_id"))
            jobs += [called] if called and called not in jobs else []
    if problems:
        raise BundleError(problems)


def _report_missing_fields(bundle: Bundle, *path: str | int) -> Diagnostic:
    place, what = bundle.locate(*path), f"{path[-1]} of job {path[2]!r} cannot run on a laptop"
    if path[-1] == "python_wheel_task":
        why = "without named_parameters or parameters it is not documented whether it gets the job's parameters"
        return Diagnostic("laptop", place, what, why, "give it named_parameters")
    kinds = ", ".join(task_states.KINDS)
    if path[-1] == "task_key":
        return Diagnostic(
            "laptop", place, f"a task of job {path[2]!r} does nothing", "a task has a type", f"use {kinds}"
        )
    return Diagnostic("laptop", place, what, "only the platform has what it needs", f"use {kinds}, serverless")


def _inner_task(task: Mapping[str, Any]) -> Mapping[str, Any]:
    return task.get("for_each_task", {}).get("task", task)  # type: ignore[no-any-return]


def _find_unsupported_fields(task: Mapping[str, Any], job: Mapping[str, Any]) -> Iterator[Path]:
    """Find the keys of a task that need the platform."""
    yield from ((key,) for key in task if key not in _TASK)
    for kind in task_states.KINDS:
        yield from ((kind, key) for key in task.get(kind, {}) if key not in _FIELDS[kind])
    yield from _find_distant_files(task)
    wheel = task.get("python_wheel_task", {"parameters": []})
    if job.get("parameters") and not {"named_parameters", "parameters"} & wheel.keys():
        yield ("python_wheel_task",)
    if not any(kind in task for kind in task_states.KINDS):
        yield ("task_key",)
    if "for_each_task" in task:
        nested = task["for_each_task"]["task"]
        yield from (("for_each_task", "task", *path) for path in _find_unsupported_fields(nested, job))
        if "for_each_task" in nested:
            yield ("for_each_task", "task", "for_each_task")


def _find_distant_files(task: Mapping[str, Any]) -> Iterator[Path]:
    """Find the paths of files outside of the checkout: in the workspace, a volume, a bucket or another repository."""
    for kind, (path, _) in task_states.FILE_KINDS.items():
        value: Any = task.get(kind, {})
        if value.get("source", "WORKSPACE") != "WORKSPACE" or value.get("file", {}).get("source") == "GIT":
            yield (kind, "source")
        for step in path:
            value = value.get(step, {})
        if isinstance(value, str) and re.match(r"/|[A-Za-z][A-Za-z0-9+.-]*:", value):
            yield (kind, *path)


def _impossible_values(task: Mapping[str, Any], conditions: Container[str]) -> Iterator[tuple[Path, object, str]]:
    """Find values that the platform does not have: they would silently skip a branch, or break the run."""
    for number, on in enumerate(task.get("depends_on", [])):
        path: Path = ("depends_on", number, "outcome")
        if "outcome" in on and on["outcome"] not in {"true", "false"}:
            yield path, on["outcome"], "write true or false"
        elif "outcome" in on and on["task_key"] not in conditions:
            yield path, on["outcome"], f"only a condition_task has an outcome, and {on['task_key']!r} is none"
    if task.get("run_if", "ALL_DONE") not in task_states.RUN_IF:
        yield ("run_if",), task["run_if"], f"write {', '.join(task_states.RUN_IF)}"
    operator = task.get("condition_task", {}).get("op")
    if operator and operator not in task_states.OPERATORS:
        yield ("condition_task", "op"), operator, f"write {', '.join(task_states.OPERATORS)}"
    for place, (least, most) in task_states.LIMITS.items():
        value: Any = task
        for step in place:
            value = value.get(step, {})
        if value != {} and not least <= value <= most:
            cure = f"write {least} or more" if math.isinf(most) else f"write a number from {least} to {most}"
            yield place, value, cure
    if loop := task.get("for_each_task"):
        for path, value, cure in _impossible_values(loop["task"], ()):
            yield ("for_each_task", "task", *path), value, cure
