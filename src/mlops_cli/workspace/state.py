"""The state of a workspace and its account as plain values; it distinguishes unreadable from absent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["catalog", "schema", "volume", "function"]
"""Securable types as Unity Catalog's REST API and SQL name them: a registered model is a function there."""


@dataclass(frozen=True)
class Unreadable:
    """Stands for an object that may exist and could not be read."""

    why: str


def unread_reason(value: object) -> str:
    """Return why a value could not be read; empty if it was read."""
    return value.why if isinstance(value, Unreadable) else ""


@dataclass(frozen=True)
class Principal:
    """A user, a service principal or a group of the workspace."""

    name: str
    """Name in grants: user name, application id or group name."""
    id: str
    """Id in SCIM and federation policies."""
    groups: frozenset[str] = frozenset()
    local: bool = False
    """Whether it is a workspace-local group, to which Unity Catalog cannot grant anything."""


@dataclass(frozen=True)
class Securable:
    """A catalog, schema, volume or model."""

    owner: str
    isolated: bool = False
    """Whether only the bound workspaces can see the catalog."""


@dataclass(frozen=True)
class FederationPolicy:
    """Issuer and subject of the tokens with which a pipeline logs in as a service principal, without a secret."""

    issuer: str
    subject: str


@dataclass(frozen=True)
class RuleSet:
    """Who may act as a service principal; updating replaces it whole, and `etag` guards that."""

    etag: str
    rules: tuple[tuple[str, tuple[str, ...]], ...]
    """Role and principals, as in ("roles/servicePrincipal.user", ("servicePrincipals/<application id>",))."""


@dataclass(frozen=True, kw_only=True)
class WorkspaceState:
    """The objects of a target that exist, by their names in the bundle."""

    host: str
    workspace_id: int
    account_id: str
    me: Principal
    principals: Mapping[str, Principal | Unreadable | None] = field(default_factory=dict)
    securables: Mapping[tuple[Kind, str], Securable | Unreadable | None] = field(default_factory=dict)
    privileges: Mapping[tuple[Kind, str], Mapping[str, frozenset[str]] | Unreadable] = field(default_factory=dict)
    """Effective privileges by principal, inherited ones included; empty for missing objects."""
    bindings: Mapping[str, Mapping[int, str] | Unreadable] = field(default_factory=dict)
    """Workspace id and binding type by catalog."""
    policies: Mapping[str, tuple[FederationPolicy, ...] | Unreadable] = field(default_factory=dict)
    rule_sets: Mapping[str, RuleSet | Unreadable] = field(default_factory=dict)

    def find_principal(self, name: str) -> Principal | None:
        """Return the principal; None: it does not exist or was not read."""
        principal = self.me if name == self.me.name else self.principals.get(name)
        return principal if isinstance(principal, Principal) else None

    def has_privilege(self, kind: Kind, name: str, who: str, privilege: str) -> bool | Unreadable:
        """Whether a principal has a privilege on a securable: itself, by a group, as owner, or by ALL_PRIVILEGES."""
        securable, given = self.securables.get((kind, name)), self.privileges.get((kind, name), {})
        principal = self.find_principal(who)
        names = {who, "account users", *(principal.groups if principal else ())}
        if isinstance(securable, Securable) and securable.owner in names:
            return True
        if isinstance(given, Unreadable):
            return given
        held = frozenset[str]().union(*(given.get(n, frozenset()) for n in names))
        return bool(held & {privilege, "ALL_PRIVILEGES"}) and (privilege != "MANAGE" or "MANAGE" in held)
