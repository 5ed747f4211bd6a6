"""docs/how-to/setup.md: at most five steps per target, each of the promised shape, with commands that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mlops_cli import cli

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs/how-to/setup.md").read_text()
SECTIONS = dict(re.findall(r"^## (dev|staging and prod)\n(.*?)(?=^## )", PAGE, re.MULTILINE | re.DOTALL))
STEPS = {(s, step.split("\n")[0]): step for s, text in SECTIONS.items() for step in text.split("\n### ")[1:]}


@pytest.mark.parametrize("section", SECTIONS)
def test_a_target_takes_five_steps_at_most(section: str) -> None:
    numbers = [int(step[0]) for of, step in STEPS if of == section]
    assert numbers == list(range(1, len(numbers) + 1))
    assert 1 <= len(numbers) <= 5


@pytest.mark.parametrize("step", STEPS, ids=" ".join)
def test_a_step_says_what_it_runs_changes_undoes_and_shows(step: tuple[str, str]) -> None:
    text = STEPS[step]
    assert "```" in text
    assert "* Changes" in text
    assert re.search(r"\bundo|\bUndo", text)
    assert "* See:" in text


def test_every_command_of_ours_is_there() -> None:
    verbs = set(re.findall(r"\bmlops ([a-z-]+)", PAGE))
    assert {"bootstrap", "doctor", "promote", "approve"} <= verbs
    assert verbs <= set(cli.cli.commands)
