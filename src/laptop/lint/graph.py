"""Rules about dependencies of tasks: on tasks of their job, and on their environment.

RULES are those of the CLI and of the Jobs API, HOUSE_RULES those of this house.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator

from laptop.document import Diagnostic, Node, suggest_name
from laptop.lint.model import TASK_TYPES, Job, LintTarget, Rule, list_items, text_at
from laptop.task_states import LIMITS

COMPUTE = ("environment_key", "job_cluster_key", "existing_cluster_id", "new_cluster")
RUNS_CODE = {"python_wheel_task", "spark_python_task", "spark_jar_task", "spark_submit_task", "dbt_task"}
MERGED = {"tasks": "task_key", "parameters": "name", "job_clusters": "job_cluster_key"}
"""The lists of a job whose items the CLI merges by name."""


def check_task_types(view: LintTarget) -> Iterator[Diagnostic]:
    """A task does exactly one thing."""
    for task in view.tasks:
        if len(task.types) != 1:
            has = f"has {len(task.types)} types ({', '.join(task.types)})" if task.types else "does nothing"
            node = task.node.get(task.types[1]) if task.types else None
            yield task.problem("task-type", node, has, "a task does exactly one thing", f"keep one key *{TASK_TYPES}")


def check_empty(view: LintTarget) -> Iterator[Diagnostic]:
    """A job does something."""
    for job in view.jobs.values():
        if not job.tasks:
            node = job.node.get("tasks") or job.node
            yield Diagnostic("empty", node.place, f"job {job.key!r} has no tasks", "it does nothing", "add one")


def check_target_jobs(view: LintTarget) -> Iterator[Diagnostic]:
    """A target overrides a job by the job's key: with another key it would declare a second job without tasks."""
    declared = view.source.tree.get("resources", "jobs")
    known = [key for key, _ in declared.items()] if declared else []
    for key, job in view.jobs.items():
        cure = suggest_name(key, known)
        if key not in known and not job.tasks and cure.startswith("did you mean"):
            what = f"job {key!r} has no tasks, and only a target declares it"
            yield Diagnostic("keys", job.node.place, what, "it would be one more job, and empty", cure)


def check_environment_keys(view: LintTarget) -> Iterator[Diagnostic]:
    """A job has each environment once: the CLI joins the list of a target with that of the job."""
    for job in view.jobs.values():
        yield from _find_repeated(job.key, job.node, {"environments": "environment_key"})


def check_names(view: LintTarget) -> Iterator[Diagnostic]:
    """Within one file no two items of a job's list have the same name: the CLI merges them without a message."""
    for file in view.source.files:
        targets = file.get("targets")
        for tree in (file, *(node for _, node in (targets.items() if targets else ()))):
            jobs = tree.get("resources", "jobs")
            for key, job in jobs.items() if jobs else ():
                yield from _find_repeated(key, job, MERGED)
    for task in view.tasks:
        if task.loop and task.key in task.job.outer:
            why = "references could mean either"
            yield task.problem("twice", None, "has the key of another task", why, "give it its own key")


def _find_repeated(job: str, node: Node, lists: dict[str, str]) -> Iterator[Diagnostic]:
    for group, key in lists.items():
        seen: dict[str, Node] = {}
        for item in list_items(node, group):
            name = text_at(item, key)
            if name in seen:
                what = f"job {job!r} has two {group} named {name!r}"
                why = f"the other one is at {seen[name].place}"
                yield Diagnostic("twice", item.place, what, why, "give each its own name")
            seen[name] = item


def check_dependencies(view: LintTarget) -> Iterator[Diagnostic]:
    """depends_on names other tasks of the job, and forms no circle."""
    for task in view.tasks:
        for entry in task.depends_on:
            dependency, node = text_at(entry, "task_key"), entry.get("task_key") or entry
            if dependency not in task.job.outer:
                cure = suggest_name(dependency, task.job.outer.keys() - {task.key})
                yield task.problem(
                    "depends-on", node, f"depends on {dependency!r}, which is no task", "it never runs", cure
                )
            elif dependency == task.key:
                yield task.problem("cycle", node, "depends on itself", "it never runs", "remove the entry")
            elif task.key in task.job.upstream.get(dependency, ()):
                what = f"depends on {dependency!r}, which depends on it"
                yield task.problem("cycle", node, what, "neither ever runs", "remove one of the two")


def check_superfluous_dependencies(view: LintTarget) -> Iterator[Diagnostic]:
    """depends_on names no task twice, and does not stand inside a loop."""
    for task in view.tasks:
        seen: set[str] = set()
        for entry in task.depends_on:
            dependency, node = text_at(entry, "task_key"), entry.get("task_key") or entry
            if dependency in seen:
                yield task.problem(
                    "depends-on", node, f"depends on {dependency!r} twice", "one is enough", "remove one"
                )
            seen.add(dependency)
        if task.loop and task.depends_on:
            why = "the order is that of its loop"
            yield task.problem("depends-on", None, "is inside a loop and has depends_on", why, "move it to the loop")


