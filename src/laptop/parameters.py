"""Builds the arguments of wheel tasks and checks them before anything starts."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from laptop.home import LaptopError
from laptop.references import Scope, UnknownReferenceError
from laptop.run_store import Run

Check = Callable[[Sequence[str]], object]


class InvalidRunError(LaptopError):
    """A run's parameters or tasks are invalid; nothing of it ran."""


def wheel_arguments(task: Mapping[str, Any], scope: Scope) -> list[str]:
    """Build the argv of a python_wheel_task: job parameters are added to named parameters, and override them.

    Args:
        task: the value of `python_wheel_task`.
        scope: the values that its references may name.
    """
    if "named_parameters" in task:
        named = {name: scope.fill_references(value) for name, value in task["named_parameters"].items()}
        return [f"--{name}={value}" for name, value in (named | scope.run.parameters).items()]
    return [scope.fill_references(value) for value in task.get("parameters", [])]


def loop_inputs(text: str, key: str, scope: Scope) -> list[Any]:
    """The inputs of the for_each_task `key`.

    Raises:
        LaptopError: they are no JSON list.
    """
    filled = scope.fill_references(text)
    try:
        inputs = json.loads(filled)
    except ValueError:
        inputs = None
    if not isinstance(inputs, list):
        raise LaptopError(f"inputs of task {key!r} must be a JSON list, not {filled!r}")
    return inputs


def check_parameters(tasks: Sequence[Mapping[str, Any]], run: Run, find_check: Callable[[str], Check | None]) -> None:
    """Check the arguments of every wheel task that are known before the run, by its package's own check.

    The check takes milliseconds. The task itself would refuse the arguments only after Spark has started.

    Raises:
        InvalidRunError: a package refuses them.
    """
    for key, wheel in _wheel_tasks(tasks):
        check = find_check(wheel["package_name"])
        try:
            arguments = wheel_arguments(wheel, Scope(run, run.tasks.get(key)))
        except UnknownReferenceError:
            continue  # a value that another task sets, or an iteration's input
        try:
            if check:
                check(arguments)
        except Exception as error:  # noqa: BLE001 - whatever the package's check raises is its refusal
            raise InvalidRunError(f"task {key!r} of job {run.job!r}: {error}") from None


def _wheel_tasks(tasks: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for task in tasks:
        inner = task.get("for_each_task", {}).get("task", task)
        if "python_wheel_task" in inner:
            yield task["task_key"], inner["python_wheel_task"]
