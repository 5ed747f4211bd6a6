"""Checks what a person needs to work with a target, in the order in which to correct it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from mlops_cli.workspace.bootstrap import MissingSteps
from mlops_cli.workspace.protection import Environment, is_reviewed, list_weaknesses
from mlops_cli.workspace.requirements import TargetRequirements
from mlops_cli.workspace.state import Unreadable, WorkspaceState

State = Literal["good", "bad", "unknown"]
_SECRETS = {
    "pat": "a personal access token",
    "basic": "a password",
    "oauth-m2m": "a client secret",
    "azure-client-secret": "a client secret of Entra",
}
"""Ways to log in that store a secret, by the SDK's names."""
_MEND_FIRST = "mend what stands above first"
_NETWORK = (
    (
        re.compile(r"IP ACL|IP access list|blocked by|unauthorized network access", re.IGNORECASE),
        "it lets in other addresses only: use its network or VPN, or its admin's IP access list (docs/how-to/setup.md)",
    ),
    (
        re.compile(r"resolve|name resolution|not known|getaddrinfo", re.IGNORECASE),
        "check the host; with Private Link its name resolves inside of the network only (docs/how-to/setup.md)",
    ),
)
"""Words of an error that the network caused and not the login, and the cure."""


@dataclass(frozen=True)
class Login:
    """Who is logged in where, and how: the SDK's name of the way, such as `databricks-cli` or `pat`."""

    name: str
    host: str
    how: str


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What the checks read; None: an earlier problem made it unreadable."""

    target: str
    cli: str | None = None
    """The Databricks CLI's version; None: it is not on the PATH."""
    login: Login | None = None
    trouble: str = ""
    """Why the login or the bundle could not be read, with the cure."""
    needs: TargetRequirements | None = None
    state: WorkspaceState | None = None
    missing: MissingSteps | None = None
    metastore: bool | Unreadable | None = None
    environments: tuple[int, ...] | Unreadable | None = None
    """Versions of the environments that serverless compute offers."""
    secrets: Mapping[str, tuple[str, ...] | Unreadable] = field(default_factory=dict)
    """Secrets of the service principals that the bundle names, by the principal's SCIM id."""
    deployed: tuple[str, ...] = ()
    """The targets that pipelines deploy, in their order; empty: not known."""
    environments_of_repository: Mapping[str, Environment] | Unreadable | None = None
    """The environments of the repository, by name; None if no repository is given."""


@dataclass(frozen=True)
class Check:
    """The result of one check."""

    check: str
    state: State
    what: str
    cure: str = ""
    """One command or act; empty: nothing has to be done."""


def run_checks(facts: Facts) -> tuple[Check, ...]:
    """Run all checks, in the order in which a person has to correct them."""
    checks: tuple[tuple[str, Callable[[Facts], Check | None]], ...] = (
        ("cli", _check_cli),
        ("login", _check_login),
        ("bundle", _check_bundle),
        ("metastore", _check_metastore),
        ("account", _check_account),
        ("catalogs", _check_catalogs),
        ("rights", _check_rights),
        ("serverless", _check_serverless),
        ("environment", _check_environment),
        ("registry", _check_registry),
        ("aliases", _check_aliases),
        ("secrets", _check_secrets),
        ("approvals", _check_approvals),
    )
    return tuple(
        check(facts) or Check(name, "unknown", "could not be looked at", _MEND_FIRST) for name, check in checks
    )


def _check_cli(facts: Facts) -> Check:
    wanted = facts.needs.document["bundle"].get("databricks_cli_version", "") if facts.needs else ""
    if facts.cli is None:
        cure = "install it: see docs/how-to/setup.md, step 1"
        return Check("cli", "bad", "the Databricks CLI is not on the PATH", cure)
    floor = re.search(r">=\s*([\d.]+)", str(wanted))
    if floor and _version_numbers(facts.cli) < _version_numbers(floor[1]):
        return Check("cli", "bad", f"the Databricks CLI is {facts.cli}, the bundle needs {floor[1]}", "upgrade it")
    return Check("cli", "good", f"the Databricks CLI is {facts.cli}")


