"""Lists the setup commands that a target still needs, in the order in which to run them."""

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
    """The steps that are missing, as far as they are known now."""

    steps: tuple[SetupStep, ...]
    later: tuple[str, ...]
    """Steps that are only known after these steps or the first deployment."""


def list_missing_steps(
    needs: TargetRequirements,
    state: WorkspaceState,
    pipeline: Pipeline | None,
    environments: Mapping[str, Environment] | Unreadable | None = None,
    deployed: Sequence[str] = (),
) -> MissingSteps:
    """List the missing commands: identities, catalogs, rights, then the repository's environments.

    Args:
        needs: what the target needs.
        state: what the workspace and the account hold.
        pipeline: the pipeline that deploys; None: a person sets it up by hand.
        environments: environments of the repository, by name; None: they are not checked.
        deployed: the targets that pipelines deploy, in their order; empty: not known, so the target is reviewed.
    """
    later: list[str] = []
    steps = [
        *identities.identity_steps(needs, state),
        *identities.membership_steps(needs, state, later),
        *identities.federation_steps(needs, state, pipeline),
        *catalogs.catalog_steps(needs, state, later),
        *catalogs.list_binding_steps(needs, state),
        *identities.role_steps(needs, state),
        *catalogs.ownership_steps(needs, state),
        *catalogs.grant_steps(needs, state, later),
    ]
    if pipeline is not None and pipeline.repository and environments is not None:
        reviewed = protection.is_reviewed(needs.target, deployed)
        steps += protection.protection_steps(needs.target, pipeline.repository, environments, reviewed=reviewed)
    return MissingSteps(tuple(steps), tuple(dict.fromkeys(later)))
