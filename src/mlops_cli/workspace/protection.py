"""Checks how the environments through which a repository's workflows log in are protected: reviewers and branches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from mlops_cli.workspace.state import Unreadable, unread_reason
from mlops_cli.workspace.steps import SetupStep

PROTECTED = "protected branches"
"""Stands for the names: every branch that has a protection rule."""
_ROLES = ("", "-promote", "-plan")
"""Suffixes of the names of a target's environments: for deployment, promotion and plans."""
_MAIN = ("main", PROTECTED)
VARIABLES = ("DATABRICKS_HOST", "DATABRICKS_CLIENT_ID", "BUNDLE_VARIABLES")
"""Variables of an environment. The first one decides which workspace receives the token."""
_BYPASS = "lets administrators pass without approval"
"""GitHub's API documents no field that switches it off: `mlops doctor` says where a person does it."""


@dataclass(frozen=True)
class Environment:
    """One environment of a repository on GitHub."""

    reviewers: int
    """Users and teams; one of them has to approve."""
    self_review: bool
    """Whether the person who started a run may approve it."""
    bypass: bool
    """Whether an administrator may start a job without approval."""
    branches: tuple[str, ...] | None
    """Branches and tags whose jobs may use it; None: all."""
    variables: tuple[str, ...] = VARIABLES
    """Names of the variables that it defines."""


def is_reviewed(target: str, deployed: Sequence[str]) -> bool:
    """Whether a person has to approve each deployment: to the last target of the pipelines, or to any if unknown."""
    return target in deployed[-1:] or not deployed


def list_weaknesses(
    target: str, environments: Mapping[str, Environment], *, reviewed: bool
) -> tuple[tuple[str, str], ...]:
    """List the gaps in the protection of a target's environments, each with the name of its environment.

    Args:
        target: of the bundle.
        environments: environments of the repository, by name.
        reviewed: whether a person has to approve each deployment of the target.
    """
    weak: list[tuple[str, str]] = []
    for role in _ROLES:
        name = f"{target}{role}"
        gaps = _protection_gaps(environments.get(name), role, reviewed=reviewed)
        weak += [(name, weakness) for weakness in (*gaps, *_find_inherited_variables(environments.get(name)))]
    return tuple(weak)


def _find_inherited_variables(environment: Environment | None) -> Iterator[str]:
    """List variables that the environment lacks: the repository's then counts, which every writer can set."""
    lacking = [name for name in VARIABLES if environment is not None and name not in environment.variables]
    if lacking:
        names = ", ".join(lacking)
        yield f"has no {names} of its own: one of the repository, which everybody who writes can set, would count"


def _protection_gaps(environment: Environment | None, role: str, *, reviewed: bool) -> Iterator[str]:
    if environment is None:
        yield "is not there: the first job that names it makes it, without protection"
        return
    if environment.branches is None:
        yield "takes jobs of every branch and tag"
    elif role != "-plan" and (not environment.branches or set(environment.branches) - set(_MAIN)):
        yield f"takes jobs of {', '.join(environment.branches) or 'no branch'}: main alone may deploy and promote"
    if reviewed and not role:
        if not environment.reviewers:
            yield "has no required reviewers, so a deployment goes out that nobody approved"
        elif environment.self_review:
            yield "lets a person approve a run of their own"
        if environment.bypass:
            yield _BYPASS


def protection_steps(
    target: str, repository: str, environments: Mapping[str, Environment] | Unreadable, *, reviewed: bool
) -> Iterator[SetupStep]:
    """List the commands that create the environments of a target, or add the protection that they lack."""
    unsure = unread_reason(environments)
    known = {} if isinstance(environments, Unreadable) else environments
    for role in _ROLES:
        name = f"{target}{role}"
        reasons = [gap for gap in _protection_gaps(known.get(name), role, reviewed=reviewed) if gap != _BYPASS]
        if reasons:
            what = f"environment {name} {'has to be protected' if unsure else '; '.join(reasons)}"
            command = _protect_command(name, repository, role, reviewed=reviewed and not role)
            undo = f"gh api --method DELETE repos/{repository}/environments/{name}"
            yield SetupStep(what, command, "administrator of the repository", undo, unsure)


def _protect_command(name: str, repository: str, role: str, *, reviewed: bool) -> str:
    address = f"repos/{repository}/environments/{name}"
    field = "deployment_branch_policy"
    policy = f"-F '{field}[protected_branches]=false' -F '{field}[custom_branch_policies]=true'"
    owner = repository.partition("/")[0]
    reviewers = (
        " -F prevent_self_review=true -F 'reviewers[][type]=Team'"
        f' -F "reviewers[][id]=$(gh api orgs/{owner}/teams/TEAM --jq .id)"'
    )
    branches = ["main", *(["refs/pull/*/merge"] if role == "-plan" else [])]
    named = [f"gh api --method POST {address}/deployment-branch-policies -f 'name={branch}'" for branch in branches]
    return " && ".join([f"gh api --method PUT {address} {policy}{reviewers if reviewed else ''}", *named])
