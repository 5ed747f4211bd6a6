"""Fills in `{{...}}`, which refers to values of the run (docs.databricks.com, jobs/dynamic-value-references)."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from laptop.home import LaptopError
from laptop.run_store import Run, TaskRun, format_time

_REFERENCE = re.compile(r"\{\{((?:`[^`]*`|[^{}`])+)\}\}")
_PART = re.compile(r"`(?P<quoted>[^`]*)`|\[(?P<bracketed>[^\[\]]*)\]|(?P<plain>[A-Za-z0-9_]+)")
_NAMESPACES = ("job", "task", "tasks", "input", "workspace", "backfill")


class UnknownReferenceError(LaptopError):
    """A reference to a value that does not exist, or not yet, or not on a laptop."""


@dataclass(frozen=True)
class Scope:
    """The run, task and loop input whose values a reference can name."""

    run: Run
    task: TaskRun | None = None
    input: Any = None
    """Input of an iteration of a for_each_task."""

    def fill_references(self, text: Any, *, scalars: bool = False) -> str:
        """Replace every reference in a text by its value; other braces stay.

        Args:
            text: a value of the bundle; numbers and truth values become text.
            scalars: refuse lists and mappings as values, as conditions do.

        Raises:
            LaptopError: a reference names a value that does not exist, or not on a laptop.
        """
        return _REFERENCE.sub(lambda match: self._resolve_match(match, scalars=scalars), to_platform_text(text))

    def _resolve_match(self, match: re.Match[str], *, scalars: bool) -> str:
        parts = split_reference(match[1])
        if parts is None or parts[0] not in _NAMESPACES:
            return match[0]
        try:
            value = self._look_up(parts)
        except (KeyError, TypeError):
            raise UnknownReferenceError(
                f"{match[0]} names nothing that is known in run {self.run.run_id} yet"
            ) from None
        if scalars and isinstance(value, list | dict):
            raise LaptopError(f"{match[0]} is {value!r}; a condition compares text, numbers and truth values")
        return to_platform_text(value)

    def _look_up(self, parts: list[str]) -> Any:
        run = self.run
        match parts:
            case ["job", "parameters", name]:
                return run.parameters[name]
            case ["job", "start_time", argument] | ["job", "trigger", "time", argument]:
                return _time_parts(datetime.fromisoformat(run.start))[argument]
            case ["job", *field]:
                facts = {"id": run.job_id, "name": run.name, "run_id": run.run_id, "repair_count": run.repair_count}
                return {**facts, "trigger.type": run.trigger}[".".join(field)]
            case ["tasks", key, *field]:
                values = {f"values.{name}": value for name, value in run.tasks[key].values.items()}
                return {**_task_facts(run.tasks[key]), **values}[".".join(field)]
            case ["task", field] if self.task:
                return _task_facts(self.task)[field]
            case ["input", *keys] if self.input is not None and len(keys) < 2:
                return self.input[keys[0]] if keys else self.input
        raise KeyError


def split_reference(text: str) -> list[str] | None:
    """Split the text between the braces into its parts; None if its syntax is wrong, so that it stays text.

    A name with other characters than letters, digits and underscores stands in back-ticks or in brackets:
    job.parameters.[my-name].
    """
    parts, rest = [], text.strip()
    while match := _PART.match(rest):
        parts.append(match[match.lastgroup or "plain"])
        rest = rest[match.end() :]
        if not rest:
            return parts
        if rest[0] != ".":
            return None
        rest = rest[1:]
    return None


def to_platform_text(value: Any) -> str:
    """Convert a value to text as the platform does: text stays as it is, other values become JSON."""
    return value if isinstance(value, str) else json.dumps(value)


def _task_facts(task: TaskRun) -> dict[str, Any]:
    return {
        "name": task.key,
        "run_id": task.run_id,
        "execution_count": task.attempts,
        "result_state": task.state.lower(),
        "error_code": "RunExecutionError" if task.state == "FAILED" else "",
    }


def _time_parts(time: datetime) -> dict[str, Any]:
    return {
        "iso_datetime": format_time(time),
        "iso_date": time.date().isoformat(),
        "iso_weekday": time.isoweekday(),
        "is_weekday": time.isoweekday() < 6,
        "timestamp_ms": round(time.timestamp() * 1000),
        **{part: getattr(time, part) for part in ("year", "month", "day", "hour", "minute", "second")},
    }
