"""The platform's rules on when a task runs, and on a job's state after its tasks, as pure functions.

Pages of docs.databricks.com: jobs/run-if (dependencies, states, leaf tasks) and jobs/if-else (operators).
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Iterable, Mapping, Sequence
from graphlib import TopologicalSorter
from typing import Any

from laptop.bundle import Bundle
from laptop.home import LaptopError
from laptop.resolution import job_id
from laptop.run_store import GOOD, State, TaskRun

NUMERIC = {
    "GREATER_THAN": operator.gt,
    "GREATER_THAN_OR_EQUAL": operator.ge,
    "LESS_THAN": operator.lt,
    "LESS_THAN_OR_EQUAL": operator.le,
}
FILE_KINDS = {
    "notebook_task": (("notebook_path",), "base_parameters"),
    "spark_python_task": (("python_file",), "parameters"),
    "sql_task": (("file", "path"), "parameters"),
}
"""Types of task that run a file of the bundle: the keys of its path, and the key of its parameters."""
KINDS = ("python_wheel_task", *FILE_KINDS, "condition_task", "run_job_task", "for_each_task")
RUN_JOB_LEVELS = 3
"""Largest nesting of run_job_tasks (jobs/tasks/run-job)."""
OPERATORS = ("EQUAL_TO", "NOT_EQUAL", *NUMERIC)
RUN_IF = ("ALL_SUCCESS", "AT_LEAST_ONE_SUCCESS", "NONE_FAILED", "ALL_DONE", "AT_LEAST_ONE_FAILED", "ALL_FAILED")
LIMITS: dict[tuple[str, ...], tuple[int, float]] = {
    ("timeout_seconds",): (0, math.inf),
    ("max_retries",): (-1, math.inf),
    ("min_retry_interval_millis",): (0, math.inf),
    ("for_each_task", "concurrency"): (1, 100),
}
"""Smallest and largest value that the platform accepts, by path in a task."""
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")


def job_of(bundle: Bundle, wanted: object) -> str | None:
    """Return the key of the job with an id; None if there is none."""
    return next((job for job in bundle.jobs if job_id(bundle.target, job) == str(wanted)), None)


def runs_code(bundle: Bundle, tasks: Iterable[Mapping[str, Any]], depth: int = 0) -> bool:
    """Whether any task, or any task of a job that one starts, may need Spark; conditions do not."""
    for task in tasks:
        spec = task.get("for_each_task", {}).get("task", task)
        job = job_of(bundle, spec.get("run_job_task", {}).get("job_id", ""))
        called = bundle.jobs[job]["tasks"] if job and depth < RUN_JOB_LEVELS else ()
        if {"python_wheel_task", *FILE_KINDS} & spec.keys() or runs_code(bundle, called, depth + 1):
            return True
    return False


def _task_dependencies(tasks: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    """Return the keys of the tasks that each task depends on, by key."""
    return {task["task_key"]: [on["task_key"] for on in task.get("depends_on", [])] for task in tasks}


def in_order(tasks: Sequence[Mapping[str, Any]]) -> list[str]:
    """Sort the keys of tasks so that each follows its dependencies; otherwise in the written order."""
    return list(TopologicalSorter(_task_dependencies(tasks)).static_order())


def skip_state(task: Mapping[str, Any], ended: Mapping[str, TaskRun]) -> State | None:
    """Decide, after all dependencies have ended, whether a task runs: None, or its state without running."""
    edges = [_edge_state(ended[on["task_key"]], on.get("outcome")) for on in task.get("depends_on", [])]
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


def _edge_state(dependency: TaskRun, outcome: str | None) -> str:
    mismatch = outcome and dependency.state == "SUCCESS" and dependency.outcome != outcome
    return "MISMATCH" if mismatch else dependency.state


def evaluate_condition(op: str, left: str, right: str) -> bool:
    """Evaluate a condition: EQUAL_TO and NOT_EQUAL compare text, the others numbers.

    Raises:
        LaptopError: an operand of a numeric comparison is not a number.
    """
    if op in {"EQUAL_TO", "NOT_EQUAL"}:
        return (left == right) == (op == "EQUAL_TO")
    if not _NUMBER.fullmatch(left) or not _NUMBER.fullmatch(right):  # float() also accepts nan and 1_0
        raise LaptopError(f"{op} compares numbers, not {left!r} and {right!r}")
    return bool(NUMERIC[op](float(left), float(right)))


def job_state(tasks: Sequence[Mapping[str, Any]], ended: Mapping[str, TaskRun]) -> State:
    """Return the state of a job run whose tasks have ended; its leaf tasks decide."""
    inner = {key for keys in _task_dependencies(tasks).values() for key in keys}
    if any(task.state not in GOOD for key, task in ended.items() if key not in inner):
        return "FAILED"
    return "SUCCESS" if all(task.state in GOOD for task in ended.values()) else "SUCCESS_WITH_FAILURES"
