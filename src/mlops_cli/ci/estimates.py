"""Estimates the cost of a change of schedules: runs per month times the measured minutes of a run."""

from __future__ import annotations

import calendar
import copy
import json
from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from typing import Any

from mlops.contract import ConfigError
from mlops_cli.ci.plan_pages import escape_html
from mlops_cli.ci.plans import Plan, PlanEntry

_YEAR = [date(2027, 1, 1) + timedelta(days=number) for number in range(365)]
"""Days of a year; a month is a twelfth of it."""
_MONTHS = {
    name: number
    for number, name in enumerate(
        ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"], 1
    )
}
_DAYS = {name: number for number, name in enumerate(["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"], 1)}
_HOURS = {"HOURS": 1, "DAYS": 24, "WEEKS": 168}
_STARTS = ("schedule", "trigger", "continuous")


def count_monthly_runs(job: Mapping[str, Any]) -> float | None:
    """Count the runs that a job's schedule starts in a mean month.

    Returns:
        0 if the job has no schedule or a paused one; None if files, tables or the end of the run before start it.
    """
    for key in _STARTS:
        start = job.get(key)
        if not start or start.get("pause_status") == "PAUSED":
            continue
        if key == "schedule":
            return _count_cron(str(start.get("quartz_cron_expression", "")))
        periodic = start.get("periodic")
        return 730 / (float(periodic["interval"]) * _HOURS[periodic["unit"]]) if periodic else None
    return 0.0


def _count_cron(expression: str) -> float | None:
    fields = expression.upper().split()
    if len(fields) < 6:
        return None
    try:
        times = 1
        for text, high in zip(fields, (59, 59, 23), strict=False):
            times *= len(_parse_values(text, 0, high, {}))
        months = _parse_values(fields[4], 1, 12, _MONTHS)
        days = [day for day in _YEAR if day.month in months and _is_day(day, fields[3], fields[5])]
    except ValueError:
        return None
    return times * len(days) / 12


def _is_day(day: date, of_month: str, of_week: str) -> bool:
    last = calendar.monthrange(day.year, day.month)[1]
    quartz = day.isoweekday() % 7 + 1
    if of_week != "?":
        name, hash_sign, number = of_week.partition("#")
        if hash_sign:
            return quartz in _parse_values(name, 1, 7, _DAYS) and (day.day + 6) // 7 == int(number)
        if of_week.endswith("L") and of_week != "L":
            return quartz in _parse_values(of_week[:-1], 1, 7, _DAYS) and day.day > last - 7
        return quartz in _parse_values("7" if of_week == "L" else of_week, 1, 7, _DAYS)
    if of_month.startswith("L"):
        return day.day == last - int(of_month[2:] or 0)
    return day.day in _parse_values(of_month.removesuffix("W"), 1, 31, {})


def _parse_values(text: str, low: int, high: int, names: Mapping[str, int]) -> set[int]:
    """Return the values that one field of a Quartz expression names."""

    def number(word: str) -> int:
        return names[word] if word in names else int(word)

    values: set[int] = set()
    for part in text.split(","):
        body, slash, step = part.partition("/")
        first, dash, last = body.partition("-")
        if body in {"*", "?"}:
            start, end = low, high
        else:
            start = number(first)
            end = number(last) if dash else (high if slash else start)
        # FRI-MON passes the end of the week.
        whole = range(start, end + 1) if start <= end else [*range(start, high + 1), *range(low, end + 1)]
        values.update(list(whole)[:: int(step) if slash else 1])
    return values


def parse_minutes(text: str) -> tuple[str, dict[str, float]]:
    """Parse the file of measured minutes: where they were measured, and minutes by job.

    Raises:
        ConfigError: the file has another form.
    """
    try:
        document = json.loads(text)
        return str(document["measured"]), {str(job): float(value) for job, value in document["minutes"].items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ConfigError(
            'the file of minutes has another form: write {"measured": WHERE, "minutes": {JOB: 1.5}}'
        ) from None


def estimate_plan(plan: Plan, minutes: Mapping[str, float], measured: str) -> str:
    """Describe in Markdown how a plan changes the monthly hours of scheduled runs; "" if it does not change them.

    Args:
        plan: the plan.
        minutes: duration of one run, by the key of its job.
        measured: where they were measured.
    """
    lines = [line for entry in plan.actions for line in _estimate_job(entry, minutes)]
    if not lines:
        return ""
    remark = (
        f"An estimate: runs that the schedule starts, times the minutes of a run ({escape_html(measured)}). Starting "
        "up, retries, and the jobs that a job starts are not in it."
    )
    return "\n".join(["**Estimated hours a month**", "", *lines, "", remark, ""])


def _estimate_job(entry: PlanEntry, minutes: Mapping[str, float]) -> Iterator[str]:
    kind, _, key = entry.key.partition(".")
    if kind != "jobs" or "." in key:
        return
    name = escape_html(entry.key)
    if entry.action == "delete":
        yield f"- {name}: no run any more"
        return
    after = (entry.wanted or {}).get("value") or entry.wanted or {}
    before = {} if entry.action == "create" else _undo_changes(after, entry)
    counts = [count_monthly_runs(job) for job in (before, after)]
    if counts[0] == counts[1] and (counts[0] is not None or all(before.get(k) == after.get(k) for k in _STARTS)):
        return
    took = minutes.get(key)
    yield f"- {name}: " + " → ".join(_describe_runs(count, took) for count in counts)


def _describe_runs(count: float | None, took: float | None) -> str:
    if count is None:
        return "as often as something arrives, which nothing here can know"
    if not count or took is None:
        return f"{count:.0f} runs" + (" of unknown length" if count else "")
    return f"{count:.0f} runs of {took:g} min = {count * took / 60:.1f} h"


def _undo_changes(job: Mapping[str, Any], entry: PlanEntry) -> dict[str, Any]:
    """Return the job with the schedule that it has in the workspace."""
    before = copy.deepcopy(dict(job))
    for change in entry.changes:
        path = change.path.split(".")
        if path[0] not in _STARTS:
            continue
        inner: dict[str, Any] = before
        for part in path[:-1]:
            inner[part] = inner.get(part) or {}
            inner = inner[part]
        if change.remote is None:
            inner.pop(path[-1], None)
        else:
            inner[path[-1]] = change.remote
    return before
