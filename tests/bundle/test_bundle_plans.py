"""The golden plans: what a reviewer reads is what the YAML comes to."""

from __future__ import annotations

import difflib
from pathlib import Path

import pytest

from laptop.bundle import list_targets
from laptop.golden_plans import FOLDER, render_plan


@pytest.mark.parametrize("target", ["dev", "staging", "prod"])
def test_a_target_comes_to_its_golden_plan(root: Path, target: str) -> None:
    wanted, found = (root / FOLDER / f"{target}.yml").read_text(), render_plan(root, target)
    changed = "\n".join(
        difflib.unified_diff(wanted.splitlines(), found.splitlines(), "golden", "now", lineterm="", n=2)
    )
    assert not changed, f"if this is meant: uv run laptop validate --write-plans\n{changed}"


def test_every_target_has_a_plan_and_every_plan_a_target(root: Path) -> None:
    assert {file.stem for file in (root / FOLDER).glob("*.yml")} == set(list_targets(root))


def test_a_plan_is_the_same_for_everybody_and_everywhere(copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = render_plan(copied.parents[0] / copied.name, "dev")
    monkeypatch.setenv("LOGNAME", "somebody-else")
    assert render_plan(copied, "dev") == before
    assert "somebody-else" not in before
    assert str(copied) not in before
