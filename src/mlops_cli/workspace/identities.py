"""Who has to be there: groups, service principals, whom they belong to, what they trust and whom they may act as."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from mlops.contract import ConfigError
from mlops_cli.workspace.requirements import UNSET, Identity, TargetRequirements
from mlops_cli.workspace.state import FederationPolicy, Principal, RuleSet, Unreadable, WorkspaceState
from mlops_cli.workspace.steps import SetupStep

_GITHUB = re.compile(r"([\w.-]+)@(\d+)/([\w.-]+)@(\d+)")
_AZURE = re.compile(r"([0-9a-f-]{36})/([^/'\"\s]+)/([^/'\"]+)/([^/'\"]+)", re.IGNORECASE)
_GITHUB_ISSUER = "https://token.actions.githubusercontent.com"
_LOGS_IN = ("deploy", "plan", "promote")
"""Roles that a pipeline takes; a job's run_as never logs in."""
_USER = "roles/servicePrincipal.user"


@dataclass(frozen=True)
class Pipeline:
    """Where a pipeline's tokens come from."""

    issuer: str
    audience: str
    subject: str
    """With `{target}` where it names one, and `{suffix}`, which tells the planner ("-plan") from the deployer."""
    repository: str = ""
    """On GitHub, as OWNER/NAME."""
    older: str = ""
    """GitHub's form for repositories from before 2026-07-15, which names no ids."""


def pipeline_from_options(github: str | None, azure_devops: str | None, account_id: str) -> Pipeline | None:
    """Where the pipeline's tokens come from, from what a person gave.

    Args:
        github: OWNER@OWNER_ID/REPO@REPO_ID.
        azure_devops: ORGANISATION_ID/ORGANISATION/PROJECT/PIPELINE, which deploys; those that plan and promote are
            named after it, as in PIPELINE-plan.
        account_id: of Databricks; GitHub's tokens are made for it.

    Raises:
        ConfigError: it has another form.
    """
    if github is not None:
        found = _GITHUB.fullmatch(github)
        if found is None:
            raise ConfigError(
                f"--github {github!r} is not OWNER@OWNER_ID/REPO@REPO_ID; to get it, run: gh api repos/OWNER/REPO "
                "--jq '\"\\(.owner.login)@\\(.owner.id)/\\(.name)@\\(.id)\"'"
            )
        owner, owner_id, repo, repo_id = found.groups()
        subject = f"repo:{owner}@{owner_id}/{repo}@{repo_id}:environment:{{target}}{{suffix}}"
        older = f"repo:{owner}/{repo}:environment:{{target}}{{suffix}}"
        return Pipeline(_GITHUB_ISSUER, account_id, subject, f"{owner}/{repo}", older)
    if azure_devops is not None:
        found = _AZURE.fullmatch(azure_devops)
        if found is None:
            raise ConfigError(f"--azure-devops {azure_devops!r} is not ORGANISATION_ID/ORGANISATION/PROJECT/PIPELINE")
        organisation_id, organisation, project, name = found.groups()
        issuer = f"https://vstoken.dev.azure.com/{organisation_id}"
        return Pipeline(issuer, "api://AzureADTokenExchange", f"p://{organisation}/{project}/{name}{{suffix}}")
    return None


def display_name(wanted: TargetRequirements, identity: Identity) -> str:
    """What a service principal of this target is called: bundle, target, role."""
    return f"{wanted.bundle}-{wanted.target}-{identity.role}"


def identity_steps(wanted: TargetRequirements, found: WorkspaceState) -> Iterator[SetupStep]:
    """Groups of the account and service principals that the bundle names."""
    for identity in wanted.identities:
        there = found.principals.get(identity.name)
        unsure = there.why if isinstance(there, Unreadable) else ""
        if identity.name.startswith(UNSET):
            yield _unset_step(wanted, identity, found)
        elif identity.kind == "user" or (isinstance(there, Principal) and not there.local):
            continue
        elif identity.kind == "group":
            yield from _group_steps(identity, found, there, unsure)
        else:
            yield SetupStep(
                f"{identity.variable or 'a grant'} names service principal {identity.name}, which is not here",
                f"databricks service-principals create --application-id {shlex.quote(identity.name)} "
                f"--display-name {shlex.quote(display_name(wanted, identity) if identity.role else identity.name)}",
                "shell",
                "workspace admin",
                "databricks service-principals delete ID",
                unsure,
            )


