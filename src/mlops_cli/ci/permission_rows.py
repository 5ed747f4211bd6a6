"""Reads the permission lists of a deployment plan row by row, and undoes how the CLI rewrites them for its own user.

The CLI makes the user who plans the owner of each job and the manager of everything else with permissions
(bundle/config/mutator/resourcemutator/fix_permissions.go). So two identities never plan the same list from one bundle,
and the plan of one identity never shows which right the bundle gives to that identity. `add_user` is that rule;
`as_deployer` turns the list that one identity planned into the list that the deployer would plan.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Principal = tuple[str, str]
"""The key that names it (user_name, service_principal_name or group_name), and its name."""

OWNER, MANAGER = "IS_OWNER", "CAN_MANAGE"
KEYS = ("user_name", "service_principal_name", "group_name")
_OWNED_KINDS = ("jobs", "pipelines", "sql_warehouses")
"""Kinds of resources with the level IS_OWNER."""
_ROW_PATH = re.compile(rf"\[({'|'.join(KEYS)})='((?:[^']|'')*)'\](?:\.level)?")
_LIST = "__embed__"
"""The key under which a plan holds the list itself."""


@dataclass(frozen=True)
class Row:
    """The levels of one principal; None where it has no right."""

    old: str | None
    """Level at the last deployment."""
    new: str | None
    """Level that the plan would write."""
    remote: str | None
    """Level in the workspace."""


def read_rows(entry: Mapping[str, Any]) -> dict[Principal, Row]:
    """Read the rows of one entry of a plan; rows without a change stand in its state only. A deletion has none."""
    if entry.get("action") == "delete":
        return {}
    planned = (entry.get("new_state") or {}).get("value") or {}
    rows = {}
    for principal, level in _list_rows(planned):
        known = None if entry.get("action") == "create" else level
        rows[principal] = Row(known, level, known)
    if not planned:
        rows = {principal: Row(level, level, level) for principal, level in _list_rows(entry.get("remote_state") or {})}
    for path, change in (entry.get("changes") or {}).items():
        if named := principal_of(path):
            rows[named] = Row(*(_level_at(change.get(side)) for side in ("old", "new", "remote")))
    return rows


def principal_of(path: str) -> Principal | None:
    """Return the principal whose row the path of a change names; None: it names something else."""
    match = _ROW_PATH.fullmatch(path)
    return (match[1], match[2].replace("''", "'")) if match else None


def path_of(principal: Principal) -> str:
    """Return the path of a principal's row, as the CLI writes it."""
    return f"[{principal[0]}='{principal[1].replace("'", "''")}'].level"


def sort_permissions(rows: Mapping[Principal, Row]) -> dict[str, Any]:
    """Sort the list that a plan would write, so that its order does not depend on who plans."""
    return {"permissions": sorted((*principal, row.new) for principal, row in rows.items() if row.new)}


def deployer_of(lists: Sequence[Mapping[Principal, Row]], planner: str) -> str | None:
    """Return the identity that would deploy the plan; None if the plan does not show it.

    It is the planner, if the planner deployed last. Else it is the user that the bundle lets manage every resource.
    If there is no such user, it is the user that deployed last.
    """
    was = [_levels_of(rows, "old") for rows in lists]
    before, owners = _managers_of(was), {name for levels in was for name, level in levels.items() if level == OWNER}
    declared = _managers_of([_levels_of(rows, "new") for rows in lists]) - {planner}
    if planner in before & owners:
        return planner
    for likely in (declared & owners, declared, before & {planner}, before & owners, before):
        if len(likely) == 1:
            return min(likely)
    return None


def _levels_of(rows: Mapping[Principal, Row], side: Literal["old", "new"]) -> dict[str, str]:
    return {name: level for (key, name), row in rows.items() if key != "group_name" and (level := getattr(row, side))}


def _managers_of(lists: Sequence[Mapping[str, str]]) -> set[str]:
    """Return the users that manage every resource with permissions."""
    managers = [{name for name, level in levels.items() if level in (OWNER, MANAGER)} for levels in lists if levels]
    return set.intersection(*managers) if managers else set()


def own_levels(rows: Mapping[Principal, Row], user: str) -> dict[Principal, str]:
    """Return the right that a plan would give to one user or service principal, by resource."""
    return {principal: row.new for principal, row in rows.items() if row.new and _is_user(principal, user)}


def add_user(levels: Mapping[Principal, str], kind: str, user: str) -> dict[Principal, str]:
    """Rewrite a list of permissions as the CLI does when this user plans: the user owns it, or else manages it."""
    own = [principal for principal in levels if _is_user(principal, user)]
    managing = [principal for principal in own if levels[principal] == MANAGER]
    if any(levels[principal] == OWNER for principal in own):
        return dict(levels)
    key = "service_principal_name" if _is_uuid(user) else "user_name"
    if kind in _OWNED_KINDS and OWNER not in levels.values():
        return {**levels, (managing or [(key, user)])[-1]: OWNER}
    return dict(levels) if managing else {**levels, (key, user): MANAGER}


def as_deployer(
    rows: Mapping[Principal, Row],
    kind: str,
    planner: str,
    deployer: str | None,
    own: Mapping[Principal, str] | None = None,
) -> dict[Principal, Row]:
    """Convert the rows that the planner planned into those that the deployer would plan from the same bundle.

    Args:
        rows: as the planner planned them.
        kind: of the resource, as in jobs.
        planner: who planned.
        deployer: who deploys; None: nobody knows, and the deployer's own row is left as it is.
        own: the right that the bundle gives the planner, which these rows do not show. None: as it was deployed last.
    """
    planned = {principal: row.new for principal, row in rows.items() if row.new}
    if planner == deployer or not {OWNER, MANAGER} & set(own_levels(rows, planner).values()):
        return dict(rows)  # the CLI rewrote nothing here, or another identity planned
    if own is None:
        own = {principal: row.old for principal, row in rows.items() if row.old and _is_user(principal, planner)}
    new = {principal: level for principal, level in planned.items() if not _is_user(principal, planner)} | dict(own)
    if deployer:
        new = add_user(new, kind, deployer)
    nothing = Row(None, None, None)
    return {
        principal: Row(row.old, new.get(principal), row.remote)
        for principal in {**rows, **new}
        for row in (rows.get(principal, nothing),)
    }


def _list_rows(state: Mapping[str, Any]) -> Iterator[tuple[Principal, str]]:
    for listed in state.get(_LIST) or ():
        for key in KEYS:
            if listed.get(key):
                yield (key, str(listed[key])), str(listed.get("level"))


def _level_at(value: Any) -> str | None:
    """A plan gives the level alone, or the whole row where one side has no such row."""
    level = value.get("level") if isinstance(value, dict) else value
    return str(level) if level else None


def _is_user(principal: Principal, user: str) -> bool:
    return principal[0] != "group_name" and principal[1] == user


def _is_uuid(name: str) -> bool:
    try:
        uuid.UUID(name)
    except ValueError:
        return False
    return True
