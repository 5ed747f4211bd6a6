"""Reads a deployment plan (`databricks bundle plan -o json`), and converts it into its deployer's plan.

`old` is what was deployed last, `new` what the bundle says now, `remote` what the workspace holds. `remote` other than
`old` is drift, `new` other than `old` is a change that waits for its deployment; a field can have both.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from mlops.contract import ConfigError
from mlops_cli.ci import permission_rows
from mlops_cli.ci.permission_rows import Principal, Row

VERSION = 2
"""The plan_version that the CLI of databricks.yml writes."""
ACTIONS = ("skip", "resize", "update", "update_id", "create", "recreate", "delete")
"""Actions in the CLI's order: a later one is graver."""
DESTRUCTIVE = ("recreate", "delete")
_STATEFUL = ("schemas", "volumes", "registered_models", "experiments", "catalogs", "secret_scopes")
"""Kinds of resources whose deletion deletes data, versions or their history."""
_SIDES = ("old", "new", "remote")


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
        """Whether the workspace differs from the last deployment in this field."""
        return bool(self.remote != self.old)


@dataclass(frozen=True)
class PlanEntry:
    """One resource of the plan."""

    key: str
    """Its name, such as jobs.training or jobs.training.permissions."""
    action: str
    changes: tuple[Change, ...]
    wanted: Any
    """The whole resource after the deployment; None: nothing is written."""
    rows: Mapping[Principal, Row] | None = field(default=None, compare=False, repr=False)
    """The rows of a list of permissions; None: the entry is no such list."""

    @property
    def kind(self) -> str:
        """Return the kind of resource, such as jobs."""
        return self.key.partition(".")[0]

    @property
    def destroys(self) -> bool:
        """Whether the action deletes data, versions or their history."""
        return self.action in DESTRUCTIVE and self.kind in _STATEFUL and self.key.count(".") == 1


@dataclass(frozen=True)
class Plan:
    """All that a deployment would do."""

    first: bool
    """Whether nothing was deployed before."""
    entries: tuple[PlanEntry, ...]

    @property
    def actions(self) -> tuple[PlanEntry, ...]:
        """List the entries whose resource changes."""
        return tuple(entry for entry in self.entries if entry.action != "skip")


def parse_plan(text: str) -> Plan:
    """Read a plan: what `databricks bundle plan -o json` printed.

    Raises:
        ConfigError: the text is no plan, or a plan of another version.
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
    return _replace_rows(PlanEntry(name, action, changes, None), rows)


def _find_row_changes(rows: Mapping[Principal, Row]) -> Iterator[Change]:
    """Yield the rows that the deployment would write, and those that somebody changed since the last deployment."""
    for principal, row in sorted(rows.items()):
        if row.new != row.remote or row.old != row.remote:
            action = "skip" if row.new == row.remote else "update"
            yield Change(permission_rows.path_of(principal), action, row.old, row.new, row.remote)


def as_deployer(plan: Plan, planner: str, deployer: str | None = None, *, now: Plan | None = None) -> Plan:
    """Convert a plan into the one that the deployer would make of the same bundle.

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


def _replace_rows(entry: PlanEntry, rows: Mapping[Principal, Row]) -> PlanEntry:
    wanted = permission_rows.sort_permissions(rows) if entry.action != "skip" and rows else None
    return replace(entry, changes=(*entry.changes, *_find_row_changes(rows)), wanted=wanted, rows=rows)


def _rewrite_permissions(entry: PlanEntry, rows: Mapping[Principal, Row]) -> PlanEntry:
    field_changes = tuple(change for change in entry.changes if not permission_rows.principal_of(change.path))
    action = entry.action
    if action in ("skip", "update"):
        pending = [*field_changes, *(change for change in _find_row_changes(rows) if change.action != "skip")]
        action = "update" if pending else "skip"
    return _replace_rows(replace(entry, action=action, changes=field_changes), rows)
