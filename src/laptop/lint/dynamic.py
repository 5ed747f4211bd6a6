"""Rules about `{{...}}`, which the platform fills in when a job runs (docs: jobs/dynamic-value-references).

It treats a reference with a wrong first word as plain text, without an error; any other wrong one ends the run.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from laptop.document import Diagnostic, Node, suggest_name
from laptop.lint.model import LintTarget, Rule, Task, is_dynamic
from laptop.references import split_reference
from laptop.resolution import REFERENCE as REFERENCE_OF_BUNDLE
from laptop.resolution import is_resolved

REFERENCE = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)
SINGLE = re.compile(r"\$\s+\{|(?<![{$])\{\s*(?:job|task|tasks|input|var|bundle|resources|workspace)\b[^{}]*\}(?!\})")
"""Braces that look like a reference."""
TIMES = (
    "iso_weekday", "is_weekday", "iso_date", "iso_datetime", "timestamp_ms",
    "year", "month", "day", "hour", "minute", "second",
)  # fmt: skip
JOB = ("id", "name", "run_id", "repair_count", "trigger.type", "trigger.file_arrival.location")
TASK = ("name", "run_id", "execution_count", "notebook_path")
UPSTREAM = ("run_id", "result_state", "error_code", "execution_count", "notebook_path")
NAMESPACES = ("job", "task", "tasks", "input", "workspace", "backfill")
"""First words of what the platform fills in; anything else in braces is plain text to it."""
KNOWN = {
    *(f"job.{name}" for name in JOB),
    *(f"job.{clock}.{name}" for clock in ("start_time", "trigger.time") for name in TIMES),
    *(f"task.{name}" for name in TASK),
    *(f"backfill.{name}" for name in TIMES),
    "workspace.id", "workspace.url",
}  # fmt: skip
"""References that mean something wherever a task may use them."""


def check_task_references(view: LintTarget) -> Iterator[Diagnostic]:
    """Values that a task refers to exist when the task starts."""
    for task in view.tasks:
        for node in task.dynamic:
            for whole, parts in _references(node):
                wrong = _find_wrong_in_task(view, task, parts) if parts[0] in NAMESPACES else None
                if wrong:
                    yield task.problem("dynamic", node, f"uses {whole}: {wrong[0]}", wrong[1], wrong[2])


def check_braces_in_tasks(view: LintTarget) -> Iterator[Diagnostic]:
    """Text in double braces in a task is a reference that the platform fills in."""
    for task in view.tasks:
        for node in task.dynamic:
            for whole, parts in _references(node):
                if _is_misspelled(parts):
                    what, cure = f"uses {whole}: its syntax is wrong", "write a name like my-name as [my-name]"
                    yield task.problem("dynamic", node, what, "it stays plain text", cure)
                elif parts[0] not in NAMESPACES:
                    cure = suggest_name(".".join(filter(None, parts)), KNOWN)
                    what = f"uses {whole}: there is no such value"
                    yield task.problem("dynamic", node, what, "it stays plain text", cure)


def check_job_references(view: LintTarget) -> Iterator[Diagnostic]:
    """Values that a job's parameter refers to are known before any task runs."""
    yield from _find_wrong_in_jobs(view, "the run ends there", plain=False)


def check_braces_in_jobs(view: LintTarget) -> Iterator[Diagnostic]:
    """Text in double braces in a job's parameter is a reference that the platform fills in."""
    yield from _find_wrong_in_jobs(view, "the task would get it as plain text", plain=True)


def _find_wrong_in_jobs(view: LintTarget, why: str, *, plain: bool) -> Iterator[Diagnostic]:
    """Find invalid references in job parameters: those that the platform takes for text if `plain`, else the others."""
    known = [name for name in KNOWN if not name.startswith("task")]
    for job in view.jobs.values():
        for name, default in job.parameters.items():
            for whole, parts in _references(default):
                if (dotted := ".".join(parts)) not in known and plain == (parts[0] not in NAMESPACES):
                    what = f"parameter {name!r} of job {job.key!r} uses {whole}: it is not known when the job starts"
                    yield Diagnostic("dynamic", default.place, what, why, suggest_name(dotted, known))


def check_placement(view: LintTarget) -> Iterator[Diagnostic]:
    """References stand in tasks and parameters only, and their braces are closed."""
    filled = {id(node) for task in view.tasks for node in task.dynamic}
    filled |= {id(node) for job in view.jobs.values() for node in job.parameters.values()}
    for node in view.texts:
        if view.complete and is_dynamic(node) and id(node) not in filled:
            what = f"{node.value!r} stands where the platform does not fill it in"
            yield Diagnostic("dynamic", node.place, what, "it stays plain text", "use it in a task or a parameter")
        if node.value.count("{{") != node.value.count("}}"):
            what = f"the braces of {node.value!r} are not closed"
            yield Diagnostic("dynamic", node.place, what, "it stays plain text", "write {{name}}")
        elif SINGLE.search(node.value):
            what = f"{node.value!r} has braces that are not filled in"
            yield Diagnostic("dynamic", node.place, what, "they stay plain text", "write {{job.run_id}} or ${var.name}")


