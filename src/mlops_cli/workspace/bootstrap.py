"""From what a target needs and what is there to the commands that are missing, in the order in which to run them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mlops_cli.workspace import catalogs, identities, protection
from mlops_cli.workspace.identities import Pipeline
from mlops_cli.workspace.protection import Environment
from mlops_cli.workspace.requirements import TargetRequirements
from mlops_cli.workspace.state import Unreadable, WorkspaceState
from mlops_cli.workspace.steps import SetupStep


@dataclass(frozen=True)
class MissingSteps:
    """All that is missing, as far as it can be known now."""

    steps: tuple[SetupStep, ...]
    later: tuple[str, ...]
    """What can only be told once these steps, or the first deployment, have been taken."""


def list_missing_steps(
    wanted: TargetRequirements,
    found: WorkspaceState,
    source: Pipeline | None,
    environments: Mapping[str, Environment] | Unreadable | None = None,
    deployed: Sequence[str] = (),
) -> MissingSteps:
    """The commands that are missing: identities, catalogs, rights, then the repository's environments.

    Args:
        wanted: what the target needs.
        found: what the workspace and the account hold.
        source: the pipeline that deploys; None: it is set up by hand.
        environments: of the repository, by name; None: they are not looked at.
        deployed: the targets that pipelines deploy, in their order; empty: not known, so the target is reviewed.
    """
    later: list[str] = []
    steps = [
        *identities.identity_steps(wanted, found),
        *identities.membership_steps(wanted, found, later),
        *identities.federation_steps(wanted, found, source),
        *catalogs.catalog_steps(wanted, found, later),
        *catalogs.list_binding_steps(wanted, found),
        *identities.role_steps(wanted, found),
        *catalogs.ownership_steps(wanted, found),
        *catalogs.grant_steps(wanted, found, later),
    ]
    if source is not None and source.repository and environments is not None:
        steps += protection.protection_steps(
            wanted.target,
            source.repository,
            environments,
            reviewed=protection.is_reviewed(wanted.target, deployed),
        )
    return MissingSteps(tuple(steps), tuple(dict.fromkeys(later)))
