"""What has to be there before the first deployment, and the rights that a bundle cannot grant."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator

from mlops.workspace.found import Found, Kind, Securable, Unread
from mlops.workspace.steps import Step
from mlops.workspace.wanted import UNSET, Need, Wanted


def catalogs(wanted: Wanted, found: Found, later: list[str]) -> Iterator[Step]:
    """The catalog that the target writes to, and that a group owns it; those that it only reads are others' to make."""
    for name, writes in _used(wanted).items():
        there = found.securables.get(("catalog", name))
        if there is None and not writes:
            later.append(f"catalog {name}, which target {wanted.target} reads: whoever writes there makes it")
        elif writes and (there is None or isinstance(there, Unread)):
            yield Step(
                f"no catalog {name} that you may see; target {wanted.target} writes there",
                f"CREATE CATALOG IF NOT EXISTS {_quoted(name)};",
                "sql",
                "CREATE CATALOG on the metastore; add MANAGED LOCATION if the metastore has no storage",
                f"DROP CATALOG {_quoted(name)};",
                there.why if isinstance(there, Unread) else "",
            )
        elif isinstance(there, Securable) and writes and "@" in there.owner and wanted.owner and not wanted.personal:
            yield Step(
                f"catalog {name} belongs to {there.owner}, a person: a group outlives one",
                f"ALTER CATALOG {_quoted(name)} OWNER TO {_quoted(wanted.owner)};",
                "sql",
                "owner of the catalog, or metastore admin",
                f"ALTER CATALOG {_quoted(name)} OWNER TO {_quoted(there.owner)};",
            )


def _used(wanted: Wanted) -> dict[str, bool]:
    """The catalogs of the target, and whether it writes there."""
    read = (wanted.places["data catalog"][1], wanted.places["source catalog"][1])
    return {**dict.fromkeys(read, False), wanted.places["catalog"][1]: True}


def bindings(wanted: Wanted, found: Found) -> Iterator[Step]:
    """The target's own catalog is bound to this workspace for writing, those that it reads at least for reading."""
    for name, writes in _used(wanted).items():
        there = found.securables.get(("catalog", name))
        if there is None or isinstance(there, Unread):
            continue
        close = writes and not wanted.personal
        bound = found.bindings.get(name, {})
        mode = "BINDING_TYPE_READ_WRITE" if writes else "BINDING_TYPE_READ_ONLY"
        enough = {mode, "BINDING_TYPE_READ_WRITE"}
        if (close or there.isolated) and (isinstance(bound, Unread) or bound.get(found.workspace_id) not in enough):
            yield _bind(name, found.workspace_id, mode, bound.why if isinstance(bound, Unread) else "")
        if close and not there.isolated:
            yield Step(
                f"only workspaces that catalog {name} is bound to see it; bind every one that uses it first",
                f"databricks catalogs update {name} --isolation-mode ISOLATED",
                "shell",
                "owner of the catalog, or metastore admin",
                f"databricks catalogs update {name} --isolation-mode OPEN",
            )


def ownership(wanted: Wanted, found: Found) -> Iterator[Step]:
    """The model belongs to whom the bundle gives it: a deployment sets it, and a person may have changed it since."""
    name = wanted.places["model"][1]
    there = found.securables.get(wanted.places["model"])
    if wanted.owner and isinstance(there, Securable) and there.owner != wanted.owner:
        call = f"databricks registered-models update {name} --owner "
        yield Step(
            f"model {name} belongs to {there.owner}, the bundle gives it to {wanted.owner}",
            call + shlex.quote(wanted.owner),
            "shell",
            "owner of the model, or metastore admin",
            call + shlex.quote(there.owner),
        )


def _bind(catalog: str, workspace: int, mode: str, unsure: str) -> Step:
    add = {"add": [{"workspace_id": workspace, "binding_type": mode}]}
    drop = {"remove": [{"workspace_id": workspace, "binding_type": mode}]}
    call = f"databricks workspace-bindings update-bindings catalog {catalog} --json "
    return Step(
        f"catalog {catalog} is bound to this workspace ({'read-only' if mode.endswith('ONLY') else 'read and write'})",
        call + shlex.quote(json.dumps(add)),
        "shell",
        "owner of the catalog, or metastore admin",
        call + shlex.quote(json.dumps(drop)),
        unsure,
    )


def grants(wanted: Wanted, found: Found, later: list[str]) -> Iterator[Step]:
    """Privileges that the bundle does not grant itself; on what is not there yet they are noted for later."""
    for need in wanted.needs():
        there = found.securables.get((need.kind, need.name))
        if need.who.startswith(UNSET) or (there is None and (need.kind, need.name) != wanted.places["catalog"]):
            later.append(f"{need.privilege} on {need.kind} {need.name} for {need.who}")
            continue
        held = found.holds(need.kind, need.name, need.who, need.privilege)
        if held is not True:
            yield _grant(need, held.why if isinstance(held, Unread) else "")


def _grant(need: Need, unsure: str) -> Step:
    privilege, on = need.privilege.replace("_", " "), f"{need.kind.upper()} {_path(need.name)}"
    return Step(
        f"{need.why}",
        f"GRANT {privilege} ON {on} TO {_quoted(need.who)};",
        "sql",
        _GRANTER[need.kind],
        f"REVOKE {privilege} ON {on} FROM {_quoted(need.who)};",
        unsure,
    )


_GRANTER: dict[Kind, str] = {
    "catalog": "owner of the catalog, MANAGE on it, or metastore admin",
    "schema": "owner of the schema or catalog, or MANAGE on one of them",
    "volume": "owner of the volume, schema or catalog, or MANAGE on one of them",
    "function": "owner of the model, schema or catalog, or MANAGE on one of them",
}


def _path(name: str) -> str:
    return ".".join(_quoted(part) for part in name.split("."))


def _quoted(name: str) -> str:
    return f"`{name}`"