def _references(node: Node) -> Iterator[tuple[str, list[str]]]:
    if is_dynamic(node):
        for match in REFERENCE.finditer(node.value):
            yield match[0], split_reference(match[1]) or ["", match[1].strip()]


def _is_misspelled(parts: list[str]) -> bool:
    """Whether it is probably a reference with wrong syntax, which the platform takes for plain text."""
    return not parts[0] and re.split(r"\W", parts[-1])[0] in NAMESPACES


def _find_wrong_in_task(view: LintTarget, task: Task, parts: list[str]) -> tuple[str, str, str] | None:
    """Return summary, reason and fix of a wrong reference; None if it is right."""
    match parts:
        case ["job", "parameters", name]:
            if name in task.job.parameters:
                return None
            return f"the job has no parameter {name!r}", "the run ends there", suggest_name(name, task.job.parameters)
        case ["tasks", key, *rest]:
            return _find_wrong_upstream(view, task, key, rest)
        case ["input", *_]:
            if task.loop:
                return None
            return "it is not inside a for_each_task", "only a loop has an input", "use a task value or a parameter"
        case _:
            dotted = ".".join(parts)
            known = [*KNOWN, *(f"job.parameters.{name}" for name in task.job.parameters)]
            return (
                None
                if dotted in KNOWN
                else ("there is no such value", "it is not filled in", suggest_name(dotted, known))
            )


def _find_wrong_upstream(view: LintTarget, task: Task, key: str, rest: list[str]) -> tuple[str, str, str] | None:
    upstream = task.job.upstream.get(task.loop or task.key, frozenset())
    if key not in task.job.outer:
        return f"there is no task {key!r}", "the run ends there", suggest_name(key, task.job.outer)
    if key not in upstream:
        return f"{key!r} need not have ended", "its value may not be there", f"let the task depend on {key!r}"
    if rest[:1] != ["values"] or len(rest) != 2:
        good = [*UPSTREAM, "values.<key>"]
        ok = ".".join(rest) in UPSTREAM or rest[:1] == ["output"]
        return None if ok else ("there is no such value", "the run ends there", f"a task has {', '.join(good)}")
    setter = task.job.outer[key]
    known = view.project.task_values.get(setter.entry_point)
    if "condition_task" in setter.types or "run_job_task" in setter.types:
        return f"{key!r} runs no code", "it sets no task values", "refer to a task that does"
    if known is None or rest[1] in known:
        return None
    return f"{key!r} never sets {rest[1]!r}", "the run ends there", suggest_name(rest[1], known)


def check_unused_values(view: LintTarget) -> Iterator[Diagnostic]:
    """A task value is read by some task, and in every job whose configuration has a field for it."""
    read = {(task.job.key, *reference) for task in view.tasks for node in task.dynamic for reference in _read(node)}
    configs = view.project.configs or {}
    for entry_point, keys in view.project.task_values.items() if view.complete else ():
        tasks = [task for task in view.tasks if task.entry_point == entry_point]
        for key in keys:
            heard = [task for task in tasks if (task.job.key, task.key, key) in read]
            due = [task for task in tasks if task not in heard and (not heard or key in configs.get(task.job.key, ()))]
            for task in due[:1]:
                why = "no task can react to it"
                yield task.problem("dynamic", None, f"sets task value {key!r}, which no task reads", why, "read it")


def _read(node: Node) -> Iterator[tuple[str, str]]:
    for _, parts in _references(node):
        if parts[0] == "tasks" and parts[2:3] == ["values"] and len(parts) == 4:
            yield parts[1], parts[3]


RULES: tuple[Rule, ...] = (check_task_references, check_job_references)


def check_literal_references(view: LintTarget) -> Iterator[Diagnostic]:
    """Text that looks like a reference of the bundle is one that the CLI resolves."""
    for node in view.source.tree.walk():
        if not isinstance(node.value, str) or "${" not in node.value:
            continue
        resolved = REFERENCE_OF_BUNDLE.sub(lambda match: "" if is_resolved(match) else match[0], node.value)
        if "${" in resolved:
            what, why = f"{node.value!r} has ${{ without a reference", "the CLI leaves it as it is"
            yield Diagnostic("reference", node.place, what, why, "write ${var.name} or the like")


HOUSE_RULES: tuple[Rule, ...] = (
    check_literal_references,
    check_braces_in_tasks,
    check_braces_in_jobs,
    check_placement,
    check_unused_values,
)
