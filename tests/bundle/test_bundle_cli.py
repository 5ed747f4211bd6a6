"""The linter against the CLI: small bundles, of which cli_cases.yml says what CLI 1.13.0 said."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from laptop.lint import lint_bundle

CASES: list[dict[str, Any]] = YAML(typ="safe").load(Path(__file__).with_name("cli_cases.yml"))


@pytest.mark.parametrize("case", CASES, ids=[case["case"] for case in CASES])
def test_the_linter_refuses_what_the_cli_refuses_or_drops_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: dict[str, Any]
) -> None:
    monkeypatch.setenv("LOGNAME", "ada")
    root = tmp_path / "bundle"
    for path, text in {"databricks.yml": case["bundle"], **case.get("files", {})}.items():
        file = Path(os.path.normpath(root / path))
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, newline="")
    wanted = case.get("ours", case["cli"]).partition(":")[0]
    problems = [str(problem) for problem in lint_bundle(root)]
    assert bool(problems) == (wanted in {"refused", "warned"}), problems


def test_the_cases_are_of_all_three_verdicts() -> None:
    assert {case["cli"] for case in CASES} == {"refused", "warned", "accepted"}
    assert len({case["case"] for case in CASES}) == len(CASES) > 300
