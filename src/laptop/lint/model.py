"""The view that rules have of a resolved bundle: jobs and tasks with a valid structure, and the project's code."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from laptop.bundle import Bundle, BundleSource
from laptop.document import Diagnostic, Location, Node
from laptop.lint.project import Project

TRIGGERS = ("schedule", "continuous", "trigger")
"""The keys of a job that start it."""
TASK_TYPES = "_task"
"""Every type of task is a key with this ending (Databricks' jobs API)."""


@dataclass(frozen=True)
class Task:
    """One task of a job, or the task inside a for_each_task."""

    job: Job
    node: Node
    loop: str | None = None
    """Key of the for_each_task that repeats it."""

    def __str__(self) -> str:
        return f"task {self.key!r} of job {self.job.key!r}"

    def text(self, *path: str | int) -> str:
        """The value at that path as text, empty if there is none."""
        return text_at(self.node, *path)

    @cached_property
    def key(self) -> str:
        """Its task_key."""
        return self.text("task_key")

    @cached_property
    def types(self) -> tuple[str, ...]:
        """The keys that give it a type, such as python_wheel_task."""
        return tuple(key for key, _ in self.node.items() if key.endswith(TASK_TYPES))

    @cached_property
    def entry_point(self) -> str:
        """Entry point of a wheel task; empty for others."""
        return self.text("python_wheel_task", "entry_point")

    @cached_property
    def own_parameters(self) -> dict[str, Node]:
        """Its own parameters: of a wheel task, or those for the job it runs."""
        parameters = self.node.get("python_wheel_task", "named_parameters") or self.node.get(
            "run_job_task", "job_parameters"
        )
        return dict(parameters.items()) if parameters else {}

    @cached_property
    def dynamic(self) -> tuple[Node, ...]:
        """Its texts with `{{`, without those of a task inside its loop."""
        inner = self.node.get("for_each_task", "task")
        inside = {id(node) for node in inner.walk()} if inner else set()
        return tuple(node for node in self.node.walk() if is_dynamic(node) and id(node) not in inside)

    @cached_property
    def wheel_parameters(self) -> Node | None:
        """The node of a wheel task's own parameters, or of its wheel task if it has none."""
        return self.node.get("python_wheel_task", "named_parameters") or self.node.get("python_wheel_task")

    @cached_property
    def depends_on(self) -> tuple[Node, ...]:
        """The entries of its depends_on."""
        return tuple(list_items(self.node, "depends_on"))

    def problem(self, rule: str, node: Node | None, what: str, why: str, cure: str) -> Diagnostic:
        """Make a problem at a node of the task, or at its first line; `what` follows the task's name."""
        return Diagnostic(rule, (node or self.node).place, f"{self} {what}", why, cure)


@dataclass(frozen=True)
class Job:
    """One job."""

    key: str
    node: Node

    @cached_property
    def tasks(self) -> tuple[Task, ...]:
        """Its tasks, those inside loops after the loop."""
        return tuple(self._tasks())

    def _tasks(self) -> Iterator[Task]:
        for node in list_items(self.node, "tasks"):
            task = Task(self, node)
            yield task
            if inner := node.get("for_each_task", "task"):
                yield Task(self, inner, task.key)

    @cached_property
    def outer(self) -> dict[str, Task]:
        """Its tasks by key, without those inside loops."""
        return {task.key: task for task in self.tasks if task.loop is None}

    @cached_property
    def parameters(self) -> dict[str, Node]:
        """The defaults of its parameters, by name."""
        return {text_at(item, "name"): item.get("default") or item for item in list_items(self.node, "parameters")}

    @cached_property
    def parameter_names(self) -> dict[str, Node]:
        """Where the names of its parameters are written."""
        return {text_at(item, "name"): item.get("name") or item for item in list_items(self.node, "parameters")}

    @cached_property
    def downstream(self) -> dict[str, frozenset[str]]:
        """For each task the tasks that wait for it, directly or not."""
        return {key: frozenset(later for later, before in self.upstream.items() if key in before) for key in self.outer}

    @cached_property
    def upstream(self) -> dict[str, frozenset[str]]:
        """For each task, the tasks that end before it starts. A circle is followed once."""
        direct = {key: [text_at(node, "task_key") for node in task.depends_on] for key, task in self.outer.items()}

        def before(key: str, seen: frozenset[str]) -> frozenset[str]:
            direct_keys = frozenset(direct.get(key, ())) - seen
            return (
                direct_keys.union(*(before(earlier, seen | direct_keys) for earlier in direct_keys))
                if direct_keys
                else direct_keys
            )

        return {key: before(key, frozenset()) for key in direct}


@dataclass(frozen=True)
class LintTarget:
    """A target as a rule sees it."""

    source: BundleSource
    bundle: Bundle
    project: Project
    jobs: dict[str, Job]
    """Jobs whose structure is sound."""
    complete: bool
    """Whether `jobs` has every job. Rules about things that no job does apply only then."""

    @property
    def tree(self) -> Node:
        """The resolved document."""
        return self.bundle.tree

    @cached_property
    def tasks(self) -> tuple[Task, ...]:
        """All tasks of all jobs."""
        return tuple(task for job in self.jobs.values() for task in job.tasks)

    @cached_property
    def texts(self) -> tuple[Node, ...]:
        """Every text of the resolved document."""
        return tuple(node for node in self.tree.walk() if isinstance(node.value, str))

    @cached_property
    def every_job(self) -> tuple[str, ...]:
        """The keys of all jobs, sound or not."""
        node = self.tree.get("resources", "jobs")
        return tuple(key for key, _ in node.items()) if node else ()

    def resources(self, kind: str) -> Iterator[tuple[str, Node]]:
        """The resources of a kind, by key."""
        node = self.tree.get("resources", kind)
        yield from node.items() if node else ()

    def locate(self, *path: str | int) -> Location:
        """Find the place of a path, or of its nearest written ancestor."""
        return self.tree.locate(*path)


Rule = Callable[[LintTarget], Iterator[Diagnostic]]


def is_dynamic(node: Node) -> bool:
    """Whether it is a text with references that the platform fills in."""
    return isinstance(node.value, str) and "{{" in node.value


def list_items(node: Node, key: str) -> list[Node]:
    """The items of a list below a node; none if there is no list."""
    listed = node.get(key)
    return listed.value if listed and isinstance(listed.value, list) else []


def text_at(node: Node, *path: str | int) -> str:
    """The value at that path as text, empty if there is none."""
    below = node.get(*path)
    return "" if below is None or below.value is None else _spell_value(below.value)


def _spell_value(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
