"""Rules about jobs that run jobs: how deep, in no circle, and with which parameters.

RULES are those of the Jobs API, HOUSE_RULES those of this house.
"""

from __future__ import annotations

from collections.abc import Iterator

from laptop.document import Diagnostic, suggest_name
from laptop.lint.model import LintTarget, Rule, Task, text_at
from laptop.resolution import job_id

PLATFORM_LEVELS, HOUSE_LEVELS = 3, 2
"""Largest nesting of run_job: on the platform, and in this project, which keeps one level in reserve."""


def check_called_jobs(view: LintTarget) -> Iterator[Diagnostic]:
    """run_job runs in no circle, and in no more levels than the platform has."""
    yield from _find_deep_calls(view, PLATFORM_LEVELS, None)


def check_flat_calls(view: LintTarget) -> Iterator[Diagnostic]:
    """run_job names a job of the bundle, in at most two levels."""
    for task in view.tasks:
        node = task.node.get("run_job_task", "job_id")
        if node and _find_called_job(view, task) is None:
            why = "ids differ per workspace"
            cure = "write ${resources.jobs.<job>.id}"
            yield task.problem("run-job", node, f"runs job {text_at(node)!r}, which is none of the bundle's", why, cure)
    yield from _find_deep_calls(view, HOUSE_LEVELS, PLATFORM_LEVELS)


def _find_deep_calls(view: LintTarget, levels: int, most: int | None) -> Iterator[Diagnostic]:
    """Find tasks that start more levels of run_job than allowed, up to `most`; without `most` also circles."""
    for task in view.tasks:
        node, called = task.node.get("run_job_task", "job_id"), _find_called_job(view, task)
        depth, circle = _call_depth(view, called, (task.job.key,)) if called else (0, ())
        if circle and most is None:
            way = " -> ".join(circle)
            yield task.problem("run-job", node, f"runs in a circle: {way}", "it never ends", "break the circle")
        elif called and not circle and levels < depth + 1 <= (most or depth + 1):
            what = f"starts {depth + 1} levels of run_job"
            yield task.problem("run-job", node, what, f"{levels} are allowed", "make the jobs flatter")


def _find_called_job(view: LintTarget, task: Task) -> str | None:
    wanted = task.text("run_job_task", "job_id")
    ids = {job_id(view.bundle.target, job): job for job in view.every_job}
    return ids.get(wanted) if wanted else None


def _call_depth(view: LintTarget, job: str, way: tuple[str, ...]) -> tuple[int, tuple[str, ...]]:
    """Return the number of levels of run_job that start in a job, or the circle that they form."""
    if job in way:
        return 0, (*way, job)
    called = [_find_called_job(view, task) for task in (view.jobs[job].tasks if job in view.jobs else ())]
    depths = [_call_depth(view, callee, (*way, job)) for callee in called if callee]
    circle = next((cycle for _, cycle in depths if cycle), ())
    return max((depth + 1 for depth, _ in depths), default=0), circle


def check_passed_parameters(view: LintTarget) -> Iterator[Diagnostic]:
    """A job declares the parameters of its caller, which are passed down and override its own (jobs/job-parameters)."""
    for task in view.tasks:
        called = view.jobs.get(_find_called_job(view, task) or "")
        if called is None:
            continue
        for name in [*task.job.parameters, *task.own_parameters]:
            node = task.own_parameters.get(name) or task.job.parameters[name]
            if name not in called.parameters:
                what = f"hands {name!r} to job {called.key!r}, which has no such parameter"
                yield task.problem(
                    "pushed-down", node, what, "it reaches nothing", suggest_name(name, called.parameters)
                )
        for name, default in called.parameters.items():
            if default.value == "" and name not in {*task.job.parameters, *task.own_parameters}:
                what = f"runs job {called.key!r} without its parameter {name!r}"
                yield task.problem("pushed-down", None, what, "it has no default", f"add {name} to job_parameters")


RULES: tuple[Rule, ...] = (check_called_jobs,)
HOUSE_RULES: tuple[Rule, ...] = (check_flat_calls, check_passed_parameters)
