"""Parses commands that a document shows, without running them."""

from __future__ import annotations

from pathlib import Path

import click

ROOT = Path(__file__).parents[1]


def parse_command(words: list[str]) -> None:
    """Fail unless the command of `laptop` or `mlops` exists and takes these words."""
    import laptop.cli
    import mlops_cli.cli

    name, *arguments = words
    group = {"laptop": laptop.cli.main, "mlops": mlops_cli.cli.cli}[name]
    context = click.Context(group)
    verb, command, rest = group.resolve_command(context, arguments)
    given = [str(ROOT) if before == "--home" else word for before, word in zip([verb, *rest], rest, strict=False)]
    command.make_context(verb, given, parent=context)
