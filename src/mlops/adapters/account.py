"""What is there in a workspace and its account: everything that `mlops bootstrap` and `mlops doctor` ask, read only.

A refusal (403) becomes Unread, an absence (404) None: the two have different cures. Grants are read as plain JSON,
because the SDK drops every privilege that it does not know, CREATE_MODEL_VERSION among them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from mlops.adapters import sdk
from mlops.contract import MlopsError
from mlops.workspace.doctor import Login
from mlops.workspace.found import Found, Kind, Policy, Principal, RuleSet, Securable, Unread
from mlops.workspace.identities import display
from mlops.workspace.wanted import UNSET, Identity, Wanted

if TYPE_CHECKING:
    from databricks.sdk import WorkspaceClient

_UC = "/api/2.1/unity-catalog"
_VERSION = re.compile(r"/databricks_ml_v(\d+)$")
_FOLDERS: dict[Kind, str] = {"catalog": "catalogs", "schema": "schemas", "volume": "volumes", "function": "models"}


def read(wanted: Wanted, account_id: str | None = None) -> Found:
    """Look at everything that a target needs.

    Args:
        wanted: the target.
        account_id: of Databricks; None: as the workspace says.

    Raises:
        ConfigError: no way to log in is configured.
        MlopsError: the workspace does not answer, or does not know who asks.
    """
    client = sdk.workspace()
    with sdk.told("asking the workspace who you are"):
        me = _principal(client.current_user.me().as_dict())
        workspace_id = client.get_workspace_id()
    account = account_id or client.config.account_id or ""
    principals = {i.name: _known(client, me, wanted, i) for i in wanted.identities}
    securables, privileges = _securables(client, wanted)
    services = {i.name: principals[i.name] for i in wanted.identities if i.kind == "service principal"}
    there = {name: who for name, who in services.items() if isinstance(who, Principal)}
    return Found(
        host=client.config.host or "",
        workspace_id=workspace_id,
        account_id=account,
        me=me,
        principals=principals,
        securables=securables,
        privileges=privileges,
        bindings={n: _bindings(client, n) for kind, n in securables if kind == "catalog" and securables[kind, n]},
        policies={name: _policies(account, who) for name, who in there.items()},
        rule_sets={name: _rule_set(client, account, name) for name in there},
    )


def _tried[T](doing: str, call: Callable[[], T]) -> T | Unread | None:
    """What a call answers; None where it says that there is nothing, Unread where it refuses."""
    from databricks.sdk.errors import BadRequest, NotFound, PermissionDenied

    try:
        with sdk.told(doing):
            try:
                return call()
            except NotFound:
                return None
            except (PermissionDenied, BadRequest) as error:
                return Unread(sdk.said(error))
    except MlopsError as error:
        return Unread(str(error))


# --- identities ------------------------------------------------------------------------------------------------------


def _principal(document: dict[str, Any]) -> Principal:
    return Principal(
        name=str(document.get("applicationId") or document.get("userName") or document.get("displayName", "")),
        id=str(document.get("id", "")),
        groups=frozenset(str(group.get("display", "")) for group in document.get("groups", ())),
        local=document.get("meta", {}).get("resourceType") == "WorkspaceGroup",
    )


def _known(client: WorkspaceClient, me: Principal, wanted: Wanted, identity: Identity) -> Principal | Unread | None:
    match identity.kind:
        case _ if identity.name == me.name:
            return me
        case "group":
            return _group(client, identity.name)
        case "service principal" if identity.name.startswith(UNSET):
            return _service_principal(client, "displayName", display(wanted, identity))
        case "service principal":
            return _service_principal(client, "applicationId", identity.name)
        case _:
            return None


def _service_principal(client: WorkspaceClient, attribute: str, name: str) -> Principal | Unread | None:
    def call() -> Principal | None:
        return _first(client.service_principals.list(filter=f'{attribute} eq "{name}"'))

    return _tried(f"looking for service principal {name}", call)


def _group(client: WorkspaceClient, name: str) -> Principal | Unread | None:
    return _tried(f"looking for group {name}", lambda: _first(client.groups.list(filter=f'displayName eq "{name}"')))


def _first(found: Iterable[Any]) -> Principal | None:
    return next((_principal(entry.as_dict()) for entry in found), None)


def _policies(account_id: str, who: Principal) -> tuple[Policy, ...] | Unread:
    def call() -> tuple[Policy, ...]:
        policies = sdk.account(account_id).service_principal_federation_policy.list(int(who.id))
        oidc = [policy.oidc_policy for policy in policies if policy.oidc_policy]
        return tuple(Policy(policy.issuer or "", policy.subject or "") for policy in oidc)

    if not account_id:
        return Unread("the workspace does not say which account it belongs to: give --account-id")
    return _tried(f"reading what {who.name} trusts", call) or ()


def _rule_set(client: WorkspaceClient, account_id: str, name: str) -> RuleSet | Unread:
    def call() -> RuleSet:
        resource = f"accounts/{account_id}/servicePrincipals/{name}/ruleSets/default"
        found = client.account_access_control_proxy.get_rule_set(resource, etag="")
        rules = tuple((rule.role, tuple(rule.principals or ())) for rule in found.grant_rules or ())
        return RuleSet(found.etag, rules)

    return _tried(f"reading who may act as {name}", call) or RuleSet("", ())


# --- catalogs and rights ---------------------------------------------------------------------------------------------


def _securables(
    client: WorkspaceClient, wanted: Wanted
) -> tuple[
    dict[tuple[Kind, str], Securable | Unread | None],
    dict[tuple[Kind, str], dict[str, frozenset[str]] | Unread],
]:
    securables: dict[tuple[Kind, str], Securable | Unread | None] = {}
    privileges: dict[tuple[Kind, str], dict[str, frozenset[str]] | Unread] = {}
    for kind, name in dict.fromkeys(wanted.places.values()):
        securables[kind, name] = _securable(client, kind, name)
        if securables[kind, name] is not None:
            privileges[kind, name] = _privileges(client, kind, name)
    return securables, privileges


def _securable(client: WorkspaceClient, kind: Kind, name: str) -> Securable | Unread | None:
    def call() -> Securable:
        found = _get(client, f"{_UC}/{_FOLDERS[kind]}/{name}")
        return Securable(str(found.get("owner", "")), found.get("isolation_mode") == "ISOLATED")

    return _tried(f"looking for {kind} {name}", call)


def _privileges(client: WorkspaceClient, kind: Kind, name: str) -> dict[str, frozenset[str]] | Unread:
    def call() -> dict[str, frozenset[str]]:
        held: dict[str, frozenset[str]] = {}
        query: dict[str, Any] = {"max_results": 0}
        while True:
            page = _get(client, f"{_UC}/effective-permissions/{kind}/{name}", query)
            for row in page.get("privilege_assignments", ()):
                given = frozenset(str(p["privilege"]) for p in row.get("privileges", ()))
                held[row["principal"]] = held.get(row["principal"], frozenset()) | given
            if not page.get("next_page_token"):
                return held
            query["page_token"] = page["next_page_token"]

    return _tried(f"reading the grants on {kind} {name}", call) or {}


def _bindings(client: WorkspaceClient, catalog: str) -> dict[int, str] | Unread:
    def call() -> dict[int, str]:
        found = client.workspace_bindings.get_bindings("catalog", catalog)
        return {b.workspace_id: b.binding_type.value for b in found if b.workspace_id and b.binding_type}

    return _tried(f"reading which workspaces catalog {catalog} is bound to", call) or {}


def _get(client: WorkspaceClient, path: str, query: dict[str, Any] | None = None) -> dict[str, Any]:
    answer: dict[str, Any] = client.api_client.do("GET", path, query=query, headers={"Accept": "application/json"})
    return answer


# --- for the doctor --------------------------------------------------------------------------------------------------


def metastore() -> bool | Unread:
    """Whether the workspace has one, and with it Unity Catalog."""
    client = sdk.workspace()
    answer = _tried("reading the metastore", client.metastores.current)
    return answer if isinstance(answer, Unread) else answer is not None


def environments() -> tuple[int, ...] | Unread:
    """Versions of the environments that serverless compute offers, as their names tell: databricks_ml_v6."""

    def call() -> tuple[int, ...]:
        names = [e.name or "" for e in sdk.workspace().environments.list_workspace_base_environments()]
        return tuple(sorted({int(found[1]) for found in map(_VERSION.search, names) if found}))

    answer = _tried("reading the environments of serverless compute", call)
    return Unread("there is no such API here") if answer is None else answer


def secrets(found: Found) -> dict[str, tuple[str, ...] | Unread]:
    """Ids of the client secrets of each service principal that was found, by its SCIM id."""
    client = sdk.workspace()
    answers: dict[str, tuple[str, ...] | Unread] = {}
    for who in found.policies:
        principal = found.principal(who)
        if principal is not None:
            answers[principal.id] = _secrets(client, principal.id)
    return answers


def _secrets(client: WorkspaceClient, principal: str) -> tuple[str, ...] | Unread:
    def call() -> tuple[str, ...]:
        return tuple(secret.id or "" for secret in client.service_principal_secrets_proxy.list(principal))

    return _tried(f"reading the secrets of service principal {principal}", call) or ()


def login() -> Login:
    """Who is logged in.

    Raises:
        ConfigError: nobody: no way to log in is configured.
        MlopsError: the workspace does not answer, or does not know who asks.
    """
    client = sdk.workspace()
    with sdk.told("asking the workspace who you are"):
        name = client.current_user.me().user_name or ""
    return Login(name, client.config.host or "", client.config.auth_type or "")
