"""Lists the setup steps for identities: groups, service principals, memberships, federation, right to run jobs."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from mlops.contract import ConfigError
from mlops_cli.workspace.requirements import UNSET, Identity, TargetRequirements
from mlops_cli.workspace.state import FederationPolicy, Principal, RuleSet, Unreadable, WorkspaceState, unread_reason
from mlops_cli.workspace.steps import SetupStep

_GITHUB = re.compile(r"([\w.-]+)@(\d+)/([\w.-]+)@(\d+)")
_AZURE = re.compile(r"([0-9a-f-]{36})/([^/'\"\s]+)/([^/'\"]+)/([^/'\"]+)", re.IGNORECASE)
_GITHUB_ISSUER = "https://token.actions.githubusercontent.com"
_ASK_GITHUB = """'"\\(.owner.login)@\\(.owner.id)/\\(.name)@\\(.id)"'"""
"""Filter of jq that prints a repository in the form of `--github`."""
_LOGS_IN = ("deploy", "plan", "promote")
"""Roles of a pipeline, which logs in; a job's run_as never does."""
_USER = "roles/servicePrincipal.user"


@dataclass(frozen=True)
class Pipeline:
    """The issuer and the subjects of a pipeline's tokens."""

    issuer: str
    audience: str
    subject: str
    """Its places are `{target}` and `{suffix}`, which is "-plan" for the planner and empty for the deployer."""
    repository: str = ""
    """On GitHub, as OWNER/NAME."""
    older: str = ""
    """GitHub's form for repositories from before 2026-07-15, which names no ids."""


def pipeline_from_options(github: str | None, azure_devops: str | None, account_id: str) -> Pipeline | None:
    """Build the pipeline from the options that a person gave.

    Args:
        github: OWNER@OWNER_ID/REPO@REPO_ID.
        azure_devops: ORGANISATION_ID/ORGANISATION/PROJECT/PIPELINE, which deploys; those that plan and promote are
            named after it, as in PIPELINE-plan.
        account_id: id of the Databricks account, the audience of GitHub's tokens.

    Raises:
        ConfigError: an option has another form.
    """
    if github is not None:
        match = _GITHUB.fullmatch(github)
        if match is None:
            cure = f"to get it, run: gh api repos/OWNER/REPO --jq {_ASK_GITHUB}"
            raise ConfigError(f"--github {github!r} is not OWNER@OWNER_ID/REPO@REPO_ID; {cure}")
        owner, owner_id, repo, repo_id = match.groups()
        subject = f"repo:{owner}@{owner_id}/{repo}@{repo_id}:environment:{{target}}{{suffix}}"
        older = f"repo:{owner}/{repo}:environment:{{target}}{{suffix}}"
        return Pipeline(_GITHUB_ISSUER, account_id, subject, f"{owner}/{repo}", older)
    if azure_devops is not None:
        match = _AZURE.fullmatch(azure_devops)
        if match is None:
            raise ConfigError(f"--azure-devops {azure_devops!r} is not ORGANISATION_ID/ORGANISATION/PROJECT/PIPELINE")
        organisation_id, organisation, project, name = match.groups()
        issuer = f"https://vstoken.dev.azure.com/{organisation_id}"
        return Pipeline(issuer, "api://AzureADTokenExchange", f"p://{organisation}/{project}/{name}{{suffix}}")
    return None


def display_name(needs: TargetRequirements, identity: Identity) -> str:
    """Return the display name of a service principal of this target: bundle, target, role."""
    return f"{needs.bundle}-{needs.target}-{identity.role}"


