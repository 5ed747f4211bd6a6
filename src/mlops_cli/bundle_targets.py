"""The targets of the bundle, which a command reads from databricks.yml when it needs them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click


def _read_modes() -> Mapping[str, Any]:
    """Each target with its mode, in the order of databricks.yml; empty outside a checkout."""
    from laptop.bundle import read_source
    from laptop.includes import find_root

    root = find_root(Path.cwd())
    if root is None:
        return {}
    source = read_source(root)
    modes = {name: source.tree.get("targets", name, "mode") for name in source.targets}
    return {name: mode.value if mode else None for name, mode in modes.items()}


def list_targets(home: Path | None) -> tuple[str, ...]:
    """The targets of databricks.yml, then those that only a laptop's home knows.

    Args:
        home: a laptop's home folder; None: a workspace.
    """
    known = sorted(file.stem for file in (home / "summary").glob("*.json")) if home else []
    return tuple(dict.fromkeys([*_read_modes(), *known]))


def list_deployed_targets() -> tuple[str, ...]:
    """The targets that pipelines deploy: all but those of `mode: development`, in the order of databricks.yml.

    A release is proved in each before it goes to the next; people review what goes to the last one. Empty outside a
    checkout.
    """
    return tuple(name for name, mode in _read_modes().items() if mode != "development")


_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")


class _Target(click.ParamType[str]):
    """A target of the bundle. Outside a checkout any plain name is taken; whatever reads the deployment checks it."""

    name = "target"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the name; fail if neither databricks.yml nor the home has it."""
        home = ctx.params.get("home") if ctx else None
        names = list_targets(home if isinstance(home, Path) else None)  # click has a mark of its own for "not given"
        if not names and not _NAME.fullmatch(value):
            self.fail(f"{value!r} is no name of a target: letters, digits, '_', '-' and '.' only", param, ctx)
        if names and value not in names:
            self.fail(f"{value!r} is no target of the bundle; it has {', '.join(names)}", param, ctx)
        return value


TARGET = _Target()