def _unset_step(wanted: TargetRequirements, identity: Identity, found: WorkspaceState) -> SetupStep:
    if not identity.variable:
        variable = identity.name.removeprefix(UNSET)
        return SetupStep(
            f"variable {variable} of target {wanted.target} has no value",
            f"export BUNDLE_VAR_{variable}=NAME",
            "shell",
            "none; or write it into databricks.yml, where it stays",
            f"unset BUNDLE_VAR_{variable}",
        )
    name = display_name(wanted, identity)
    there = found.find_principal(identity.name)
    if there is not None:
        return SetupStep(
            f"{identity.variable} of target {wanted.target} has no value; service principal {name} is there",
            f"export BUNDLE_VAR_{identity.variable}={there.name}",
            "shell",
            "none; or write it into databricks.yml, where it stays",
            f"unset BUNDLE_VAR_{identity.variable}",
        )
    return SetupStep(
        f"{identity.variable} of target {wanted.target} has no value, and there is no service principal {name}",
        f"databricks service-principals create --display-name {shlex.quote(name)}",
        "shell",
        "workspace admin",
        "databricks service-principals delete ID",
    )


def _group_steps(
    identity: Identity, found: WorkspaceState, there: Principal | Unreadable | None, unsure: str
) -> Iterator[SetupStep]:
    name = shlex.quote(identity.name)
    if isinstance(there, Principal):
        what = f"group {identity.name} is local to the workspace; Unity Catalog grants to groups of the account only"
    else:
        what = f"there is no group {identity.name} in the workspace"
    yield SetupStep(
        what,
        f"GROUP_ID=$(databricks account groups create --display-name {name} --output json | jq -r .id)",
        "shell",
        "account admin",
        'databricks account groups delete "$GROUP_ID"',
        unsure,
    )
    yield SetupStep(
        f"group {identity.name} belongs to the workspace",
        f'databricks account workspace-assignment update {found.workspace_id} "$GROUP_ID" '
        '--json \'{"permissions": ["USER"]}\'',
        "shell",
        "account admin",
        f'databricks account workspace-assignment delete {found.workspace_id} "$GROUP_ID"',
        unsure,
    )


def membership_steps(wanted: TargetRequirements, found: WorkspaceState, later: list[str]) -> Iterator[SetupStep]:
    """Who moves aliases, and the deployer, belong to the model's owner; who runs jobs, to those that read the wheel."""
    movers = (*wanted.alias_movers(), wanted.variable_value("deploy_principal"))
    yield from _member_steps(wanted.owner, "which owns the model: aliases need ownership", movers, found, later)
    readers = "" if wanted.is_personal else wanted.variable_value("job_runners")
    yield from _member_steps(readers, "which reads the wheel that is deployed", wanted.job_identities(), found, later)


def _member_steps(
    name: str, why: str, members: Iterable[str], found: WorkspaceState, later: list[str]
) -> Iterator[SetupStep]:
    group = found.find_principal(name)
    for member in dict.fromkeys(members) if name and name not in members else ():
        who = None if member.startswith(UNSET) else found.find_principal(member)
        if who is None or group is None:
            later.append(f"membership of {member} in {name}, {why}")
        elif name not in who.groups:
            add = {"op": "add", "path": "members", "value": [{"value": who.id}]}
            drop = {"op": "remove", "path": f'members[value eq "{who.id}"]'}
            yield SetupStep(
                f"{member} belongs to {name}, {why}",
                _patch_command(group.id, add),
                "shell",
                "account admin or manager of the group",
                _patch_command(group.id, drop),
            )


def _patch_command(group: str, operation: object) -> str:
    body = {"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": [operation]}
    return f"databricks account groups patch {shlex.quote(group)} --json {shlex.quote(json.dumps(body))}"


