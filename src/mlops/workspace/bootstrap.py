"""From what a target needs and what is there to the commands that are missing, in the order in which to run them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mlops.workspace import catalogs, identities, protection
from mlops.workspace.found import Found, Unread
from mlops.workspace.identities import Pipeline
from mlops.workspace.protection import Environment
from mlops.workspace.steps import Step
from mlops.workspace.wanted import Wanted


@dataclass(frozen=True)
class Missing:
    """All that is missing, as far as it can be known now."""

    steps: tuple[Step, ...]
    later: tuple[str, ...]
    """What can only be told once these steps, or the first deployment, have been taken."""


def missing(
    wanted: Wanted,
    found: Found,
    source: Pipeline | None,
    environments: Mapping[str, Environment] | Unread | None = None,
) -> Missing:
    """The commands that are missing: identities, catalogs, rights, then the repository's environments."""
    later: list[str] = []
    steps = [
        *identities.identities(wanted, found),
        *identities.memberships(wanted, found, later),
        *identities.federation(wanted, found, source),
        *catalogs.catalogs(wanted, found, later),
        *catalogs.bindings(wanted, found),
        *identities.roles(wanted, found),
        *catalogs.ownership(wanted, found),
        *catalogs.grants(wanted, found, later),
    ]
    if source is not None and source.repository and environments is not None:
        steps += protection.protect(wanted.target, source.repository, environments)
    return Missing(tuple(steps), tuple(dict.fromkeys(later)))
