"""What a deployment plan says: `databricks bundle plan -o json`, read for a person and judged for a pipeline.

Its words: `old` is what was deployed last, `new` what the bundle says now, `remote` what the workspace holds.
So `remote` beside `old` is drift, `new` beside `old` is a change that is waiting, and both can be true at once.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mlops.contract import ConfigError

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
_MANAGES = ("IS_OWNER", "CAN_MANAGE")
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
    def drifted(self) -> bool:
        """Whether the workspace holds something else than what was deployed last."""
        return bool(self.remote != self.old)


@dataclass(frozen=True)
class Entry:
    """One resource of the plan."""

    key: str
    """As in jobs.training, or jobs.training.permissions."""
    action: str
    changes: tuple[Change, ...]
    wanted: Any
    """All of the resource as it shall be; None where nothing is written."""

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
    entries: tuple[Entry, ...]

    @property
    def actions(self) -> tuple[Entry, ...]:
        """What is not left as it is."""
        return tuple(entry for entry in self.entries if entry.action != "skip")


def parse(text: str, *, planners: Sequence[str] = ()) -> Plan:
    """Read a plan.

    Args:
        text: what `databricks bundle plan -o json` printed.
        planners: principals whose own right to manage is left out: the CLI adds the one that plans to every list of
            permissions, so that two identities never plan the same.

    Raises:
        ConfigError: it is no plan, or one of another version.
    """
    try:
        document = json.loads(text)
    except ValueError:
        raise ConfigError("this is no plan: give what `databricks bundle plan -o json` printed") from None
    if not isinstance(document, dict) or document.get("plan_version") != VERSION:
        found = document.get("plan_version") if isinstance(document, dict) else None
        raise ConfigError(f"plan_version is {found!r}, not {VERSION}: use the CLI that databricks.yml names")
    entries = document.get("plan") or {}
    if not isinstance(entries, dict) or not all(isinstance(entry, dict) for entry in entries.values()):
        raise ConfigError("the plan holds no resources by name: give what `databricks bundle plan -o json` printed")
    try:
        return Plan(not document.get("lineage"), tuple(_entry(key, entries[key], planners) for key in sorted(entries)))
    except (AttributeError, TypeError):
        raise ConfigError("the plan's changes are not told by field: give what `bundle plan -o json` printed") from None


def _entry(key: str, entry: Mapping[str, Any], planners: Sequence[str]) -> Entry:
    action = entry.get("action") or "skip"
    if action not in ACTIONS:
        raise ConfigError(f"the plan does {action!r} to {key}; known are {', '.join(ACTIONS)}")
    changes = tuple(
        Change(path, str(found.get("action")), *(_others(found.get(side), planners) for side in _SIDES))
        for path, found in sorted((entry.get("changes") or {}).items())
        if found.get("action") != "skip"
    )
    if key.endswith(".permissions"):
        others = tuple(change for change in changes if not _caused(change, planners))
        if len(others) < len(changes):  # who plans becomes owner, and so whoever was it no longer is
            others = tuple(c for c in others if (c.old, c.new, c.remote) != ("IS_OWNER", "CAN_MANAGE", "IS_OWNER"))
        action = "skip" if changes and not others else action
        changes = others
    return Entry(key.removeprefix("resources."), action, changes, _others(entry.get("new_state"), planners))


def _caused(change: Change, planners: Sequence[str]) -> bool:
    """Whether a change of permissions comes from nothing but who plans."""
    values = [value for value in (change.old, change.new, change.remote) if value is not None]
    named = any(f"='{who}']" in change.path for who in planners)
    return not values or (named and all(value in _MANAGES for value in values))


def _others(value: Any, planners: Sequence[str]) -> Any:
    """A value without the planners' own right to manage."""
    if isinstance(value, dict):
        return None if _own(value, planners) else {key: _others(each, planners) for key, each in value.items()}
    if isinstance(value, list):
        return [_others(each, planners) for each in value if not _own(each, planners)]
    return value


def _own(value: Any, planners: Sequence[str]) -> bool:
    who = value.get("service_principal_name") or value.get("user_name") if isinstance(value, dict) else None
    return who in planners and value.get("level") in _MANAGES


# --- decisions -------------------------------------------------------------------------------------------------------


def differences(approved: Plan, now: Plan) -> tuple[str, ...]:
    """What would be done now and was not approved, or was approved and would not be done; none: it is the same plan."""
    found = []
    if approved.first != now.first:
        found.append("the first deployment came in between: plan again")
    before, after = ({entry.key: entry for entry in plan.actions} for plan in (approved, now))
    for key in sorted(before.keys() | after.keys()):
        mine, theirs = (side[key].action if key in side else "skip" for side in (before, after))
        if mine != theirs:
            found.append(f"{key}: approved is {mine}, now it would be {theirs}")
        elif before[key] != after[key]:
            found.append(f"{key}: {mine} was approved with other values than it would have now")
    return tuple(found)


