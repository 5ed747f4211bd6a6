"""Provides `dbutils.jobs.taskValues`, the part of Databricks' runtime that a task may use.

`databricks.sdk.runtime` takes `dbutils` from a module `dbruntime` if there is one. `install_runtime` installs such a
module, so that the wheel sets task values in the same way everywhere. The calling thread identifies the task; a thread
that a task starts itself cannot set values.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from types import ModuleType, SimpleNamespace
from typing import Any

from laptop.run_store import Run, TaskRun

_LIMIT = 48 * 1024


@dataclass(frozen=True)
class Current:
    """The task that runs in a thread."""

    run: Run
    task: TaskRun
    save: Callable[[], None]
    """Called after a value was set."""


current: ContextVar[Current | None] = ContextVar("current", default=None)


def _current_task() -> Current:
    task = current.get()
    if task is None:
        raise RuntimeError("task values belong to the thread that the runner started the task in; call from there")
    return task


class _TaskValues:
    def set(self, key: str, value: Any) -> None:
        if not isinstance(key, str):
            raise TypeError(f"the key of a task value must be a string, not {key!r}")
        size = len(json.dumps(value).encode())
        if size > _LIMIT:
            raise ValueError(f"task value {key!r} is {size} bytes of JSON; the limit is {_LIMIT}")
        task = _current_task()
        task.task.values[key] = value
        task.save()

    def get(self, taskKey: str, key: str, default: Any = None, debugValue: Any = None) -> Any:  # noqa: N803, ARG002
        tasks = _current_task().run.tasks
        if taskKey in tasks and key in tasks[taskKey].values:
            return tasks[taskKey].values[key]
        if default is None:
            raise ValueError(f"task {taskKey!r} has set no value {key!r}, and there is no default")
        return default


dbutils = SimpleNamespace(jobs=SimpleNamespace(taskValues=_TaskValues()))


def install_runtime() -> None:
    """Make `from databricks.sdk.runtime import dbutils` return the one above, unless it was imported before."""

    class UserNamespaceInitializer:
        @staticmethod
        def getOrCreate() -> UserNamespaceInitializer:  # noqa: N802 - Databricks' name
            return UserNamespaceInitializer()

        def get_namespace_globals(self) -> dict[str, Any]:
            return {"dbutils": dbutils}

    module = ModuleType("dbruntime")
    module.UserNamespaceInitializer = UserNamespaceInitializer  # type: ignore[attr-defined]
    sys.modules["dbruntime"] = module