def check_outcomes(view: LintTarget) -> Iterator[Diagnostic]:
    """Only a dependency on a condition has an outcome, and it is true or false."""
    for task in view.tasks:
        for entry in task.depends_on:
            key, outcome = text_at(entry, "task_key"), entry.get("outcome")
            dependency = task.job.outer.get(key)
            condition = dependency is not None and "condition_task" in dependency.types
            if outcome and dependency and not condition:
                why = "only a condition_task has an answer"
                yield task.problem("outcome", outcome, f"waits for an outcome of {key!r}", why, "remove outcome")
            elif outcome and text_at(entry, "outcome") not in {"true", "false"}:
                what = f"waits for outcome {text_at(entry, 'outcome')!r} of {key!r}"
                yield task.problem("outcome", outcome, what, "a condition is true or false", 'write "true" or "false"')


def check_silent_outcomes(view: LintTarget) -> Iterator[Diagnostic]:
    """A dependency on a condition names the outcome that it waits for."""
    for task in view.tasks:
        for entry in task.depends_on:
            key = text_at(entry, "task_key")
            dependency = task.job.outer.get(key)
            if dependency is not None and "condition_task" in dependency.types and not entry.get("outcome"):
                what = f"depends on condition {key!r} and does not say on which answer"
                yield task.problem("outcome", entry, what, "it would run on both", 'add outcome: "true"')


def check_conditions(view: LintTarget) -> Iterator[Diagnostic]:
    """An operator that compares numbers has numbers to compare."""
    for task in view.tasks:
        operator = task.text("condition_task", "op")
        for side in ("left", "right"):
            value = task.text("condition_task", side)
            if operator.startswith(("GREATER", "LESS")) and "{{" not in value and not _is_numeric(value):
                node = task.node.get("condition_task", side)
                why = f"{operator} compares numbers"
                yield task.problem("condition", node, f"compares {value!r}", why, "write a number, or use EQUAL_TO")


def check_idle_conditions(view: LintTarget) -> Iterator[Diagnostic]:
    """A condition compares a value of the run, and a task depends on it."""
    for task in view.tasks:
        if "condition_task" in task.types and not task.loop and not task.job.downstream[task.key]:
            yield task.problem("condition", None, "has a result that no task uses", "it decides nothing", "remove it")
        if "condition_task" in task.types and "{{" not in task.text("condition_task", "left") + task.text(
            "condition_task", "right"
        ):
            why = "it has the same answer in every run"
            yield task.problem(
                "condition", task.node.get("condition_task"), "compares two constants", why, "ask something"
            )


def _is_numeric(value: str) -> bool:
    try:
        float(value)
    except ValueError:
        return False
    return True


def check_loops(view: LintTarget) -> Iterator[Diagnostic]:
    """A loop has inputs that can be read, and no loop inside."""
    for task in view.tasks:
        if task.loop and "for_each_task" in task.types:
            yield task.problem("loop", None, "is a loop inside a loop", "the platform refuses it", "use one loop")
        inputs = task.text("for_each_task", "inputs")
        if inputs and "{{" not in inputs and not _is_list(inputs):
            node = task.node.get("for_each_task", "inputs")
            yield task.problem("loop", node, f"loops over {inputs!r}", "it is no JSON list", 'write "[1, 2]"')


def _is_list(inputs: str) -> bool:
    try:
        return isinstance(json.loads(inputs), list)
    except ValueError:
        return False


def check_limits(view: LintTarget) -> Iterator[Diagnostic]:
    """Times, retries and concurrency are numbers that the platform takes."""
    why = "the platform refuses it"
    for job in view.jobs.values():
        node = job.node.get("timeout_seconds")
        if node and isinstance(node.value, int) and node.value < 0:
            what = f"job {job.key!r} has timeout_seconds {node.value}"
            yield Diagnostic("limit", node.place, what, why, "write 0 or more")
    for task in view.tasks:
        for path, (least, most) in LIMITS.items():
            node = task.node.get(*path)
            if node and isinstance(node.value, int) and not least <= node.value <= most:
                cure = f"write {least} or more" if math.isinf(most) else f"write a number from {least} to {most}"
                yield task.problem("limit", node, f"has {path[-1]} {node.value}", why, cure)


def check_compute(view: LintTarget) -> Iterator[Diagnostic]:
    """A task that runs code names its compute, which exists."""
    for task in view.tasks:
        for key, group in (("environment_key", "environments"), ("job_cluster_key", "job_clusters")):
            node, known = task.node.get(key), _keys(task.job, group, key)
            if node and text_at(node) not in known:
                what, why = f"names {key} {text_at(node)!r}, which its job does not have", "it cannot start"
                yield task.problem("compute", node, what, why, suggest_name(text_at(node), known))
        if RUNS_CODE & set(task.types) and not any(map(task.node.get, COMPUTE)):
            why = "such a task has no environment of its own"
            yield task.problem("compute", None, "does not say where it runs", why, "add environment_key")


def _keys(job: Job, group: str, key: str) -> set[str]:
    return {text_at(item, key) for item in list_items(job.node, group)}


RULES: tuple[Rule, ...] = (
    check_task_types, check_target_jobs, check_environment_keys,
    check_dependencies, check_outcomes, check_conditions, check_loops, check_limits, check_compute,
)  # fmt: skip
HOUSE_RULES: tuple[Rule, ...] = (
    check_empty, check_names, check_superfluous_dependencies, check_silent_outcomes, check_idle_conditions,
)  # fmt: skip
