"""When a task runs, and what a job's tasks make of the job: the platform's rules as plain functions.

Pages of docs.databricks.com: jobs/run-if (dependencies, states, leaf tasks) and jobs/if-else (operators).
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping, Sequence
from graphlib import TopologicalSorter
from typing import Any

from laptop.bundle import Bundle, BundleError, Problem
from laptop.home import LaptopError
from laptop.journal import GOOD, State, TaskRun
from laptop.resolution import job_id

_NUMERIC = {
    "GREATER_THAN": operator.gt,
    "GREATER_THAN_OR_EQUAL": operator.ge,
    "LESS_THAN": operator.lt,
    "LESS_THAN_OR_EQUAL": operator.le,
}
KINDS = ("python_wheel_task", "condition_task", "run_job_task", "for_each_task")
# What has no effect on a laptop stands here too: it changes when, where or for whom a job runs, never what it does.
_JOB = {
    "name", "description", "tasks", "parameters", "timeout_seconds", "run_as", "tags", "schedule", "trigger", "queue",
    "max_concurrent_runs", "environments", "permissions", "health", "performance_target", "budget_policy_id",
    "email_notifications", "webhook_notifications", "notification_settings",
}  # fmt: skip
_TASK = {
    *KINDS, "task_key", "description", "depends_on", "run_if", "timeout_seconds", "max_retries", "health",
    "min_retry_interval_millis", "retry_on_timeout", "environment_key", "disable_auto_optimization",
    "email_notifications", "webhook_notifications", "notification_settings",
}  # fmt: skip
_FIELDS = {
    "python_wheel_task": {"package_name", "entry_point", "named_parameters", "parameters"},
    "condition_task": {"op", "left", "right"},
    "run_job_task": {"job_id", "job_parameters"},
    "for_each_task": {"inputs", "concurrency", "task"},
}


def job_of(bundle: Bundle, wanted: object) -> str | None:
    """The job that has an id."""
    return next((job for job in bundle.jobs if job_id(bundle.target, job) == str(wanted)), None)


def refuse_unsupported(bundle: Bundle, job: str) -> None:
    """Stop before anything runs if the job, or one that it runs, has what only the platform can do.

    Raises:
        BundleError: with the place of each such thing.
    """
    jobs, problems = [job], []
    for each in jobs:
        document = bundle.jobs[each]
        found: list[tuple[str | int, ...]] = [(key,) for key in document if key not in _JOB]
        for number, task in enumerate(document["tasks"]):
            found += [("tasks", number, *path) for path in _unsupported(task)]
            called = job_of(bundle, _innermost(task).get("run_job_task", {}).get("job_id"))
            jobs += [called] if called and called not in jobs else []
        problems += [_problem(bundle, "resources", "jobs", each, *path) for path in found]
    if problems:
        raise BundleError(problems)


def _problem(bundle: Bundle, *path: str | int) -> Problem:
    place, what = bundle.place(*path), f"{path[-1]} of job {path[2]!r} cannot run on a laptop"
    if path[-1] == "python_wheel_task":
        why = "without named_parameters or parameters it is not documented whether it gets the job's parameters"
        return Problem("laptop", place, what, why, "give it named_parameters")
    return Problem("laptop", place, what, "only the platform has what it needs", f"use {', '.join(KINDS)}, serverless")


def _innermost(task: Mapping[str, Any]) -> Mapping[str, Any]:
    return task.get("for_each_task", {}).get("task", task)  # type: ignore[no-any-return]


def _unsupported(task: Mapping[str, Any]) -> Iterable[tuple[str | int, ...]]:
    yield from ((key,) for key in task if key not in _TASK)
    for kind in KINDS:
        yield from ((kind, key) for key in task.get(kind, {}) if key not in _FIELDS[kind])
    if not {"named_parameters", "parameters"} & task.get("python_wheel_task", {"parameters": []}).keys():
        yield ("python_wheel_task",)
    if "for_each_task" in task:
        nested = task["for_each_task"]["task"]
        yield from (("for_each_task", "task", *path) for path in _unsupported(nested))
        if "for_each_task" in nested:
            yield ("for_each_task", "task", "for_each_task")


def _dependencies(tasks: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    """Which tasks each task depends on."""
    return {task["task_key"]: [on["task_key"] for on in task.get("depends_on", [])] for task in tasks}


def in_order(tasks: Sequence[Mapping[str, Any]]) -> list[str]:
    """The keys of tasks, each after those it depends on; otherwise as written."""
    return list(TopologicalSorter(_dependencies(tasks)).static_order())


def verdict(task: Mapping[str, Any], ended: Mapping[str, TaskRun]) -> State | None:
    """Whether a task runs once all it depends on has ended: None, or the state that it gets without running."""
    edges = [_edge(ended[on["task_key"]], on.get("outcome")) for on in task.get("depends_on", [])]
    if not edges:
        return None
    if all(edge in {"EXCLUDED", "MISMATCH"} for edge in edges):
        return "EXCLUDED"
    bad = [edge for edge in edges if edge not in {*GOOD, "MISMATCH"}]
    upstream: State = "UPSTREAM_FAILED" if set(bad) - {"CANCELED", "UPSTREAM_CANCELED"} else "UPSTREAM_CANCELED"
    unmet: dict[str, tuple[bool, State]] = {
        "ALL_SUCCESS": (bool(bad) or "MISMATCH" in edges, upstream if bad else "EXCLUDED"),
        "AT_LEAST_ONE_SUCCESS": ("SUCCESS" not in edges, upstream),
        "NONE_FAILED": (bool(bad), upstream),
        "ALL_DONE": (False, upstream),
        "AT_LEAST_ONE_FAILED": (not bad, "EXCLUDED"),
        "ALL_FAILED": (len(bad) < len(edges), "EXCLUDED"),
    }
    skip, state = unmet[task.get("run_if", "ALL_SUCCESS")]
    return state if skip else None


def _edge(dependency: TaskRun, outcome: str | None) -> str:
    mismatch = outcome and dependency.state == "SUCCESS" and dependency.outcome != outcome
    return "MISMATCH" if mismatch else dependency.state


def holds(op: str, left: str, right: str) -> bool:
    """A condition: EQUAL_TO and NOT_EQUAL compare text, the others numbers.

    Raises:
        LaptopError: an operand of a numeric comparison is not a number.
    """
    if op in {"EQUAL_TO", "NOT_EQUAL"}:
        return (left == right) == (op == "EQUAL_TO")
    try:
        return bool(_NUMERIC[op](float(left), float(right)))
    except ValueError:
        raise LaptopError(f"{op} compares numbers, not {left!r} and {right!r}") from None
    except KeyError:
        raise LaptopError(f"condition {op!r} is unknown; there is EQUAL_TO, NOT_EQUAL, {', '.join(_NUMERIC)}") from None


def result(tasks: Sequence[Mapping[str, Any]], ended: Mapping[str, TaskRun]) -> State:
    """What a job run is when its tasks have ended: its leaf tasks decide."""
    inner = {key for keys in _dependencies(tasks).values() for key in keys}
    if any(task.state not in GOOD for key, task in ended.items() if key not in inner):
        return "FAILED"
    return "SUCCESS" if all(task.state in GOOD for task in ended.values()) else "SUCCESS_WITH_FAILURES"
