"""The help of both commands: one short, literal sentence for each command, of which no line is cut."""

from __future__ import annotations

from collections.abc import Iterator

import click
import demo.replay
import pytest
from click.testing import CliRunner

import laptop.cli
import mlops_cli.cli

COMMANDS = {"laptop": laptop.cli.main, "mlops": mlops_cli.cli.cli, "laptop demo": demo.replay.replay}


def walk(name: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    yield name, command
    for key, below in command.commands.items() if isinstance(command, click.Group) else ():
        yield from walk(f"{name} {key}", below)


ALL = dict(pair for name, command in COMMANDS.items() for pair in walk(name, command))


@pytest.mark.parametrize("name", [name for name, command in ALL.items() if isinstance(command, click.Group)])
def test_no_line_of_a_list_of_commands_is_cut(name: str) -> None:
    shown = CliRunner(env={"COLUMNS": "80"}).invoke(ALL[name], ["--help"]).output
    assert "Commands:" in shown
    assert "..." not in shown.partition("Commands:")[2]


@pytest.mark.parametrize("name", ALL)
def test_the_first_sentence_of_a_command_has_at_most_60_characters(name: str) -> None:
    first = (ALL[name].help or "").partition("\n\n")[0]
    assert first.endswith("."), "the first paragraph is one sentence"
    assert ". " not in first
    assert len(first) <= 60
