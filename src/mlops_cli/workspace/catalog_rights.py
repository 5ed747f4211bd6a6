"""Reads catalogs, schemas, volumes and models of a target, and who holds which privileges on them.

Grants are read as plain JSON, because the SDK drops every privilege that it does not know, CREATE_MODEL_VERSION among
them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlops_cli.workspace.requirements import TargetRequirements
from mlops_cli.workspace.state import Kind, Securable, Unreadable

if TYPE_CHECKING:
    from databricks.sdk import WorkspaceClient
from mlops_cli.workspace.calls import try_call

_UC = "/api/2.1/unity-catalog"
_FOLDERS: dict[Kind, str] = {"catalog": "catalogs", "schema": "schemas", "volume": "volumes", "function": "models"}


def read_securables(
    client: WorkspaceClient, needs: TargetRequirements
) -> tuple[
    dict[tuple[Kind, str], Securable | Unreadable | None],
    dict[tuple[Kind, str], dict[str, frozenset[str]] | Unreadable],
]:
    """Read each securable of a target and the privileges on it, by kind and name."""
    securables: dict[tuple[Kind, str], Securable | Unreadable | None] = {}
    privileges: dict[tuple[Kind, str], dict[str, frozenset[str]] | Unreadable] = {}
    for kind, name in dict.fromkeys(needs.securable_names.values()):
        securables[kind, name] = _read_securable(client, kind, name)
        if securables[kind, name] is not None:
            privileges[kind, name] = _read_privileges(client, kind, name)
    return securables, privileges


def _read_securable(client: WorkspaceClient, kind: Kind, name: str) -> Securable | Unreadable | None:
    def call() -> Securable:
        securable = _get_json(client, f"{_UC}/{_FOLDERS[kind]}/{name}")
        return Securable(str(securable.get("owner", "")), securable.get("isolation_mode") == "ISOLATED")

    return try_call(f"looking for {kind} {name}", call)


def _read_privileges(client: WorkspaceClient, kind: Kind, name: str) -> dict[str, frozenset[str]] | Unreadable:
    def call() -> dict[str, frozenset[str]]:
        held: dict[str, frozenset[str]] = {}
        query: dict[str, Any] = {"max_results": 0}
        while True:
            page = _get_json(client, f"{_UC}/effective-permissions/{kind}/{name}", query)
            for row in page.get("privilege_assignments", ()):
                given = frozenset(str(p["privilege"]) for p in row.get("privileges", ()))
                held[row["principal"]] = held.get(row["principal"], frozenset()) | given
            if not page.get("next_page_token"):
                return held
            query["page_token"] = page["next_page_token"]

    return try_call(f"reading the grants on {kind} {name}", call) or {}


def read_bindings(client: WorkspaceClient, catalog: str) -> dict[int, str] | Unreadable:
    """Read which workspaces a catalog is bound to: type of the binding by workspace id."""

    def call() -> dict[int, str]:
        bindings = client.workspace_bindings.get_bindings("catalog", catalog)
        return {b.workspace_id: b.binding_type.value for b in bindings if b.workspace_id and b.binding_type}

    return try_call(f"reading which workspaces catalog {catalog} is bound to", call) or {}


def _get_json(client: WorkspaceClient, path: str, query: dict[str, Any] | None = None) -> dict[str, Any]:
    answer: dict[str, Any] = client.api_client.do("GET", path, query=query, headers={"Accept": "application/json"})
    return answer
