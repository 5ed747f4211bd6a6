"""Both systems run the same commands, in the same order, behind the same gates; each command exists and parses."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest
from pipelinefiles import ROOT, Step, azure, document, every_step, github

from laptop.bundle import load_bundle

PAIRS = {
    "test": (("ci", "test"), (".azure/templates/ci.yml", "test")),
    "secrets": (("ci", "secrets"), (".azure/templates/ci.yml", "secrets")),
    "nightly tests": (("nightly", "test"), ("azure-pipelines.yml", "nightly")),
    "nightly issue": (("nightly", "issue"), ("azure-pipelines.yml", "issue")),
    "audit": (("audit", "audit"), ("azure-pipelines.yml", "audit")),
    "pull request plan": (("plan", "plan"), (".azure/templates/plan.yml", "plan")),
    "comment": (("plan", "comment"), (".azure/templates/plan.yml", "comment")),
    "drift": (("drift", "drift"), (".azure/templates/plan.yml", "drift")),
    "drift issue": (("drift", "issue"), (".azure/templates/plan.yml", "issue")),
    "build": (("build", "build"), (".azure/staging.yml", "build")),
    "plan": (("target", "plan"), (".azure/templates/target.yml", "plan")),
    "deploy": (("target", "deploy"), (".azure/templates/target.yml", "deploy")),
    "promote": (("promote", "promote"), (".azure/templates/promote.yml", "${{ parameters.what }}")),
    "rollback": (("rollback", "model"), (".azure/templates/promote.yml", "${{ parameters.what }}")),
}
DEPLOY = [
    "git merge-base --is-ancestor HEAD origin/main",
    ".ci/setup databricks",
    "uv run mlops ci verify",
    'databricks bundle plan --target="$TARGET" --output=json > plan.json',
    'uv run mlops ci same-plan approved/plan.json plan.json --planner="$PLANNER" --planner="$DATABRICKS_CLIENT_ID"',
    'databricks bundle deploy --target="$TARGET" --fail-on-active-runs',
    'databricks bundle run integration --target="$TARGET"  [staging]',
    'databricks bundle plan --target="$TARGET" --output=json > after.json',
    'uv run mlops ci settled after.json --planner="$DATABRICKS_CLIENT_ID"',
]
FLAGS = {
    # databricks/cli v1.13.0, cmd/bundle/*.go; --target and --output are the root's.
    "databricks bundle validate": {"--strict", "--target"},
    "databricks bundle plan": {"--target", "--output"},
    "databricks bundle deploy": {"--target", "--fail-on-active-runs"},
    "databricks bundle run": {"--target"},
    "gh attestation verify": {"--repo", "--signer-workflow", "--deny-self-hosted-runners", "--format"},
    "gh release download": {"--repo", "--dir", "--pattern"},
    "gh release create": {"--repo", "--verify-tag", "--notes-file"},
    "git checkout": {"--quiet", "--detach", "--"},
    "git merge-base": {"--is-ancestor"},
}
PLUMBING = ("cat", "cp", "printf", "exit")
VALUES = {
    "TARGET": "staging", "VERSION": "3", "NUMBER": "7", "REASON": "late rate doubled", "TAG": "v0.1.0",
    "RELEASE": "v0.1.0", "PLAN": "plan.json", "RUN": "https://example.com/1", "RESULT": "failure",
    "DEPLOY_TARGETS": "staging", "PLANNER": "sp-plan", "DATABRICKS_CLIENT_ID": "sp",
    "GITHUB_REPOSITORY": "octo/flights",
    "SYSTEM_COLLECTIONURI": "https://dev.azure.com/octo/", "SYSTEM_TEAMPROJECT": "flights", "BUILD_REPOSITORY_ID": "1",
}  # fmt: skip


def verbs(steps: list[Step]) -> list[str]:
    """What decides or changes something, without what only one system has: attestations, and how it is addressed."""
    found = []
    for step in steps:
        text = re.sub(r"\s--(attestations|github|azure-devops)[ =].*", "", step.run)
        if re.match(r"uv |databricks |git merge-base |\.ci/", text):
            found.append(f"{text}  [{step.only}]" if step.only == "staging" else text)
    return found


@pytest.mark.parametrize("what", PAIRS)
def test_both_systems_run_the_same_commands_in_the_same_order(what: str) -> None:
    (workflow, job), (file, other) = PAIRS[what]
    mine, theirs = verbs(github(workflow, job)), verbs(azure(file, other, what=what))
    assert mine
    assert mine == theirs


def test_every_command_of_azure_has_a_twin_that_is_compared() -> None:
    compared = {step.run for what, (_, (file, job)) in PAIRS.items() for step in azure(file, job, what=what)}
    for where, step in every_step():
        if where.startswith((".azure", "azure")) and verbs([step]):
            assert step.run in compared, where


def test_only_github_has_attestations_releases_and_switches() -> None:
    alone = {verb for where, s in every_step() if ".yml:" in where and not where.startswith((".azure", "azure"))
             for verb in verbs([s])} - {v for _, (f, j) in PAIRS.values() for w in ("promote", "rollback")
                                        for v in verbs(azure(f, j, what=w))}  # fmt: skip
    assert {verb.split(" --")[0] for verb in alone} == {"uv run mlops ci notes", "uv run mlops ci targets"}


def test_a_deployment_verifies_compares_deploys_proves() -> None:
    assert verbs(github("target", "deploy")) == DEPLOY


def test_both_systems_have_the_same_gates() -> None:
    workflow = document(ROOT / ".github/workflows/target.yml")["jobs"]
    stage = document(ROOT / ".azure/templates/target.yml")["stages"][0]
    plan, deploy, _ = stage["jobs"]
    assert workflow["plan"]["environment"] == "${{ inputs.target }}-plan"
    assert plan["variables"][0] == {"group": "${{ parameters.target }}"}
    nightly = document(ROOT / ".azure/templates/plan.yml")["jobs"]
    assert [job["variables"][0] for job in nightly if job["job"] in {"plan", "drift"}] == [
        {"group": "${{ parameters.target }}-plan"}
    ] * 2
    assert (workflow["deploy"]["environment"], deploy["environment"]) == (
        "${{ inputs.target }}",
        "${{ parameters.target }}",
    )
    assert (workflow["deploy"]["needs"], deploy["dependsOn"]) == ("plan", "plan")
    promote = document(ROOT / ".azure/templates/promote.yml")["jobs"][0]
    for name, job in (("promote", "promote"), ("rollback", "model")):
        assert (
            document(ROOT / f".github/workflows/{name}.yml")["jobs"][job]["environment"]
            == "${{ inputs.target }}-promote"
        )
    assert promote["environment"] == "${{ parameters.target }}-promote"


def test_both_systems_reach_prod_only_through_staging() -> None:
    jobs = document(ROOT / ".github/workflows/deploy.yml")["jobs"]
    assert jobs["build"]["needs"] == ["ci", "targets"]
    assert (jobs["staging"]["needs"], jobs["prod"]["needs"]) == (["targets", "build"], ["targets", "staging"])
    source = document(ROOT / ".azure/prod.yml")["resources"]["pipelines"][0]
    assert source["source"].endswith("-staging")
    assert source["trigger"]["branches"]["include"] == ["main"]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("plan.json", "plan.md", "drift.md", "after.json", "approved/plan.json", "attestations.json"):
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text("{}")
    (tmp_path / ".ci").mkdir()
    for name in ("vulnerabilities", "licences"):
        (tmp_path / f".ci/{name}.toml").write_text("")
    (tmp_path / "databricks.yml").write_text((ROOT / "databricks.yml").read_text())  # it names the targets
    monkeypatch.chdir(tmp_path)
    return tmp_path


ALL = sorted({step.run for _, step in every_step()})


@pytest.mark.parametrize("run", ALL)
def test_every_command_exists_and_parses(run: str, place: Path) -> None:
    text = re.sub(r"\$(\w+)", lambda found: VALUES.get(found[1], "value"), re.sub(r"\s>>?\s*\S+", "", run))
    words = shlex.split(text)
    if words[0] in PLUMBING:
        return
    if words[0].startswith("."):
        assert (ROOT / words[0]).stat().st_mode & 0o100
        return
    if words[:3] == ["uv", "run", "mlops"]:
        _parses(words[3:])
        return
    known = [verb for verb in FLAGS if text.startswith(f"{verb} ")]
    assert known, text
    used = {word.partition("=")[0] for word in words if word.startswith("--")}
    assert used <= FLAGS[known[0]], used - FLAGS[known[0]]


def _parses(arguments: list[str]) -> None:
    from mlops_cli.cli import cli

    context, command = click.Context(cli), cli
    while isinstance(command, click.Group):
        name, found, arguments = command.resolve_command(context, arguments)
        command = found
        if isinstance(command, click.Group):
            context = click.Context(command, parent=context)
    command.make_context(name, arguments, parent=context)


def test_every_job_that_is_run_is_in_the_bundle() -> None:
    run = {found[1] for _, step in every_step() if (found := re.search(r"bundle run (\w+)", step.run))}
    assert run == {"integration"}
    assert run <= load_bundle(ROOT, "staging").jobs.keys()


@pytest.mark.parametrize("target", ["staging", "prod"])
def test_what_the_pipeline_built_is_not_built_again(target: str) -> None:
    artifacts = load_bundle(ROOT, target).document.get("artifacts", {})
    assert not [name for name, artifact in artifacts.items() if artifact.get("build")]
