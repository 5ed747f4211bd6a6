"""Reads the state of a workspace and of the identities of its account for `mlops bootstrap`; writes nothing."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from mlops.platform import sdk
from mlops_cli.workspace.identities import display_name
from mlops_cli.workspace.requirements import UNSET, Identity, TargetRequirements
from mlops_cli.workspace.state import FederationPolicy, Principal, RuleSet, Unreadable, WorkspaceState

if TYPE_CHECKING:
    from databricks.sdk import WorkspaceClient
from mlops_cli.workspace.calls import try_call
from mlops_cli.workspace.catalog_rights import read_bindings, read_securables


def read_state(needs: TargetRequirements, account_id: str | None = None) -> WorkspaceState:
    """Read the state of everything that a target needs.

    Args:
        needs: what the target needs.
        account_id: id of the Databricks account; None: ask the workspace.

    Raises:
        ConfigError: no way to log in is configured.
        MlopsError: the workspace does not answer, or refuses the login.
    """
    client = sdk.workspace_client()
    with sdk.translate_errors("asking the workspace who you are"):
        me = _to_principal(client.current_user.me().as_dict())
        workspace_id = client.get_workspace_id()
    account = account_id or client.config.account_id or ""
    principals = {i.name: _find_identity(client, me, needs, i) for i in needs.identities}
    securables, privileges = read_securables(client, needs)
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
        bindings={n: read_bindings(client, n) for kind, n in securables if kind == "catalog" and securables[kind, n]},
        policies={name: _read_policies(account, who) for name, who in there.items()},
        rule_sets={name: _rule_set(client, account, name) for name in there},
    )


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

    return try_call(f"looking for service principal {name}", call)


def _find_group(client: WorkspaceClient, name: str) -> Principal | Unreadable | None:
    return try_call(
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
    return try_call(f"reading what {who.name} trusts", call) or ()


def _rule_set(client: WorkspaceClient, account_id: str, name: str) -> RuleSet | Unreadable:
    def call() -> RuleSet:
        resource = f"accounts/{account_id}/servicePrincipals/{name}/ruleSets/default"
        rule_set = client.account_access_control_proxy.get_rule_set(resource, etag="")
        rules = tuple((rule.role, tuple(rule.principals or ())) for rule in rule_set.grant_rules or ())
        return RuleSet(rule_set.etag, rules)

    return try_call(f"reading who may act as {name}", call) or RuleSet("", ())
