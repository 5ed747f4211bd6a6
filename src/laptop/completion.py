"""Completes names of targets and jobs in a shell."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import click


def complete_target(_: click.Context, __: click.Parameter, incomplete: str) -> list[str]:
    """List the targets of the bundle that begin with the typed text."""
    from laptop.bundle import list_targets
    from laptop.includes import find_root

    root = find_root(Path.cwd())
    return _select_names(list_targets(root), incomplete) if root else []


def complete_job(_: click.Context, __: click.Parameter, incomplete: str) -> list[str]:
    """List the jobs of the bundle, in any target, that begin with the typed text."""
    from laptop.bundle import read_source
    from laptop.includes import find_root

    root = find_root(Path.cwd())
    if root is None:
        return []
    source = read_source(root)
    places = [("resources", "jobs"), *(("targets", name, "resources", "jobs") for name in source.targets)]
    nodes = [source.tree.get(*place) for place in places]
    return _select_names({name for node in nodes if node for name, _ in node.items()}, incomplete)


def _select_names(names: Iterable[str], incomplete: str) -> list[str]:
    return sorted(name for name in names if name.startswith(incomplete))
