"""Targets are what databricks.yml says: a target `qa` of a fork is taken by every command, a misspelled one by none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mlops_cli import cli
from mlops_cli.bundle_targets import list_deployed_targets, list_targets
from mlops_cli.workspace.protection import is_reviewed

BUNDLE = """
bundle: {name: x}
include: [more.yml]
targets:
  laptop: {mode: development}
  qa: {mode: production}
"""


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "databricks.yml").write_text(BUNDLE)
    (tmp_path / "more.yml").write_text("targets: {live: {}}")
    below = tmp_path / "below"
    below.mkdir()
    monkeypatch.chdir(below)
    return tmp_path


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "home"
    (folder / "summary").mkdir(parents=True)
    (folder / "summary" / "only_here.json").write_text("{}")
    return folder


def test_targets_are_those_of_all_files_in_their_order(checkout: Path, home: Path) -> None:
    assert list_targets(None) == ("laptop", "qa", "live")
    assert list_targets(home) == ("laptop", "qa", "live", "only_here")
    assert list_deployed_targets() == ("qa", "live")


def test_a_pipeline_may_touch_the_targets_that_are_no_development(
    checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run_args(["ci", "targets", "--on", "qa", "--out", "shown.md"]) == 0
    assert json.loads(capsys.readouterr().out.partition("=")[2]) == ["qa"]
    assert [line[:7] for line in Path("shown.md").read_text().splitlines()] == ["- qa: o", "- live:"]
    assert cli.run_args(["ci", "targets", "--on", "laptop", "--out", "shown.md"]) == 1


def test_a_command_takes_the_targets_of_the_bundle_and_no_other(
    checkout: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run_args(["approve", "1", "--target", "qua", "--home", str(home)]) == 2
    assert "'qua' is no target of the bundle; it has laptop, qa, live, only_here" in capsys.readouterr().err
    assert cli.run_args(["deploy", "1", "--target", "qua"]) == 2
    assert "it has laptop, qa, live\n" in capsys.readouterr().err
    assert cli.run_args(["approve", "1", "--target", "qa", "--home", str(home)]) == 1
    assert "knows only_here, not 'qa': run a job of it first" in capsys.readouterr().err


def test_outside_a_checkout_a_home_knows_its_targets(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert list_targets(home) == ("only_here",)
    assert cli.run_args(["deploy", "1", "--target", "prod", "--home", str(home)]) == 2
    assert "it has only_here" in capsys.readouterr().err
    assert cli.run_args(["status"]) == 1
    assert "no target is known" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["approve", "1"], ["promote"], ["rollback", "--reason=late"], ["ci", "journal"]])
def test_outside_a_checkout_and_without_a_home_no_target_is_taken(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.run_args([*words, "--target", "prod"]) == 2
    told = capsys.readouterr().err
    assert "there is no databricks.yml here or above, which would say whether 'prod' is a target; run this in" in told


def test_people_review_what_goes_to_the_last_target() -> None:
    assert [is_reviewed(name, ("staging", "qa", "prod")) for name in ("staging", "qa", "prod")] == [False, False, True]
    assert is_reviewed("prod", ())