@dataclass(frozen=True)
class Drift:
    """What differs between what was deployed last and what the workspace holds, and what only waits for deployment."""

    drifted: tuple[tuple[str, Change], ...]
    waiting: tuple[str, ...]


def drift(plan: Plan) -> Drift:
    """Whether somebody changed what is deployed, by hand or otherwise.

    A resource that would be created is either new in the bundle or was deleted by hand; the plan does not tell which,
    so it waits, and the check right after a deployment, which allows no action at all, is what finds it.
    """
    drifted = [(e.key, change) for e in plan.actions for change in e.changes if change.drifted]
    touched = {key for key, _ in drifted}
    return Drift(tuple(drifted), tuple(f"{e.action} {e.key}" for e in plan.actions if e.key not in touched))


# --- for people ------------------------------------------------------------------------------------------------------


def code(value: Any) -> str:
    """A value as text that neither a page, nor a mail, nor the log of a pipeline takes for anything but text."""
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
    plain = "".join(c if (c.isalnum() and c.isascii()) or c in " -_.,/=+" else f"&#{ord(c)};" for c in text[:_LONGEST])
    return f"<code>{plain}{'…' * (len(text) > _LONGEST)}</code>"


def summary(plan: Plan, target: str) -> str:
    """The plan for a reviewer, in Markdown: counts, what costs, what gives rights, what destroys, then everything."""
    lines = [f"### Plan for target {code(target)}", ""]
    if not plan.actions:
        return "\n".join([*lines, "Nothing would change.", ""])
    counts = {action: sum(e.action == action for e in plan.entries) for action in ACTIONS}
    lines += [", ".join(f"{number} {action}" for action, number in counts.items() if number), ""]
    if plan.first:
        lines += ["This is the first deployment to this target.", ""]
    calls = (
        ("Destroys", [code(e.key) for e in plan.actions if e.destroys]),
        ("Changes what it costs", list(_of(plan, _COST))),
        ("Changes who may do what", list(_of(plan, _RIGHTS))),
        ("Takes back what was changed by hand", [f"{code(key)} {code(c.path)}" for key, c in drift(plan).drifted]),
    )
    for title, found in calls:
        if found:
            lines += [f"**{title}**", "", *(f"- {line}" for line in dict.fromkeys(found)), ""]
    rows = [row for entry in plan.actions for row in _rows(entry)]
    table = ["| resource | action | field | deployed | bundle | workspace |", "|---|---|---|---|---|---|", *rows]
    return "\n".join([*lines, "<details><summary>Everything</summary>", "", *table, "", "</details>", ""])


def fitting(page: str, longest: int) -> str:
    """A page of at most so many characters: whole lines of it, and where the rest stands if some are left out."""
    if len(page) <= longest:
        return page
    hint = "\n\n</details>\n\n**Cut here: all of it is in the summary of the run.**\n"
    return page[: longest - len(hint)].rpartition("\n")[0] + hint


def _of(plan: Plan, pattern: re.Pattern[str]) -> Iterator[str]:
    for entry in plan.actions:
        for change in entry.changes:
            if pattern.search(f"{entry.key}.{change.path}"):
                yield f"{code(entry.key)} {code(change.path)}: {code(change.remote)} → {code(change.new)}"
        found = [] if entry.changes else [key for key in dict.fromkeys(_keys(entry.wanted)) if pattern.search(key)]
        if found or (not entry.changes and pattern.search(entry.key)):
            yield f"{entry.action} {code(entry.key)} {' '.join(map(code, found))}".rstrip()


def _keys(value: Any) -> Iterator[str]:
    """The names of all fields of a value, at any depth."""
    for key, child in value.items() if isinstance(value, dict) else ():
        yield key
        yield from _keys(child)
    for child in value if isinstance(value, list) else ():
        yield from _keys(child)


def _rows(entry: Entry) -> Iterator[str]:
    if not entry.changes:
        yield f"| {code(entry.key)} | {entry.action} | | | | |"
    for change in entry.changes:
        values = " | ".join(code(value) for value in (change.path, change.old, change.new, change.remote))
        yield f"| {code(entry.key)} | {entry.action} | {values} |"


def report(found: Drift, target: str) -> str:
    """The verdict on drift, in Markdown."""
    if not found.drifted:
        waits = ", ".join(map(code, found.waiting))
        waiting = f" {len(found.waiting)} changes wait for deployment: {waits}." if waits else ""
        return f"Target {code(target)} is as it was deployed.{waiting}\n"
    lines = [f"Target {code(target)} is not as it was deployed. Deploying again takes these changes back.", ""]
    lines += ["| resource | field | deployed | workspace |", "|---|---|---|---|"]
    for key, change in found.drifted:
        lines.append(f"| {code(key)} | {code(change.path)} | {code(change.old)} | {code(change.remote)} |")
    return "\n".join([*lines, ""])