def federation_steps(wanted: TargetRequirements, found: WorkspaceState, source: Pipeline | None) -> Iterator[SetupStep]:
    """Whose tokens a service principal that logs in is trusted with."""
    for identity in wanted.identities:
        there = found.find_principal(identity.name)
        if identity.role not in _LOGS_IN or identity.kind != "service principal" or there is None:
            continue
        policies = found.policies.get(identity.name, ())
        if source is None:
            if not policies or isinstance(policies, Unreadable):
                yield _ask_step(wanted, identity, policies.why if isinstance(policies, Unreadable) else "")
            continue
        suffix = "" if identity.role == "deploy" else f"-{identity.role}"
        texts = (source.subject, source.older)
        subjects = [text.format(target=wanted.target, suffix=suffix) for text in texts if text]
        if isinstance(policies, Unreadable) or not any(
            FederationPolicy(source.issuer, s) in policies for s in subjects
        ):
            yield _trust_step(
                identity, there, source, subjects, policies.why if isinstance(policies, Unreadable) else ""
            )


def _ask_step(wanted: TargetRequirements, identity: Identity, unsure: str) -> SetupStep:
    return SetupStep(
        f"{identity.variable} trusts no pipeline; say which one deploys (for Azure DevOps: --azure-devops)",
        f"mlops bootstrap --target {wanted.target} --github "
        '"$(gh api repos/OWNER/REPO --jq \'"\\(.owner.login)@\\(.owner.id)/\\(.name)@\\(.id)"\')"',
        "shell",
        "to read the repository",
        "nothing is changed",
        unsure,
    )


def _trust_step(identity: Identity, there: Principal, source: Pipeline, subjects: list[str], unsure: str) -> SetupStep:
    policy = {"issuer": source.issuer, "audiences": [source.audience], "subject": subjects[0]}
    older = f"; for a repository from before 2026-07-15 the subject is {subjects[1]}" if len(subjects) > 1 else ""
    return SetupStep(
        f"{identity.variable} trusts tokens of {subjects[0]}, so that no secret is needed{older}",
        f"databricks account service-principal-federation-policy create {shlex.quote(there.id)} "
        f"--json {shlex.quote(json.dumps({'oidc_policy': policy}))}",
        "shell",
        "account admin",
        f"databricks account service-principal-federation-policy delete {shlex.quote(there.id)} POLICY_ID",
        unsure,
    )


def role_steps(wanted: TargetRequirements, found: WorkspaceState) -> Iterator[SetupStep]:
    """The deployer may make jobs run as another service principal only with the role of its user."""
    deployer = wanted.variable_value("deploy_principal")
    services = {i.name: i.variable or i.name for i in wanted.identities if i.kind == "service principal"}
    for runner in wanted.job_identities():
        known_both = all(found.find_principal(name) and not name.startswith(UNSET) for name in (runner, deployer))
        if not known_both or runner == deployer or runner not in services:
            continue
        rules = found.rule_sets.get(runner, Unreadable("it was not asked for"))
        known = rules if isinstance(rules, RuleSet) else RuleSet("", ())
        who = f"users/{deployer}" if "@" in deployer else f"servicePrincipals/{deployer}"
        if any(role == _USER and who in principals for role, principals in known.rules):
            continue
        name = f"accounts/{found.account_id}/servicePrincipals/{runner}/ruleSets/default"
        yield SetupStep(
            f"the deployer may let jobs run as {services[runner]}",
            _update_rules(name, known, [*known.rules, (_USER, (who,))]),
            "shell",
            "account admin, or manager of the service principal",
            _update_rules(name, RuleSet("ETAG", ()), list(known.rules)),
            rules.why if isinstance(rules, Unreadable) else "",
        )


def _update_rules(name: str, known: RuleSet, rules: list[tuple[str, tuple[str, ...]]]) -> str:
    grant_rules = [{"role": role, "principals": list(principals)} for role, principals in rules]
    body = {"name": name, "rule_set": {"name": name, "etag": known.etag, "grant_rules": grant_rules}}
    return f"databricks account access-control update-rule-set --json {shlex.quote(json.dumps(body))}"