def _version_numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version.partition("+")[0])[:3])


def _check_login(facts: Facts) -> Check:
    if facts.login is None:
        cures = (cure for words, cure in _NETWORK if words.search(facts.trouble))
        cure = next(cures, "databricks auth login --host https://WORKSPACE")
        return Check("login", "bad", facts.trouble, cure)
    return Check("login", "good", f"{facts.login.name} in {facts.login.host}")


def _check_bundle(facts: Facts) -> Check | None:
    if facts.needs is not None:
        return Check("bundle", "good", f"target {facts.target} resolves")
    return Check("bundle", "bad", facts.trouble, "uv run laptop validate") if facts.login else None


def _check_metastore(facts: Facts) -> Check | None:
    if facts.metastore is None or isinstance(facts.metastore, Unreadable):
        return None
    if not facts.metastore:
        cure = "an account admin assigns one, in the account console under Catalog"
        return Check("metastore", "bad", "the workspace has no metastore, so no Unity Catalog", cure)
    return Check("metastore", "good", "the workspace has Unity Catalog")


def _check_account(facts: Facts) -> Check | None:
    """Check whether the account can be read. Free Edition does not allow it, nor does a trial without its admin."""
    if facts.state is None or facts.needs is None:
        return None
    if not any(identity.kind == "service principal" for identity in facts.needs.identities):
        what = f"target {facts.target} has no service principal: Free Edition and a trial without an admin can hold it"
        return Check("account", "good", what)
    unread = [policies for policies in facts.state.policies.values() if isinstance(policies, Unreadable)]
    if unread:
        what = f"you may not read the account ({unread[0].why}); Free Edition has none that you could administer"
        cure = f"ask an account admin to run mlops bootstrap --target {facts.target}; without one, work in target dev"
        return Check("account", "unknown", what, cure)
    return Check("account", "good", "you may read whom the account trusts to log in as a service principal")


def _check_catalogs(facts: Facts) -> Check | None:
    if facts.state is None or facts.needs is None:
        return None
    places = facts.needs.securable_names
    names = sorted({places["catalog"][1], places["data catalog"][1]})
    unseen = [name for name in names if facts.state.securables.get(("catalog", name)) is None]
    if unseen:
        what = f"there is no catalog {', '.join(unseen)} that you may see"
        return Check("catalogs", "bad", what, f"mlops bootstrap --target {facts.target}")
    return Check("catalogs", "good", f"you see {', '.join(names)}")


def _check_rights(facts: Facts) -> Check | None:
    if facts.missing is None:
        return None
    sure = [step for step in facts.missing.steps if not step.unsure]
    cure = f"mlops bootstrap --target {facts.target}"
    if sure:
        return Check("rights", "bad", f"{len(sure)} commands are missing, the first: {sure[0].what}", cure)
    if facts.missing.steps:
        return Check("rights", "unknown", f"{len(facts.missing.steps)} things may not be read by you", cure)
    return Check("rights", "good", f"everybody has what target {facts.target} takes")


def _check_serverless(facts: Facts) -> Check | None:
    if facts.metastore is False:
        return Check("serverless", "bad", "serverless compute needs Unity Catalog", _MEND_FIRST)
    if facts.environments is None:
        return None
    if isinstance(facts.environments, Unreadable):
        what = f"the workspace does not say ({facts.environments.why}); the first run of a job will"
        return Check("serverless", "unknown", what, f"databricks bundle run sample --target {facts.target}")
    return Check("serverless", "good", "the workspace offers environments for serverless compute")


