"""Reads a deployment plan (`databricks bundle plan -o json`), compares two plans, and writes one for reviewers.

`old` is what was deployed last, `new` what the bundle says now, `remote` what the workspace holds. `remote` other than
`old` is drift, `new` other than `old` is a change that waits for its deployment; a field can have both.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from mlops.contract import ConfigError
from mlops_cli import permission_rows
from mlops_cli.permission_rows import Principal, Row

VERSION = 2
"""The plan_version of the CLI that databricks.yml names."""
ACTIONS = ("skip", "resize", "update", "update_id", "create", "recreate", "delete")
"""In the CLI's order: what comes later weighs more."""
DESTRUCTIVE = ("recreate", "delete")
_STATEFUL = ("schemas", "volumes", "registered_models", "experiments", "catalogs", "secret_scopes")
"""Deleting one of these deletes data, versions or their history."""
_COST = re.compile(
    r"schedule|trigger|continuous|pause_status|cluster|num_workers|autoscale|node_type|photon|warehouse|workload_size"
    r"|scale_to_zero|performance_target|environment_version|timeout|max_retries|max_concurrent_runs|budget_policy"
)
_RIGHTS = re.compile(r"grants|permissions|run_as|principal|privileges|owner")
_SIDES = ("old", "new", "remote")
_LONGEST = 200
"""Characters of a value that a summary shows."""


@dataclass(frozen=True)
class Change:
    """One field that differs, with its three values; None where there is none."""

    path: str
    action: str
    old: Any
    new: Any
    remote: Any

    @property
    def is_drift(self) -> bool:
        """Whether the workspace holds something else than what was deployed last."""
        return bool(self.remote != self.old)


@dataclass(frozen=True)
class PlanEntry:
    """One resource of the plan."""

    key: str
    """As in jobs.training, or jobs.training.permissions."""
    action: str
    changes: tuple[Change, ...]
    wanted: Any
    """All of the resource as it shall be; None where nothing is written."""
    rows: Mapping[Principal, Row] | None = field(default=None, compare=False, repr=False)
    """The rows of a list of permissions; None: the entry is none."""

    @property
    def kind(self) -> str:
        """As in jobs."""
        return self.key.partition(".")[0]

    @property
    def destroys(self) -> bool:
        """Whether data, versions or their history end with it."""
        return self.action in DESTRUCTIVE and self.kind in _STATEFUL and self.key.count(".") == 1


@dataclass(frozen=True)
class Plan:
    """All that a deployment would do."""

    first: bool
    """True: nothing was deployed before."""
    entries: tuple[PlanEntry, ...]

    @property
    def actions(self) -> tuple[PlanEntry, ...]:
        """What is not left as it is."""
        return tuple(entry for entry in self.entries if entry.action != "skip")


def parse_plan(text: str) -> Plan:
    """Read a plan: what `databricks bundle plan -o json` printed.

    Raises:
        ConfigError: it is no plan, or one of another version.
    """
    try:
        document = json.loads(text)
    except ValueError:
        raise ConfigError("this is no plan: give what `databricks bundle plan -o json` printed") from None
    if not isinstance(document, dict) or document.get("plan_version") != VERSION:
        version = document.get("plan_version") if isinstance(document, dict) else None
        raise ConfigError(f"plan_version is {version!r}, not {VERSION}: use the CLI that databricks.yml names")
    entries = document.get("plan") or {}
    if not isinstance(entries, dict) or not all(isinstance(entry, dict) for entry in entries.values()):
        raise ConfigError("the plan holds no resources by name: give what `databricks bundle plan -o json` printed")
    try:
        return Plan(not document.get("lineage"), tuple(_parse_entry(key, entries[key]) for key in sorted(entries)))
    except (AttributeError, TypeError):
        raise ConfigError("the plan lists no changes by field: give what `bundle plan -o json` printed") from None


def _parse_entry(key: str, entry: Mapping[str, Any]) -> PlanEntry:
    action = entry.get("action") or "skip"
    if action not in ACTIONS:
        raise ConfigError(f"the plan does {action!r} to {key}; known are {', '.join(ACTIONS)}")
    by_row = key.endswith(".permissions")
    changes = tuple(
        Change(path, str(change.get("action")), *(change.get(side) for side in _SIDES))
        for path, change in sorted((entry.get("changes") or {}).items())
        if change.get("action") != "skip" and not (by_row and permission_rows.principal_of(path))
    )
    name = key.removeprefix("resources.")
    if not by_row:
        return PlanEntry(name, action, changes, entry.get("new_state"))
    rows = permission_rows.read_rows(entry)
    return _with_rows(PlanEntry(name, action, changes, None), rows)


def _row_changes(rows: Mapping[Principal, Row]) -> Iterator[Change]:
    """The rows that the deployment would write, and those that somebody changed since the last one."""
    for principal, row in sorted(rows.items()):
        if row.new != row.remote or row.old != row.remote:
            action = "skip" if row.new == row.remote else "update"
            yield Change(permission_rows.path_of(principal), action, row.old, row.new, row.remote)


