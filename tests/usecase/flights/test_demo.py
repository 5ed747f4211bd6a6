"""The README's main command as its user runs it: from an empty home to a monitored model, again, and mended."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from benchmarks.loop import tree_memory
from names import SCHEMA

pytestmark = [pytest.mark.nightly, pytest.mark.timeout(1800)]
ROOT = Path(__file__).parents[3]
BIN = Path(sys.executable).parent


@dataclass(frozen=True)
class Shown:
    """What one command left on the screen."""

    screen: str
    peak: int
    """Bytes, of the whole process tree."""


def _type(home: Path, *words: str) -> Shown:
    log = home.with_suffix(".log")
    with log.open("w") as screen:
        process = subprocess.Popen(
            [str(BIN / words[0]), *words[1:], "--home", str(home)], cwd=ROOT, stdout=screen, stderr=screen,
            env={**os.environ, "CI": "true"},  # so that it leaves nothing running
        )  # fmt: skip
        peak = 0
        while process.poll() is None:
            peak = max(peak, tree_memory(process.pid))
            time.sleep(0.5)
    assert process.returncode == 0, log.read_text()[-3000:]
    return Shown(log.read_text(), peak)


def _status(home: Path) -> list[dict[str, Any]]:
    command = [str(BIN / "mlops"), "status", "--output", "json", "--home", str(home)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    rows: list[dict[str, Any]] = json.loads(done.stdout)
    return [{key: row[key] for key in ("target", "alias", "version", "digest")} for row in rows]


def _written(home: Path) -> dict[str, set[str]]:
    """Files of every table that lies in the home."""
    logs = (home / "warehouse").glob("*/*/*/_delta_log")
    return {log.parent.name: {file.name for file in log.glob("*.json")} for log in logs}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo") / "home"


@pytest.fixture(scope="module")
def first(home: Path) -> Shown:
    return _type(home, "laptop", "demo", "--approver", "ada")


def test_one_version_serves_in_all_three_targets_and_its_files_are_the_same(home: Path, first: Shown) -> None:
    champions = [row for row in _status(home) if row["alias"] == "champion"]
    assert [row["target"] for row in champions] == ["dev", "staging", "prod"]
    assert len({row["digest"] for row in champions}) == 1
    assert first.screen.count(f"artifact digest {champions[0]['digest'][:12]}") == 3


def test_prod_waits_for_the_named_approver_and_the_screen_shows_each_command(first: Shown) -> None:
    waits, approves = first.screen.index("approval         WAITING"), first.screen.index("--approver ada")
    assert waits < approves
    for command in (
        "laptop run sample",
        "laptop run ingestion",
        "mlops promote",
        "mlops approve",
        "laptop run inference",
    ):
        assert f"$ {command}" in first.screen


def test_the_demo_ends_after_april_and_says_how_to_go_on(home: Path, first: Shown) -> None:
    assert "1 of 1: 1 April to 30 April" in first.screen
    assert f"uv run laptop demo --until 2013-12-31 --home {home}  (about" in first.screen


def test_the_whole_process_tree_stays_below_4_gib(first: Shown) -> None:
    assert first.peak < 4 * 2**30


@pytest.mark.usefixtures("first")
@pytest.mark.parametrize(
    ("notebook", "target", "parameters", "says"),
    [
        ("explore", "dev", (), "figure: "),
        ("train", "dev", ("-p", "as_of=2013-04-01T00:00:00Z"), "f1_score 0."),
        ("review", "prod", (), "accepted"),
        ("monitor", "prod", (), "calibration_gap"),
    ],
)
def test_a_notebook_runs_on_what_the_demo_left(
    home: Path, notebook: str, target: str, parameters: tuple[str, ...], says: str
) -> None:
    before = _written(home)
    file = str(ROOT / "notebooks" / f"{notebook}.py")
    assert says in _type(home, "laptop", "notebook", file, "-t", target, *parameters).screen
    assert _written(home) == before


@pytest.mark.usefixtures("first")
def test_again_with_one_table_deleted_redoes_exactly_that_table(home: Path) -> None:
    before, tables = _status(home), _written(home)
    shutil.rmtree(home / "warehouse" / "prod" / SCHEMA / "predictions")
    again = _type(home, "laptop", "demo", "--approver", "ada")
    assert _status(home) == before
    assert "skipped training" in again.screen
    assert again.screen.count("skipped promotion") == 2
    after = _written(home)
    assert after["predictions"]
    for table in ("features", "schedule", "outcomes", "audit", "ledger", "quarantine"):
        assert after[table] == tables[table], f"{table} was written again"
