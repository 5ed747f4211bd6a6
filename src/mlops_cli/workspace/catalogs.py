"""What has to be there before the first deployment, and the rights that a bundle cannot grant."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator

from mlops_cli.workspace.requirements import UNSET, RequiredGrant, TargetRequirements
from mlops_cli.workspace.state import Kind, Securable, Unreadable, WorkspaceState
from mlops_cli.workspace.steps import SetupStep


def catalog_steps(wanted: TargetRequirements, found: WorkspaceState, later: list[str]) -> Iterator[SetupStep]:
    """The catalog that the target writes to, and that a group owns it; those that it only reads are others' to make."""
    for name, writes in _catalogs_used(wanted).items():
        there = found.securables.get(("catalog", name))
        if there is None and not writes:
            later.append(f"catalog {name}, which target {wanted.target} reads: whoever writes there makes it")
        elif writes and (there is None or isinstance(there, Unreadable)):
            yield SetupStep(
                f"no catalog {name} that you may see; target {wanted.target} writes there",
                f"CREATE CATALOG IF NOT EXISTS {_quote_name(name)};",
                "sql",
                "CREATE CATALOG on the metastore; add MANAGED LOCATION if the metastore has no storage",
                f"DROP CATALOG {_quote_name(name)};",
                there.why if isinstance(there, Unreadable) else "",
            )
        elif isinstance(there, Securable) and writes and "@" in there.owner and wanted.owner and not wanted.is_personal:
            yield SetupStep(
                f"catalog {name} belongs to {there.owner}, a person: a group outlives one",
                f"ALTER CATALOG {_quote_name(name)} OWNER TO {_quote_name(wanted.owner)};",
                "sql",
                "owner of the catalog, or metastore admin",
                f"ALTER CATALOG {_quote_name(name)} OWNER TO {_quote_name(there.owner)};",
            )


def _catalogs_used(wanted: TargetRequirements) -> dict[str, bool]:
    """The catalogs of the target, and whether it writes there."""
    read = (wanted.securable_names["data catalog"][1], wanted.securable_names["source catalog"][1])
    return {**dict.fromkeys(read, False), wanted.securable_names["catalog"][1]: True}


def list_binding_steps(wanted: TargetRequirements, found: WorkspaceState) -> Iterator[SetupStep]:
    """The target's own catalog is bound to this workspace for writing, those that it reads at least for reading."""
    for name, writes in _catalogs_used(wanted).items():
        there = found.securables.get(("catalog", name))
        if there is None or isinstance(there, Unreadable):
            continue
        close = writes and not wanted.is_personal
        bound = found.bindings.get(name, {})
        mode = "BINDING_TYPE_READ_WRITE" if writes else "BINDING_TYPE_READ_ONLY"
        enough = {mode, "BINDING_TYPE_READ_WRITE"}
        if (close or there.isolated) and (isinstance(bound, Unreadable) or bound.get(found.workspace_id) not in enough):
            yield _bind_step(name, found.workspace_id, mode, bound.why if isinstance(bound, Unreadable) else "")
        if close and not there.isolated:
            yield SetupStep(
                f"only workspaces that catalog {name} is bound to see it; bind every one that uses it first",
                f"databricks catalogs update {name} --isolation-mode ISOLATED",
                "shell",
                "owner of the catalog, or metastore admin",
                f"databricks catalogs update {name} --isolation-mode OPEN",
            )


def ownership_steps(wanted: TargetRequirements, found: WorkspaceState) -> Iterator[SetupStep]:
    """The model belongs to whom the bundle gives it: a deployment sets it, and a person may have changed it since."""
    name = wanted.securable_names["model"][1]
    there = found.securables.get(wanted.securable_names["model"])
    if wanted.owner and isinstance(there, Securable) and there.owner != wanted.owner:
        call = f"databricks registered-models update {name} --owner "
        yield SetupStep(
            f"model {name} belongs to {there.owner}, the bundle gives it to {wanted.owner}",
            call + shlex.quote(wanted.owner),
            "shell",
            "owner of the model, or metastore admin",
            call + shlex.quote(there.owner),
        )


def _bind_step(catalog: str, workspace: int, mode: str, unsure: str) -> SetupStep:
    add = {"add": [{"workspace_id": workspace, "binding_type": mode}]}
    drop = {"remove": [{"workspace_id": workspace, "binding_type": mode}]}
    call = f"databricks workspace-bindings update-bindings catalog {catalog} --json "
    return SetupStep(
        f"catalog {catalog} is bound to this workspace ({'read-only' if mode.endswith('ONLY') else 'read and write'})",
        call + shlex.quote(json.dumps(add)),
        "shell",
        "owner of the catalog, or metastore admin",
        call + shlex.quote(json.dumps(drop)),
        unsure,
    )


def grant_steps(wanted: TargetRequirements, found: WorkspaceState, later: list[str]) -> Iterator[SetupStep]:
    """Privileges that the bundle does not grant itself; on what is not there yet they are noted for later."""
    for need in wanted.grants_needed():
        there = found.securables.get((need.kind, need.name))
        if need.who.startswith(UNSET) or (
            there is None and (need.kind, need.name) != wanted.securable_names["catalog"]
        ):
            later.append(f"{need.privilege} on {need.kind} {need.name} for {need.who}")
            continue
        held = found.has_privilege(need.kind, need.name, need.who, need.privilege)
        if held is not True:
            yield _grant_step(need, held.why if isinstance(held, Unreadable) else "")


def _grant_step(need: RequiredGrant, unsure: str) -> SetupStep:
    privilege, on = need.privilege.replace("_", " "), f"{need.kind.upper()} {_quote_path(need.name)}"
    return SetupStep(
        f"{need.why}",
        f"GRANT {privilege} ON {on} TO {_quote_name(need.who)};",
        "sql",
        _GRANTER[need.kind],
        f"REVOKE {privilege} ON {on} FROM {_quote_name(need.who)};",
        unsure,
    )


_GRANTER: dict[Kind, str] = {
    "catalog": "owner of the catalog, MANAGE on it, or metastore admin",
    "schema": "owner of the schema or catalog, or MANAGE on one of them",
    "volume": "owner of the volume, schema or catalog, or MANAGE on one of them",
    "function": "owner of the model, schema or catalog, or MANAGE on one of them",
}


def _quote_path(name: str) -> str:
    return ".".join(_quote_name(part) for part in name.split("."))


def _quote_name(name: str) -> str:
    return f"`{name}`"
