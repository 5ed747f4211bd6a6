"""Lists the setup steps for catalogs and for the rights that a bundle cannot grant."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator

from mlops_cli.workspace.requirements import UNSET, RequiredGrant, TargetRequirements
from mlops_cli.workspace.state import Kind, Securable, Unreadable, WorkspaceState, unread_reason
from mlops_cli.workspace.steps import SetupStep

_METASTORE_OWNER = "owner of the catalog, or metastore admin"


def catalog_steps(needs: TargetRequirements, state: WorkspaceState, later: list[str]) -> Iterator[SetupStep]:
    """List the steps for the catalog that the target writes to; other catalogs have other owners."""
    for name, writes in _catalogs_used(needs).items():
        catalog, quoted = state.securables.get(("catalog", name)), _quote_name(name)
        if catalog is None and not writes:
            later.append(f"catalog {name}, which target {needs.target} reads: whoever writes there makes it")
        elif writes and not isinstance(catalog, Securable):
            yield SetupStep(
                f"no catalog {name} that you may see; target {needs.target} writes there",
                f"CREATE CATALOG IF NOT EXISTS {quoted};",
                "CREATE CATALOG on the metastore; add MANAGED LOCATION if the metastore has no storage",
                f"DROP CATALOG {quoted};",
                unread_reason(catalog),
                "sql",
            )
        elif isinstance(catalog, Securable) and writes and "@" in catalog.owner and needs.owner:
            yield SetupStep(
                f"catalog {name} belongs to {catalog.owner}, a person: a group outlives one",
                f"ALTER CATALOG {quoted} OWNER TO {_quote_name(needs.owner)};",
                _METASTORE_OWNER,
                f"ALTER CATALOG {quoted} OWNER TO {_quote_name(catalog.owner)};",
                language="sql",
            )


def _catalogs_used(needs: TargetRequirements) -> dict[str, bool]:
    """Return the catalogs of the target, and whether the target writes to each."""
    read = (needs.securable_names["data catalog"][1], needs.securable_names["source catalog"][1])
    return {**dict.fromkeys(read, False), needs.securable_names["catalog"][1]: True}


def list_binding_steps(needs: TargetRequirements, state: WorkspaceState) -> Iterator[SetupStep]:
    """List the steps that bind the target's catalog to this workspace for writing, and other catalogs for reading."""
    for name, writes in _catalogs_used(needs).items():
        catalog = state.securables.get(("catalog", name))
        if not isinstance(catalog, Securable):
            continue
        isolate = writes and not needs.is_personal
        bound = state.bindings.get(name, {})
        mode = "BINDING_TYPE_READ_WRITE" if writes else "BINDING_TYPE_READ_ONLY"
        enough = {mode, "BINDING_TYPE_READ_WRITE"}
        lacking = isinstance(bound, Unreadable) or bound.get(state.workspace_id) not in enough
        if (isolate or catalog.isolated) and lacking:
            yield _bind_step(name, state.workspace_id, mode, unread_reason(bound))
        if isolate and not catalog.isolated:
            update = f"databricks catalogs update {name} --isolation-mode "
            what = f"only workspaces that catalog {name} is bound to see it; bind every one that uses it first"
            yield SetupStep(what, f"{update}ISOLATED", _METASTORE_OWNER, f"{update}OPEN")


def ownership_steps(needs: TargetRequirements, state: WorkspaceState) -> Iterator[SetupStep]:
    """List the step that makes the bundle's owner own the model again, if a person has changed it."""
    kind, name = needs.securable_names["model"]
    model = state.securables.get((kind, name))
    if needs.owner and isinstance(model, Securable) and model.owner != needs.owner:
        what = f"model {name} belongs to {model.owner}, the bundle gives it to {needs.owner}"
        call = f"databricks registered-models update {name} --owner "
        right, undo = "owner of the model, or metastore admin", call + shlex.quote(model.owner)
        yield SetupStep(what, call + shlex.quote(needs.owner), right, undo)


def _bind_step(catalog: str, workspace: int, mode: str, unsure: str) -> SetupStep:
    binding = [{"workspace_id": workspace, "binding_type": mode}]
    call = f"databricks workspace-bindings update-bindings catalog {catalog} --json "
    command, undo = (call + shlex.quote(json.dumps({verb: binding})) for verb in ("add", "remove"))
    reach = "read-only" if mode.endswith("ONLY") else "read and write"
    return SetupStep(f"catalog {catalog} is bound to this workspace ({reach})", command, _METASTORE_OWNER, undo, unsure)


def grant_steps(needs: TargetRequirements, state: WorkspaceState, later: list[str]) -> Iterator[SetupStep]:
    """List the steps that grant privileges which the bundle does not grant; on missing objects they are for later."""
    for grant in needs.grants_needed():
        securable = (grant.kind, grant.name)
        absent = state.securables.get(securable) is None and securable != needs.securable_names["catalog"]
        if grant.who.startswith(UNSET) or absent:
            later.append(f"{grant.privilege} on {grant.kind} {grant.name} for {grant.who}")
            continue
        held = state.has_privilege(*securable, grant.who, grant.privilege)
        if held is not True:
            yield _grant_step(grant, unread_reason(held))


def _grant_step(grant: RequiredGrant, unsure: str) -> SetupStep:
    on = f"{grant.kind.upper()} {'.'.join(map(_quote_name, grant.name.split('.')))}"
    privilege, who = grant.privilege.replace("_", " "), _quote_name(grant.who)
    command, undo = f"GRANT {privilege} ON {on} TO {who};", f"REVOKE {privilege} ON {on} FROM {who};"
    return SetupStep(grant.why, command, _GRANTER[grant.kind], undo, unsure, "sql")


_GRANTER: dict[Kind, str] = {
    "catalog": "owner of the catalog, MANAGE on it, or metastore admin",
    "schema": "owner of the schema or catalog, or MANAGE on one of them",
    "volume": "owner of the volume, schema or catalog, or MANAGE on one of them",
    "function": "owner of the model, schema or catalog, or MANAGE on one of them",
}


def _quote_name(name: str) -> str:
    return f"`{name}`"
