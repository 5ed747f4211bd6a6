"""Reads the facts of a workspace that only `mlops doctor` needs."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from mlops.platform import sdk
from mlops_cli.workspace.doctor import Login
from mlops_cli.workspace.state import Unreadable, WorkspaceState

if TYPE_CHECKING:
    from databricks.sdk import WorkspaceClient
from mlops_cli.workspace.calls import try_call

_VERSION = re.compile(r"/databricks_ml_v(\d+)$")


def has_metastore() -> bool | Unreadable:
    """Whether the workspace has a metastore, and so Unity Catalog."""
    client = sdk.workspace_client()
    answer = try_call("reading the metastore", client.metastores.current)
    return answer if isinstance(answer, Unreadable) else answer is not None


def list_environments() -> tuple[int, ...] | Unreadable:
    """List the versions of the environments of serverless compute, from names such as databricks_ml_v6."""

    def call() -> tuple[int, ...]:
        names = [e.name or "" for e in sdk.workspace_client().environments.list_workspace_base_environments()]
        return tuple(sorted({int(match[1]) for match in map(_VERSION.search, names) if match}))

    answer = try_call("reading the environments of serverless compute", call)
    return Unreadable("there is no such API here") if answer is None else answer


def list_secrets(state: WorkspaceState) -> dict[str, tuple[str, ...] | Unreadable]:
    """List the ids of the client secrets of each service principal, by the principal's SCIM id."""
    client = sdk.workspace_client()
    answers: dict[str, tuple[str, ...] | Unreadable] = {}
    for who in state.policies:
        principal = state.find_principal(who)
        if principal is not None:
            answers[principal.id] = _read_secrets(client, principal.id)
    return answers


def _read_secrets(client: WorkspaceClient, principal: str) -> tuple[str, ...] | Unreadable:
    def call() -> tuple[str, ...]:
        return tuple(secret.id or "" for secret in client.service_principal_secrets_proxy.list(principal))

    return try_call(f"reading the secrets of service principal {principal}", call) or ()


def read_login() -> Login:
    """Read who is logged in.

    Raises:
        ConfigError: no way to log in is configured.
        MlopsError: the workspace does not answer, or refuses the login.
    """
    client = sdk.workspace_client()
    with sdk.translate_errors("asking the workspace who you are"):
        name = client.current_user.me().user_name or ""
    return Login(name, client.config.host or "", client.config.auth_type or "")
