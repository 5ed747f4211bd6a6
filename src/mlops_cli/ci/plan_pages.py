"""Writes a plan and its drift in Markdown, for reviewers. Every value of a plan is shown as text."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from mlops_cli.ci.plan_differences import ConfigDrift, config_drift
from mlops_cli.ci.plans import ACTIONS, Plan, PlanEntry

_COST = re.compile(
    r"schedule|trigger|continuous|pause_status|cluster|num_workers|autoscale|node_type|photon|warehouse|workload_size"
    r"|scale_to_zero|performance_target|environment_version|timeout|max_retries|max_concurrent_runs|budget_policy"
)
_RIGHTS = re.compile(r"grants|permissions|run_as|principal|privileges|owner")
_LONGEST = 200
"""Largest number of characters of a value in a summary."""


def escape_html(value: Any) -> str:
    """Escape a value so that no page, mail or pipeline log reads a command or a link in it."""
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
    plain = "".join(c if (c.isalnum() and c.isascii()) or c in " -_.,/=+" else f"&#{ord(c)};" for c in text[:_LONGEST])
    return f"<code>{plain}{'…' * (len(text) > _LONGEST)}</code>"


def summarise_plan(plan: Plan, target: str) -> str:
    """Summarise a plan in Markdown: counts, then costs, rights, what is destroyed, and every action."""
    lines = [f"### Plan for target {escape_html(target)}", ""]
    if not plan.actions:
        return "\n".join([*lines, "Nothing would change.", ""])
    counts = {action: sum(e.action == action for e in plan.entries) for action in ACTIONS}
    lines += [", ".join(f"{number} {action}" for action, number in counts.items() if number), ""]
    if plan.first:
        lines += ["This is the first deployment to this target.", ""]
    calls = (
        ("Destroys", [escape_html(e.key) for e in plan.actions if e.destroys]),
        ("Changes what it costs", list(_find_fields(plan, _COST))),
        ("Changes who may do what", list(_find_fields(plan, _RIGHTS))),
        ("Takes back what was changed by hand", list(_list_reverted_changes(plan))),
    )
    for title, calls_of_title in calls:
        if calls_of_title:
            lines += [f"**{title}**", "", *(f"- {line}" for line in dict.fromkeys(calls_of_title)), ""]
    rows = [row for entry in plan.actions for row in _table_rows(entry)]
    table = ["| resource | action | field | deployed | bundle | workspace |", "|---|---|---|---|---|---|", *rows]
    return "\n".join([*lines, "<details><summary>Everything</summary>", "", *table, "", "</details>", ""])


def truncate_markdown(page: str, longest: int) -> str:
    """Cut a page that is longer than a limit after a whole line, and say where the rest is."""
    if len(page) <= longest:
        return page
    hint = "\n\n</details>\n\n**Cut here: all of it is in the summary of the run.**\n"
    return page[: longest - len(hint)].rpartition("\n")[0] + hint


def _list_reverted_changes(plan: Plan) -> Iterator[str]:
    for key, change in config_drift(plan).drifted:
        if change.new != change.remote:
            yield f"{escape_html(key)} {escape_html(change.path)}"


def _find_fields(plan: Plan, pattern: re.Pattern[str]) -> Iterator[str]:
    for entry in plan.actions:
        for change in entry.changes:
            if pattern.search(f"{entry.key}.{change.path}"):
                key, path, before, after = map(escape_html, (entry.key, change.path, change.remote, change.new))
                yield f"{key} {path}: {before} → {after}"
        fields = (
            [] if entry.changes else [key for key in dict.fromkeys(_field_names(entry.wanted)) if pattern.search(key)]
        )
        if fields or (not entry.changes and pattern.search(entry.key)):
            yield f"{entry.action} {escape_html(entry.key)} {' '.join(map(escape_html, fields))}".rstrip()


def _field_names(value: Any) -> Iterator[str]:
    """Yield the names of all fields of a value, at any depth."""
    for key, child in value.items() if isinstance(value, dict) else ():
        yield key
        yield from _field_names(child)
    for child in value if isinstance(value, list) else ():
        yield from _field_names(child)


def _table_rows(entry: PlanEntry) -> Iterator[str]:
    if not entry.changes:
        yield f"| {escape_html(entry.key)} | {entry.action} | | | | |"
    for change in entry.changes:
        values = " | ".join(escape_html(value) for value in (change.path, change.old, change.new, change.remote))
        yield f"| {escape_html(entry.key)} | {entry.action} | {values} |"


def report_drift(drift: ConfigDrift, target: str) -> str:
    """Describe the drift of a target in Markdown."""
    if not drift.drifted:
        waits = ", ".join(map(escape_html, drift.waiting))
        waiting = f" {len(drift.waiting)} changes wait for deployment: {waits}." if waits else ""
        return f"Target {escape_html(target)} is as it was deployed.{waiting}\n"
    lines = [f"Target {escape_html(target)} is not as it was deployed. Deploying again takes these changes back.", ""]
    lines += ["| resource | field | deployed | workspace |", "|---|---|---|---|"]
    for key, change in drift.drifted:
        cells = map(escape_html, (key, change.path, change.old, change.remote))
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, ""])