def identity_steps(needs: TargetRequirements, state: WorkspaceState) -> Iterator[SetupStep]:
    """List the steps for the account's groups and the service principals that the bundle names."""
    for identity in needs.identities:
        principal = state.principals.get(identity.name)
        if identity.name.startswith(UNSET):
            yield _unset_step(needs, identity, state)
        elif identity.kind == "user" or (isinstance(principal, Principal) and not principal.local):
            continue
        elif identity.kind == "group":
            yield from _group_steps(identity, state.workspace_id, principal)
        else:
            name = display_name(needs, identity) if identity.role else identity.name
            what = f"{identity.variable or 'a grant'} names service principal {identity.name}, which is not here"
            options = f"--application-id {shlex.quote(identity.name)} --display-name {shlex.quote(name)}"
            yield _create_principal_step(what, options, unread_reason(principal))


def _create_principal_step(what: str, options: str, unsure: str = "") -> SetupStep:
    command, undo = f"databricks service-principals create {options}", "databricks service-principals delete ID"
    return SetupStep(what, command, "workspace admin", undo, unsure)


def _unset_step(needs: TargetRequirements, identity: Identity, state: WorkspaceState) -> SetupStep:
    variable = identity.variable or identity.name.removeprefix(UNSET)
    what, value = f"variable {variable} of target {needs.target} has no value", "NAME"
    if identity.variable:
        name = display_name(needs, identity)
        principal = state.find_principal(identity.name)
        if principal is None:
            what += f", and there is no service principal {name}"
            return _create_principal_step(what, f"--display-name {shlex.quote(name)}")
        what, value = f"{what}; service principal {name} is there", principal.name
    right = "none; or write it into databricks.yml, where it stays"
    return SetupStep(what, f"export BUNDLE_VAR_{variable}={value}", right, f"unset BUNDLE_VAR_{variable}")


def _group_steps(identity: Identity, workspace_id: int, group: Principal | Unreadable | None) -> Iterator[SetupStep]:
    what = f"there is no group {identity.name} in the workspace"
    if isinstance(group, Principal):
        what = f"group {identity.name} is local to the workspace; Unity Catalog grants to groups of the account only"
    create = f"databricks account groups create --display-name {shlex.quote(identity.name)} --output json"
    delete = 'databricks account groups delete "$GROUP_ID"'
    yield SetupStep(what, f"GROUP_ID=$({create} | jq -r .id)", "account admin", delete, unread_reason(group))
    yield SetupStep(
        f"group {identity.name} belongs to the workspace",
        f'databricks account workspace-assignment update {workspace_id} "$GROUP_ID" '
        '--json \'{"permissions": ["USER"]}\'',
        "account admin",
        f'databricks account workspace-assignment delete {workspace_id} "$GROUP_ID"',
        unread_reason(group),
    )


def membership_steps(needs: TargetRequirements, state: WorkspaceState, later: list[str]) -> Iterator[SetupStep]:
    """List the steps that add alias movers and deployer to the model's owner, job identities to the wheel's readers."""
    movers = (*needs.alias_movers(), needs.variable_value("deploy_principal"))
    yield from _member_steps(needs.owner, "which owns the model: aliases need ownership", movers, state, later)
    readers = "" if needs.is_personal else needs.variable_value("job_runners")
    yield from _member_steps(readers, "which reads the wheel that is deployed", needs.job_identities(), state, later)


def _member_steps(
    name: str, why: str, members: Iterable[str], state: WorkspaceState, later: list[str]
) -> Iterator[SetupStep]:
    group = state.find_principal(name)
    for member in dict.fromkeys(members) if name and name not in members else ():
        principal = None if member.startswith(UNSET) else state.find_principal(member)
        if principal is None or group is None:
            later.append(f"membership of {member} in {name}, {why}")
        elif name not in principal.groups:
            add = {"op": "add", "path": "members", "value": [{"value": principal.id}]}
            drop = {"op": "remove", "path": f'members[value eq "{principal.id}"]'}
            command, undo = (_patch_command(group.id, operation) for operation in (add, drop))
            yield SetupStep(
                f"{member} belongs to {name}, {why}", command, "account admin or manager of the group", undo
            )


def _patch_command(group: str, operation: object) -> str:
    body = {"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": [operation]}
    return f"databricks account groups patch {shlex.quote(group)} --json {shlex.quote(json.dumps(body))}"


