"""25 hostile inputs in the place of all that a person or a workspace says: nothing is run, nothing is changed."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import click
import pytest
from pipelinefiles import every_step

from mlops_cli.ci.plan_differences import config_drift
from mlops_cli.ci.plan_pages import report_drift, summarise_plan
from mlops_cli.ci.plans import parse_plan
from mlops_cli.cli import run_args
from mlops_cli.versions import text_tables

HOSTILE = (
    '"; touch canary; echo "', "'; touch canary; '", "$(touch canary)", "`touch canary`", "${IFS}touch${IFS}canary",
    "| touch canary", "&& touch canary", "> canary", "\ntouch canary\n", "\r\ntouch canary", "--help", "--version=1",
    "-pcanary=1", "../../canary", "/etc/passwd", "${{ github.token }}", "$(System.AccessToken)",
    "##vso[task.setvariable variable=TARGET]prod", "::add-path::/tmp/canary", "::set-output name=planner::x",
    "<img src=x onerror=alert(1)>", "[click](javascript:alert(1)) @octo #1 |x|", "-->\n# hidden",
    "1 UNION SELECT", "\u202eprod\u0000\u001b[2J" + "A" * 5000,
)  # fmt: skip
IDS = [f"{number:02}" for number in range(1, len(HOSTILE) + 1)]
STUBS = """
uv() { printf '%s\\0' uv "$@" >> "$CALLS"; }
databricks() { printf '%s\\0' databricks "$@" >> "$CALLS"; }
gh() { printf '%s\\0' gh "$@" >> "$CALLS"; }
git() { printf '%s\\0' git "$@" >> "$CALLS"; }
python() { printf '%s\\0' python "$@" >> "$CALLS"; }
cp() { printf '%s\\0' cp "$@" >> "$CALLS"; }
"""
STEPS = [step for _, step in every_step() if not step.run.startswith(".") and not step.run.startswith("exit")]


def test_there_are_25() -> None:
    assert len(set(HOSTILE)) == 25


@pytest.mark.parametrize("hostile", HOSTILE, ids=IDS)
def test_no_command_of_a_pipeline_does_what_a_value_says(hostile: str, tmp_path: Path) -> None:
    """Every command of both systems, in bash, with a hostile value in each of its variables at once."""
    value = hostile.replace("\0", "")
    work = tmp_path / "work"
    work.mkdir()
    names = {name for step in STEPS for name in re.findall(r"\$(\w+)", step.run)}
    files = {name: str(tmp_path / name) for name in ("GITHUB_STEP_SUMMARY", "GITHUB_OUTPUT", "CALLS")}
    blocks = "\n".join(f"( {step.run}\n) || true" for step in STEPS)
    done = subprocess.run(
        ["bash", "-c", STUBS + blocks],
        cwd=work,
        env={"PATH": "/usr/bin:/bin", **dict.fromkeys(names - {"PWD"}, value), **files},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "canary" not in {path.name for path in tmp_path.rglob("*")}, done.stderr
    made = {path.name for path in work.iterdir()}
    assert made <= {"plan.json", "after.json", "attestations.json", "proved.txt"}
    arguments = (tmp_path / "CALLS").read_bytes().decode().split("\0")
    holding = [argument for argument in arguments if value in argument]
    assert holding
    for argument in holding:
        whole = re.sub(re.escape(value), "\x00", argument)
        assert re.fullmatch(r"(--[a-z-]+=)?\x00(/\.github/workflows/build\.yml)?", whole), argument


COMMANDS = (
    "promote --target=staging --version={}", "promote --target={} --version=1", "rollback --target={} --reason=x",
    "ci journal --target=prod --version={}", "ci notes --tag={}", "ci drift plan.json --target={}",
    "ci comment plan.json --target=prod --pull-request={} --github=octo/flights --token=t",
    "ci comment plan.json --target=prod --pull-request=1 --github={} --token=t",
    "ci issue plan.json --target=prod --github={} --token=t", "ci targets --on={}",
    "ci nightly --result=failure --run={} --github=octo/flights --token=t",
    "ci nightly --result=failure --run=https://x --github={} --token=t",
)  # fmt: skip


@pytest.mark.parametrize("hostile", HOSTILE, ids=IDS)
def test_no_command_of_ours_takes_it(
    hostile: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "pyproject.toml").write_text('[project]\nversion = "0.1.0"\n')
    (tmp_path / "plan.json").write_text('{"plan_version": 2}')
    before = sorted(tmp_path.rglob("*"))
    for command in COMMANDS:
        words = [word.replace("{}", hostile.replace("\0", "")) for word in command.split(" ")]
        assert run_args(words) in {1, 2}, command
        assert sorted(tmp_path.rglob("*")) == before, command
        told = capsys.readouterr().err
        assert "Traceback" not in told
        assert "::" not in told
        assert "##vso" not in told


@pytest.mark.parametrize("hostile", HOSTILE, ids=IDS)
def test_what_a_tag_or_a_workspace_says_is_shown_without_a_command_to_the_pipeline(
    hostile: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A model's tags are written by whoever trains; `mlops status` shows them in a pipeline that can promote."""
    text_tables.print_rows([("by", "verdict"), (hostile, text_tables.format_value(hostile))])
    (tmp_path / "summary").mkdir()
    (tmp_path / "summary/prod.json").write_text(json.dumps({"resources": {"jobs": {hostile: {}}}}))
    assert run_args(["rollback", "--target=prod", "--reason=x", f"--home={tmp_path}"]) == 1
    assert run_args(["promote", "--target=prod", f"--home={tmp_path}"]) == 1
    told = "".join(capsys.readouterr())
    assert "it has" in told
    assert "::" not in told
    assert "##vso" not in told


@pytest.mark.parametrize("hostile", HOSTILE, ids=IDS)
def test_a_plan_is_shown_as_text_whatever_it_holds(hostile: str) -> None:
    entry = {"action": "update", "changes": {hostile: {"action": "update", "old": hostile, "new": {hostile: hostile}}}}
    text = json.dumps({"plan_version": 2, "plan": {f"resources.jobs.{hostile}": entry}})
    plan = parse_plan(text)
    for page in (summarise_plan(plan, "prod"), report_drift(config_drift(plan), "prod")):
        bare = re.sub(r"</?(code|details|summary)>", "", page)
        assert not re.search(r"[<>`@\[\]$\"'\u202e\x00\x1b]", bare)
        assert "::" not in page
        assert "##vso" not in page
        rows = [line for line in page.splitlines() if line.startswith("|")]
        assert {row.count("|") for row in rows} in ({7}, {5})


@pytest.mark.parametrize("hostile", HOSTILE, ids=IDS)
def test_what_stops_a_pipeline_is_told_without_a_command_to_it(
    hostile: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    entry = {"action": "create"}
    plan = tmp_path / "plan.json"
    plan.write_text(json.dumps({"plan_version": 2, "plan": {f"resources.jobs.{hostile}": entry}}))
    assert run_args(["ci", "settled", str(plan)]) == 1
    told = capsys.readouterr().err
    assert "::" not in told
    assert "##vso" not in told
    assert len(told.splitlines()) == 2
    assert click.unstyle(told) == told


def test_a_branch_and_a_title_are_read_nowhere() -> None:
    for where, step in every_step():
        for value in step.env.values():
            assert not re.search(r"head_ref|head\.ref|\.title|\.body|SourceBranchName|SourceVersionMessage", value), (
                where
            )
