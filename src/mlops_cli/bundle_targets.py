"""Reads the names of the bundle's targets from databricks.yml."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem


def _read_modes() -> Mapping[str, Any]:
    """Read the mode of each target, in the order of databricks.yml; empty outside a checkout."""
    from laptop.bundle import read_source
    from laptop.includes import find_root

    root = find_root(Path.cwd())
    if root is None:
        return {}
    source = read_source(root)
    modes = {name: source.tree.get("targets", name, "mode") for name in source.targets}
    return {name: mode.value if mode else None for name, mode in modes.items()}


def list_targets(home: Path | None) -> tuple[str, ...]:
    """List the targets of databricks.yml, then those that only a laptop's home knows.

    Args:
        home: a laptop's home folder; None: a workspace.
    """
    known = sorted(file.stem for file in (home / "summary").glob("*.json")) if home else []
    return tuple(dict.fromkeys([*_read_modes(), *known]))


def list_deployed_targets() -> tuple[str, ...]:
    """List the targets that pipelines deploy: all but those of `mode: development`, in the order of databricks.yml.

    A release must succeed in each before it goes to the next; a person approves what goes to the last one. Empty
    outside a checkout.
    """
    return tuple(name for name, mode in _read_modes().items() if mode != "development")


class _Target(click.ParamType[str]):
    """Type of an option whose value is a target of the bundle, or one that a laptop's home knows."""

    name = "target"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the name; fail if neither databricks.yml nor the home has it."""
        home = ctx.params.get("home") if ctx else None
        names = list_targets(
            home if isinstance(home, Path) else None
        )  # click passes an object of its own if the option is not given
        if not names:
            cure = "run this in the bundle's checkout, or name with --home a laptop's home in which a job has run"
            self.fail(
                f"there is no databricks.yml here or above, which would say whether {value!r} is a target; {cure}"
            )
        if value not in names:
            self.fail(f"{value!r} is no target of the bundle; it has {', '.join(names)}", param, ctx)
        return value

    def shell_complete(
        self,
        ctx: click.Context,
        param: click.Parameter,  # noqa: ARG002 - click's signature
        incomplete: str,
    ) -> list[CompletionItem]:
        """Return the targets that begin with the typed text."""
        home = ctx.params.get("home")
        names = list_targets(home if isinstance(home, Path) else None)
        return [CompletionItem(name) for name in names if name.startswith(incomplete)]


TARGET = _Target()