def as_deployer(plan: Plan, planner: str, deployer: str | None = None, *, now: Plan | None = None) -> Plan:
    """The plan that the deployer would make of the bundle that the planner planned.

    The planner's own right is taken as it was deployed last: the CLI plans its user as owner whatever the bundle says.

    Args:
        plan: of the planner.
        planner: who made it.
        deployer: who deploys. None: as far as the plan tells (`permission_rows.deployer_of`).
        now: the plan of the deployer itself. It tells the planner's right on what is created.
    """
    if deployer is None:
        deployer = permission_rows.deployer_of([entry.rows for entry in plan.entries if entry.rows], planner)
    present = {entry.key: entry for entry in now.entries} if now else {}

    def rewritten(entry: PlanEntry) -> PlanEntry:
        if entry.rows is None:
            return entry
        own = None
        if entry.action == "create" and entry.key in present:
            own = permission_rows.own_levels(present[entry.key].rows or {}, planner)
        rows = permission_rows.as_deployer(entry.rows, entry.kind, planner, deployer, own)
        return entry if rows == entry.rows else _rewrite_permissions(entry, rows)

    return Plan(plan.first, tuple(rewritten(entry) for entry in plan.entries))


def _with_rows(entry: PlanEntry, rows: Mapping[Principal, Row]) -> PlanEntry:
    wanted = permission_rows.sort_permissions(rows) if entry.action != "skip" and rows else None
    return replace(entry, changes=(*entry.changes, *_row_changes(rows)), wanted=wanted, rows=rows)


def _rewrite_permissions(entry: PlanEntry, rows: Mapping[Principal, Row]) -> PlanEntry:
    field_changes = tuple(change for change in entry.changes if not permission_rows.principal_of(change.path))
    action = entry.action
    if action in ("skip", "update"):
        pending = [*field_changes, *(change for change in _row_changes(rows) if change.action != "skip")]
        action = "update" if pending else "skip"
    return _with_rows(replace(entry, action=action, changes=field_changes), rows)


# --- decisions -------------------------------------------------------------------------------------------------------


def plan_differences(
    approved: Plan, now: Plan, *, planner: str | None = None, deployer: str | None = None
) -> tuple[str, ...]:
    """What two plans do differently; empty if both do the same.

    Args:
        approved: the plan that somebody approved.
        now: the plan that the deployment would carry out, made by the deployer.
        planner: who made the approved plan. None: the same identity made both.
        deployer: who made the other one.
    """
    if planner:
        approved = as_deployer(approved, planner, deployer, now=now)
    differences = []
    if approved.first != now.first:
        differences.append("the first deployment came in between: plan again")
    before, after = ({entry.key: entry for entry in plan.actions} for plan in (approved, now))
    for key in sorted(before.keys() | after.keys()):
        action_before, action_after = (side[key].action if key in side else "skip" for side in (before, after))
        if before.get(key) == after.get(key):
            continue
        # What is created takes the planner's right from the deployer's plan, so that it never makes a difference there.
        if action_before != "create" and (hidden := _find_hidden_change(after.get(key), planner)):
            differences.append(f"{key}: {hidden}")
        elif action_before != action_after:
            differences.append(f"{key}: approved is {action_before}, now it would be {action_after}")
        else:
            differences.append(f"{key}: {action_before} was approved with other values than it would have now")
    return tuple(differences)


def _find_hidden_change(entry: PlanEntry | None, planner: str | None) -> str:
    """The change of the planner's own right, which the planner's own plan does not show."""
    rows = (entry.rows if entry else None) or {}
    for (key, name), row in rows.items():
        if key != "group_name" and name == planner and row.new != row.old:
            was, becomes = row.old or "no right", row.new or "no right"
            return (
                f"the right of {name}, which made the approved plan, changes from {was} to {becomes}; "
                "its own plan cannot show that, so the deployer has to plan and deploy it by hand"
            )
    return ""


@dataclass(frozen=True)
class ConfigDrift:
    """What differs between the last deployment and the workspace, and what waits for the next deployment."""

    drifted: tuple[tuple[str, Change], ...]
    waiting: tuple[str, ...]


def config_drift(plan: Plan) -> ConfigDrift:
    """Find what was changed outside of deployments.

    A resource that would be created is new in the bundle, or was deleted by hand; the plan does not show which. It
    counts as waiting. `mlops ci settled`, which allows no action right after a deployment, finds a deletion.
    """
    # The CLI skips a row that the workspace holds as it would plan it, and it plans its own user as owner.
    checked = [e for e in plan.entries if e.action != "skip" or e.rows]
    drifted = [(e.key, change) for e in checked for change in e.changes if change.is_drift]
    touched = {key for key, _ in drifted}
    return ConfigDrift(tuple(drifted), tuple(f"{e.action} {e.key}" for e in plan.actions if e.key not in touched))


# --- for people ------------------------------------------------------------------------------------------------------


def escape_html(value: Any) -> str:
    """A value as HTML that shows it as text: no page, mail or pipeline log reads a command or a link in it."""
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
    plain = "".join(c if (c.isalnum() and c.isascii()) or c in " -_.,/=+" else f"&#{ord(c)};" for c in text[:_LONGEST])
    return f"<code>{plain}{'…' * (len(text) > _LONGEST)}</code>"


def summarise_plan(plan: Plan, target: str) -> str:
    """The plan for a reviewer, in Markdown: counts, what costs, what gives rights, what destroys, then everything."""
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
    """The first whole lines of a page, with a hint where the rest is, if the page is longer than a limit."""
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
    """The names of all fields of a value, at any depth."""
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
    """The drift of a target, in Markdown."""
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
