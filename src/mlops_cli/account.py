"""Reads what `mlops bootstrap` and `mlops doctor` need to know of a workspace and its account; writes nothing.

A refusal (403) becomes Unreadable, an absence (404) None, since the two have different cures. Grants are read as plain
JSON, because the SDK drops every privilege that it does not know, CREATE_MODEL_VERSION among them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from mlops.contract import MlopsError
from mlops.platform import sdk
from mlops_cli.workspace.doctor import Login
from mlops_cli.workspace.identities import display_name
from mlops_cli.workspace.requirements import UNSET, Identity, TargetRequirements
from mlops_cli.workspace.state import FederationPolicy, Kind, Principal, RuleSet, Securable, Unreadable, WorkspaceState

if TYPE_CHECKING:
    from databricks.sdk import WorkspaceClient

_UC = "/api/2.1/unity-catalog"
_VERSION = re.compile(r"/databricks_ml_v(\d+)$")
_FOLDERS: dict[Kind, str] = {"catalog": "catalogs", "schema": "schemas", "volume": "volumes", "function": "models"}


def read_state(needs: TargetRequirements, account_id: str | None = None) -> WorkspaceState:
    """Read the state of everything that a target needs.

    Args:
        needs: of the target.
        account_id: of Databricks; None: as the workspace says.

    Raises:
        ConfigError: no way to log in is configured.
        MlopsError: the workspace does not answer, or does not know who asks.
    """
    client = sdk.workspace_client()
    with sdk.translate_errors("asking the workspace who you are"):
        me = _to_principal(client.current_user.me().as_dict())
        workspace_id = client.get_workspace_id()
    account = account_id or client.config.account_id or ""
    principals = {i.name: _find_identity(client, me, needs, i) for i in needs.identities}
    securables, privileges = _read_securables(client, needs)
    services = {i.name: principals[i.name] for i in needs.identities if i.kind == "service principal"}
    there = {name: who for name, who in services.items() if isinstance(who, Principal)}
    return WorkspaceState(
        host=client.config.host or "",
        workspace_id=workspace_id,
        account_id=account,
        me=me,
        principals=principals,
        securables=securables,
        privileges=privileges,
        bindings={n: _read_bindings(client, n) for kind, n in securables if kind == "catalog" and securables[kind, n]},
        policies={name: _read_policies(account, who) for name, who in there.items()},
        rule_sets={name: _rule_set(client, account, name) for name in there},
    )


def _try_call[T](doing: str, call: Callable[[], T]) -> T | Unreadable | None:
    """The result of a call; None if there is nothing, Unreadable if it is refused."""
    from databricks.sdk.errors import BadRequest, NotFound, PermissionDenied

    try:
        with sdk.translate_errors(doing):
            try:
                return call()
            except NotFound:
                return None
            except (PermissionDenied, BadRequest) as error:
                return Unreadable(sdk.error_message(error))
    except MlopsError as error:
        return Unreadable(str(error))


# --- identities ------------------------------------------------------------------------------------------------------


def _to_principal(document: dict[str, Any]) -> Principal:
    return Principal(
        name=str(document.get("applicationId") or document.get("userName") or document.get("displayName", "")),
        id=str(document.get("id", "")),
        groups=frozenset(str(group.get("display", "")) for group in document.get("groups", ())),
        local=document.get("meta", {}).get("resourceType") == "WorkspaceGroup",
    )


def _find_identity(
    client: WorkspaceClient, me: Principal, needs: TargetRequirements, identity: Identity
) -> Principal | Unreadable | None:
    match identity.kind:
        case _ if identity.name == me.name:
            return me
        case "group":
            return _find_group(client, identity.name)
        case "service principal" if identity.name.startswith(UNSET):
            return _service_principal(client, "displayName", display_name(needs, identity))
        case "service principal":
            return _service_principal(client, "applicationId", identity.name)
        case _:
            return None


def _service_principal(client: WorkspaceClient, attribute: str, name: str) -> Principal | Unreadable | None:
    def call() -> Principal | None:
        return _first_principal(client.service_principals.list(filter=f'{attribute} eq "{name}"'))

    return _try_call(f"looking for service principal {name}", call)


def _find_group(client: WorkspaceClient, name: str) -> Principal | Unreadable | None:
    return _try_call(
        f"looking for group {name}", lambda: _first_principal(client.groups.list(filter=f'displayName eq "{name}"'))
    )


def _first_principal(entries: Iterable[Any]) -> Principal | None:
    return next((_to_principal(entry.as_dict()) for entry in entries), None)


def _read_policies(account_id: str, who: Principal) -> tuple[FederationPolicy, ...] | Unreadable:
    def call() -> tuple[FederationPolicy, ...]:
        policies = sdk.account_client(account_id).service_principal_federation_policy.list(int(who.id))
        oidc = [policy.oidc_policy for policy in policies if policy.oidc_policy]
        return tuple(FederationPolicy(policy.issuer or "", policy.subject or "") for policy in oidc)

    if not account_id:
        return Unreadable("the workspace does not say which account it belongs to: give --account-id")
    return _try_call(f"reading what {who.name} trusts", call) or ()


def _rule_set(client: WorkspaceClient, account_id: str, name: str) -> RuleSet | Unreadable:
    def call() -> RuleSet:
        resource = f"accounts/{account_id}/servicePrincipals/{name}/ruleSets/default"
        rule_set = client.account_access_control_proxy.get_rule_set(resource, etag="")
        rules = tuple((rule.role, tuple(rule.principals or ())) for rule in rule_set.grant_rules or ())
        return RuleSet(rule_set.etag, rules)

    return _try_call(f"reading who may act as {name}", call) or RuleSet("", ())


# --- catalogs and rights ---------------------------------------------------------------------------------------------


def _read_securables(
    client: WorkspaceClient, needs: TargetRequirements
) -> tuple[
    dict[tuple[Kind, str], Securable | Unreadable | None],
    dict[tuple[Kind, str], dict[str, frozenset[str]] | Unreadable],
]:
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

    return _try_call(f"looking for {kind} {name}", call)


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

    return _try_call(f"reading the grants on {kind} {name}", call) or {}


def _read_bindings(client: WorkspaceClient, catalog: str) -> dict[int, str] | Unreadable:
    def call() -> dict[int, str]:
        bindings = client.workspace_bindings.get_bindings("catalog", catalog)
        return {b.workspace_id: b.binding_type.value for b in bindings if b.workspace_id and b.binding_type}

    return _try_call(f"reading which workspaces catalog {catalog} is bound to", call) or {}


def _get_json(client: WorkspaceClient, path: str, query: dict[str, Any] | None = None) -> dict[str, Any]:
    answer: dict[str, Any] = client.api_client.do("GET", path, query=query, headers={"Accept": "application/json"})
    return answer


# --- for the doctor --------------------------------------------------------------------------------------------------


def has_metastore() -> bool | Unreadable:
    """Whether the workspace has one, and with it Unity Catalog."""
    client = sdk.workspace_client()
    answer = _try_call("reading the metastore", client.metastores.current)
    return answer if isinstance(answer, Unreadable) else answer is not None


def list_environments() -> tuple[int, ...] | Unreadable:
    """Versions of the environments that serverless compute offers, as their names tell: databricks_ml_v6."""

    def call() -> tuple[int, ...]:
        names = [e.name or "" for e in sdk.workspace_client().environments.list_workspace_base_environments()]
        return tuple(sorted({int(match[1]) for match in map(_VERSION.search, names) if match}))

    answer = _try_call("reading the environments of serverless compute", call)
    return Unreadable("there is no such API here") if answer is None else answer


def list_secrets(state: WorkspaceState) -> dict[str, tuple[str, ...] | Unreadable]:
    """Ids of the client secrets of each service principal, by the SCIM id of the principal."""
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

    return _try_call(f"reading the secrets of service principal {principal}", call) or ()


def read_login() -> Login:
    """Read who is logged in.

    Raises:
        ConfigError: nobody is, since no way to log in is configured.
        MlopsError: the workspace does not answer, or does not know who asks.
    """
    client = sdk.workspace_client()
    with sdk.translate_errors("asking the workspace who you are"):
        name = client.current_user.me().user_name or ""
    return Login(name, client.config.host or "", client.config.auth_type or "")