def federation_steps(
    needs: TargetRequirements, state: WorkspaceState, pipeline: Pipeline | None
) -> Iterator[SetupStep]:
    """List the steps that let a service principal trust the pipeline's tokens, so that it needs no secret."""
    for identity in needs.identities:
        principal = state.find_principal(identity.name)
        if identity.role not in _LOGS_IN or identity.kind != "service principal" or principal is None:
            continue
        policies = state.policies.get(identity.name, ())
        if pipeline is None:
            if not policies or isinstance(policies, Unreadable):
                yield _ask_step(needs.target, identity, unread_reason(policies))
            continue
        suffix = "" if identity.role == "deploy" else f"-{identity.role}"
        texts = filter(None, (pipeline.subject, pipeline.older))
        subjects = [text.format(target=needs.target, suffix=suffix) for text in texts]
        trusted = () if isinstance(policies, Unreadable) else policies
        if not any(FederationPolicy(pipeline.issuer, subject) in trusted for subject in subjects):
            yield _trust_step(identity, principal, pipeline, subjects, unread_reason(policies))


def _ask_step(target: str, identity: Identity, unsure: str) -> SetupStep:
    return SetupStep(
        f"{identity.variable} trusts no pipeline; say which one deploys (for Azure DevOps: --azure-devops)",
        f'mlops bootstrap --target {target} --github "$(gh api repos/OWNER/REPO --jq {_ASK_GITHUB})"',
        "to read the repository",
        "nothing is changed",
        unsure,
    )


def _trust_step(
    identity: Identity, principal: Principal, pipeline: Pipeline, subjects: list[str], unsure: str
) -> SetupStep:
    policy = {"issuer": pipeline.issuer, "audiences": [pipeline.audience], "subject": subjects[0]}
    older = f"; for a repository from before 2026-07-15 the subject is {subjects[1]}" if len(subjects) > 1 else ""
    call, principal_id = "databricks account service-principal-federation-policy", shlex.quote(principal.id)
    return SetupStep(
        f"{identity.variable} trusts tokens of {subjects[0]}, so that no secret is needed{older}",
        f"{call} create {principal_id} --json {shlex.quote(json.dumps({'oidc_policy': policy}))}",
        "account admin",
        f"{call} delete {principal_id} POLICY_ID",
        unsure,
    )


def role_steps(needs: TargetRequirements, state: WorkspaceState) -> Iterator[SetupStep]:
    """List the steps that give the deployer the user role on a service principal, which jobs need to run as it."""
    deployer = needs.variable_value("deploy_principal")
    services = {i.name: i.variable or i.name for i in needs.identities if i.kind == "service principal"}
    user = f"users/{deployer}" if "@" in deployer else f"servicePrincipals/{deployer}"
    for runner in needs.job_identities():
        known_both = all(state.find_principal(name) and not name.startswith(UNSET) for name in (runner, deployer))
        if not known_both or runner == deployer or runner not in services:
            continue
        rules = state.rule_sets.get(runner, Unreadable("it was not asked for"))
        known = rules if isinstance(rules, RuleSet) else RuleSet("", ())
        if any(role == _USER and user in principals for role, principals in known.rules):
            continue
        name = f"accounts/{state.account_id}/servicePrincipals/{runner}/ruleSets/default"
        yield SetupStep(
            f"the deployer may let jobs run as {services[runner]}",
            _update_rules(name, known.etag, [*known.rules, (_USER, (user,))]),
            "account admin, or manager of the service principal",
            _update_rules(name, "ETAG", list(known.rules)),
            unread_reason(rules),
        )


def _update_rules(name: str, etag: str, rules: list[tuple[str, tuple[str, ...]]]) -> str:
    grant_rules = [{"role": role, "principals": list(principals)} for role, principals in rules]
    body = {"name": name, "rule_set": {"name": name, "etag": etag, "grant_rules": grant_rules}}
    return f"databricks account access-control update-rule-set --json {shlex.quote(json.dumps(body))}"