def _check_environment(facts: Facts) -> Check | None:
    if facts.needs is None or not isinstance(facts.environments, tuple):
        return None
    version = facts.needs.variable_value("environment_version")
    newest = max(facts.environments, default=0)
    if not newest or not version.isdigit():
        return Check("environment", "unknown", f"the bundle wants version {version}; none is listed", "run a job")
    if int(version) > newest:
        what = f"the bundle wants environment version {version}, the newest here is {newest}"
        return Check("environment", "bad", what, f"set environment_version to {newest}, and the lock")
    return Check("environment", "good", f"environment version {version} is offered (newest {newest})")


def _check_registry(facts: Facts) -> Check | None:
    if facts.state is None or facts.needs is None:
        return None
    kind, name = facts.needs.securable_names["model"]
    model = facts.state.securables.get((kind, name))
    if model is None:
        cure = f"databricks bundle deploy --target {facts.target}"
        return Check("registry", "bad", f"there is no model {name}, or you lack EXECUTE on it", cure)
    if isinstance(model, Unreadable):
        return Check("registry", "unknown", f"{name}: {model.why}", f"mlops bootstrap --target {facts.target}")
    return Check("registry", "good", f"model {name} belongs to {model.owner}")


def _check_aliases(facts: Facts) -> Check | None:
    if facts.state is None or facts.needs is None:
        return None
    kind, name = facts.needs.securable_names["model"]
    if facts.state.securables.get((kind, name)) is None:
        return None
    held = {who: facts.state.has_privilege(kind, name, who, "MANAGE") for who in facts.needs.alias_movers()}
    lacking = [who for who, answer in held.items() if answer is False]
    if lacking:
        what = f"{', '.join(lacking)} cannot move aliases of {name}: neither its owner's, nor MANAGE"
        return Check("aliases", "bad", what, f"mlops bootstrap --target {facts.target}")
    if not all(answer is True for answer in held.values()):
        return Check("aliases", "unknown", f"you may not read the grants on {name}", "ask its owner")
    return Check("aliases", "good", f"{', '.join(held)} can move aliases of {name}")


def _check_secrets(facts: Facts) -> Check | None:
    if facts.login is None:
        return None
    if facts.login.how in _SECRETS:
        what = f"you are logged in with {_SECRETS[facts.login.how]}, which can be copied"
        return Check("secrets", "bad", what, "delete it, then: databricks auth login; in pipelines: federation")
    for who, secrets in facts.secrets.items():
        if isinstance(secrets, tuple) and secrets:
            what = f"service principal {who} has {len(secrets)} client secrets, and needs none"
            return Check(
                "secrets", "bad", what, f"databricks service-principal-secrets-proxy delete {who} {secrets[0]}"
            )
    if facts.state is None:
        return None
    if any(isinstance(secrets, Unreadable) for secrets in facts.secrets.values()):
        return Check("secrets", "unknown", "the service principals' secrets are hidden from you", "ask their manager")
    return Check("secrets", "good", "no secret where none is needed")


def _check_approvals(facts: Facts) -> Check:
    """Check that the repository's environments let nobody deploy without approval."""
    environments, target = facts.environments_of_repository, facts.target
    if facts.deployed and target not in facts.deployed:
        return Check("approvals", "good", f"no pipeline deploys {target}")
    if environments is None:
        what = "it is not known which repository deploys; on Azure DevOps look at the checks of the environment"
        return Check("approvals", "unknown", what, f"mlops doctor --target {target} --github OWNER/NAME")
    if isinstance(environments, Unreadable):
        cure = "ask its administrator to run this"
        return Check("approvals", "unknown", f"the repository's environments: {environments.why}", cure)
    weak = list_weaknesses(target, environments, reviewed=is_reviewed(target, facts.deployed))
    if weak:
        what = "; ".join(f"environment {name} {weakness}" for name, weakness in weak)
        cure = "mlops bootstrap with --github prints the commands; bypass and variables: Settings > Environments"
        return Check("approvals", "bad", what, cure)
    return Check("approvals", "good", f"the environments of {target} take what main holds and somebody approved")
