"""What workflows and pipelines do when they run: in a fork, with a planted artifact, when the CLI is installed."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import tomllib
import zipfile
from pathlib import Path

import pytest
from jobruns import Machine, conditions
from pipelinefiles import AZURE, GITHUB, ROOT, document, every_step, github, jobs

OWN = {"event": {"pull_request": {"head": {"repo": {"full_name": "octo/flights"}}}, "repository": {"private": False}}}
OWN["repository"] = "octo/flights"  # type: ignore[assignment]
FORK = {**OWN, "event": {"pull_request": {"head": {"repo": {"full_name": "eve/flights"}}}}}
BY_ITSELF = {file.stem for file in GITHUB if set(document(file)["on"]) - {"workflow_call", "workflow_dispatch"}}
"""Workflows that nobody has to start."""


def needs_workspace(workflow: str, job: str) -> bool:
    found = document(ROOT / f".github/workflows/{workflow}.yml")["jobs"][job]
    return "DATABRICKS_HOST" in found.get("env", {}) or str(found.get("uses", "")).endswith("/target.yml")


ALL = [(file.stem, job) for file in GITHUB for job in document(file)["jobs"]]
WORKSPACE = [(workflow, job) for workflow, job in ALL if needs_workspace(workflow, job) and workflow != "target"]


def test_there_are_jobs_that_need_a_workspace() -> None:
    assert {workflow for workflow, _ in WORKSPACE} == {"plan", "deploy", "drift", "promote", "rollback"}


@pytest.mark.parametrize(("workflow", "job"), WORKSPACE)
@pytest.mark.parametrize("what", ["model", "code"])
def test_without_a_workspace_no_job_that_needs_one_runs(workflow: str, job: str, what: str) -> None:
    for target in ("staging", "prod"):
        assert not conditions(workflow, OWN, {}, what=what, target=target)[job]


@pytest.mark.parametrize(("workflow", "job"), WORKSPACE)
def test_with_its_target_switched_on_it_runs(workflow: str, job: str) -> None:
    both = {"DEPLOY_TARGETS": "staging prod"}
    what = "code" if job == "code" else "model"
    assert all(conditions(workflow, OWN, both, what=what, target=target)[job] for target in ("staging", "prod"))


def test_staging_alone_is_deployed_where_prod_is_off() -> None:
    runs = conditions("deploy", OWN, {"DEPLOY_TARGETS": "staging"})
    assert (runs["build"], runs["staging"], runs["prod"]) == (True, True, False)
    assert conditions("deploy", OWN, {}) == {
        "ci": True, "targets": True, "build": False, "staging": False, "prod": False,
    }  # fmt: skip
    for workflow in ("promote", "rollback"):
        job = "promote" if workflow == "promote" else "model"
        variables = {"DEPLOY_TARGETS": "staging"}
        assert conditions(workflow, OWN, variables, what="model", target="staging")[job]
        assert not conditions(workflow, OWN, variables, what="model", target="prod")[job]


def test_every_workflow_that_skips_says_why() -> None:
    for workflow in {workflow for workflow, _ in WORKSPACE}:
        assert conditions(workflow, OWN, {}, what="model", target="prod")["targets"]
    (job,) = document(ROOT / ".github/workflows/targets.yml")["jobs"].values()
    assert "docs/how-to/switch-on.md" in job["name"]
    assert (ROOT / "docs/how-to/switch-on.md").exists()


@pytest.mark.parametrize("variables", [{}, {"DEPLOY_TARGETS": "staging prod"}])
def test_a_pull_request_from_a_fork_runs_no_job_with_an_identity(variables: dict[str, str]) -> None:
    assert not any(conditions("plan", FORK, variables).values())


@pytest.mark.parametrize("workflow", sorted(BY_ITSELF))
def test_no_job_that_starts_by_itself_names_an_environment_before_it_is_switched_on(workflow: str) -> None:
    """GitHub makes an environment that a job names, without any protection."""
    runs = conditions(workflow, OWN, {})
    for job, found in document(ROOT / f".github/workflows/{workflow}.yml")["jobs"].items():
        assert not (runs[job] and "environment" in found)


@pytest.mark.parametrize(("private", "licensed", "runs"), [(True, "", False), (True, "on", True), (False, "", True)])
def test_code_scanning_runs_where_it_is_allowed(private: bool, licensed: str, runs: bool) -> None:
    context = {"event": {"repository": {"private": private}}}
    assert conditions("codeql", context, {"CODE_SCANNING": licensed})["analyze"] is runs


# --- what an artifact holds ------------------------------------------------------------------------------------------

UNPACKING = [
    (file.stem, name)
    for file in GITHUB
    for name, job in document(file)["jobs"].items()
    if any("download-artifact@" in step.get("uses", "") for step in job.get("steps", ()))
]
UNPACKING_AZURE = [
    (str(file.relative_to(ROOT)), job.get("job", job.get("deployment")))
    for file in AZURE
    for job in jobs(document(file))
    if "'download'" in str(job)
]


def assert_nothing_planted(machine: Machine) -> None:
    ran = machine.log.read_text()
    assert "planted" not in ran, ran
    for name in (".ci/setup", ".ci/run", "src/mlops_cli/cli.py", "src/sitecustomize.py", "uv.toml", "pyproject.toml"):
        if (machine.work / name).exists():
            assert "planted" not in (machine.work / name).read_text(), name


@pytest.mark.parametrize(("workflow", "job"), UNPACKING)
def test_no_file_of_an_artifact_takes_the_place_of_a_file_that_runs(workflow: str, job: str, tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    machine.github(workflow, job)
    assert_nothing_planted(machine)


@pytest.mark.parametrize(("file", "job"), UNPACKING_AZURE)
def test_nor_on_azure(file: str, job: str, tmp_path: Path) -> None:
    found = next(each for each in jobs(document(ROOT / file)) if job == each.get("job", each.get("deployment")))
    machine = Machine(tmp_path)
    machine.azure(found.get("steps") or found["strategy"]["runOnce"]["deploy"]["steps"], pull_request=False)
    assert_nothing_planted(machine)


def test_no_code_of_a_pull_request_runs_in_the_job_that_may_comment(tmp_path: Path) -> None:
    here, there = Machine(tmp_path / "github"), Machine(tmp_path / "azure")
    here.github("plan", "comment")
    steps = next(j for j in jobs(document(ROOT / ".azure/templates/plan.yml")) if j["job"] == "comment")["steps"]
    there.azure(steps, pull_request=True)
    for machine in (here, there):
        ran = machine.log.read_text()
        assert ".ci/setup of main" in ran
        assert "uv in" in ran
        assert "planted" not in ran
        assert "pull request" not in ran


def test_the_machine_of_these_tests_does_see_what_is_planted(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    machine.project(machine.work, "main")
    machine.unpack(".")
    machine.bash(".ci/setup; uv run mlops ci comment plan.md", {})
    assert machine.log.read_text().count("planted") == 2


def test_what_may_sign_or_write_runs_nothing_of_a_commit_that_main_does_not_hold() -> None:
    """Rights that outlive a run: attestations, releases. main holds the commit, or no code of it runs."""
    for file in GITHUB:
        for name, job in document(file)["jobs"].items():
            if {"attestations", "contents"} & {k for k, v in job["permissions"].items() if v == "write"}:
                if "uses" in job:
                    continue
                runs = [step.run for step in github(file.stem, name)]
                if "actions/checkout@" in str(job["steps"]):
                    assert "merge-base --is-ancestor HEAD origin/main" in runs[0], (file.name, name)
                else:
                    assert not [run for run in runs if not run.startswith("cp ")], (file.name, name)


def test_prod_on_azure_takes_only_a_run_of_staging_that_came_to_its_end() -> None:
    stage = document(ROOT / ".azure/templates/target.yml")["stages"][0]
    plan, deploy, last = stage["jobs"]
    (proved,) = next(iter(last.values()))
    assert next(iter(last)) == "${{ if eq(parameters.target, 'staging') }}"
    assert (proved["dependsOn"], proved.get("condition")) == ("deploy", None)
    assert {"publish": "proved.txt", "artifact": "proved"} in proved["steps"]
    wanted = {
        "${{ if eq(parameters.target, 'prod') }}": [{"download": "${{ parameters.release }}", "artifact": "proved"}]
    }
    assert wanted in plan["steps"]
    assert deploy["dependsOn"] == "plan"


# --- the Databricks CLI ----------------------------------------------------------------------------------------------

CURL = """#!/bin/sh
for word in "$@"; do url="$word"; done
while [ "$1" != --output ]; do shift; done
echo "$url" >> "$RELEASE/asked"
cp "$RELEASE/$(basename "$url")" "$2"
"""


@pytest.fixture
def release(tmp_path: Path) -> Path:
    """A release as GitHub keeps it, the archive and its list of checksums, and a copy of the script."""
    (version,) = re.findall(r"^version=(\S+)", (ROOT / ".ci/databricks-cli").read_text(), re.MULTILINE)
    folder = tmp_path / "release"
    folder.mkdir()
    archive = folder / f"databricks_cli_{version}_linux_amd64.zip"
    with zipfile.ZipFile(archive, "w") as made:
        entry = zipfile.ZipInfo("databricks")
        entry.external_attr = 0o755 << 16
        made.writestr(entry, "#!/bin/sh\necho the CLI\n")
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    other = "0" * 64
    (folder / f"databricks_cli_{version}_SHA256SUMS").write_text(
        f"{other}  databricks_cli_{version}_darwin_arm64.zip\n{digest}  {archive.name}\n"
    )
    for name, text in (("bin/curl", CURL), (".ci/databricks-cli", (ROOT / ".ci/databricks-cli").read_text())):
        file = tmp_path / name
        file.parent.mkdir()
        file.write_text(text)
        file.chmod(0o755)
    (tmp_path / "tools").mkdir()
    return folder


def install(release: Path) -> subprocess.CompletedProcess[str]:
    place = release.parent
    env = {"PATH": f"{place / 'bin'}:{os.environ['PATH']}", "RELEASE": str(release), "TMPDIR": str(place)}
    return subprocess.run(
        [place / ".ci/databricks-cli", str(place / "tools")], env=env, capture_output=True, text=True, check=False
    )


def test_the_cli_is_installed_as_shipped(release: Path) -> None:
    done = install(release)
    assert done.returncode == 0, done.stderr
    said = subprocess.run([release.parent / "tools/databricks"], capture_output=True, text=True, check=True)
    assert said.stdout == "the CLI\n"
    asked = (release / "asked").read_text().splitlines()
    assert len(asked) == 2
    assert all(url.startswith("https://github.com/databricks/cli/releases/download/v") for url in asked)


def test_an_archive_that_is_not_the_published_one_is_not_installed(release: Path) -> None:
    archive = next(release.glob("*.zip"))
    archive.write_bytes(archive.read_bytes() + b"x")
    assert install(release).returncode != 0
    assert not list((release.parent / "tools").iterdir())


@pytest.mark.parametrize("text", ["", "0" * 64 + "  another.zip\n", "no checksum at all\n"])
def test_a_list_without_the_archive_stops_with_a_sentence(release: Path, text: str) -> None:
    next(release.glob("*SHA256SUMS")).write_text(text)
    done = install(release)
    assert done.returncode == 1
    assert "names no checksum of databricks_cli_" in done.stderr
    assert not list((release.parent / "tools").iterdir())


def test_a_list_that_is_committed_is_the_one_that_counts(release: Path) -> None:
    sums = next(release.glob("*SHA256SUMS"))
    committed = release.parent / ".ci" / sums.name
    committed.write_text(sums.read_text())
    sums.unlink()
    assert install(release).returncode == 0
    committed.write_text(re.sub(r"^[0-9a-f]{64}(?=  \S+linux)", "1" * 64, committed.read_text(), flags=re.MULTILINE))
    assert install(release).returncode != 0


# --- tests -----------------------------------------------------------------------------------------------------------


def test_every_marker_is_run_somewhere_in_both_systems() -> None:
    """What the default run leaves out, a scheduled job runs: nobody else would."""
    options = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"]
    markers = {line.partition(":")[0].strip() for line in options["markers"]}
    (default,) = re.findall(r"-m '([^']+)'", options["addopts"])
    assert set(re.findall(r"not (\w+)", default)) == markers
    assert re.fullmatch(r"not \w+( and not \w+)*", default)
    for ours in (True, False):
        runs = {step.run for where, step in every_step() if where.startswith((".azure", "azure")) is not ours}
        assert {".ci/run", *(f".ci/run -m {marker}" for marker in markers)} <= runs
    assert (ROOT / ".ci/run").read_text().rstrip().endswith('uv run pytest "$@"')
    assert "schedule" in document(ROOT / ".github/workflows/nightly.yml")["on"]


def test_no_test_is_left_out_for_what_a_machine_lacks() -> None:
    """A machine without a tool fails: a test that is skipped for years looks like one that passes."""
    words = re.compile(r"\bskip" + r"if\(|pytest\.skip" + r"\(|import" + r"orskip\(")
    for file in (ROOT / "tests").rglob("*.py"):
        assert not words.search(file.read_text()), file


def test_every_test_module_has_a_name_of_its_own() -> None:
    """pytest collects no second module of one name, and then the whole run stops; a part of it does not."""
    names = [file.name for file in (ROOT / "tests").rglob("test_*.py")]
    assert sorted(names) == sorted(set(names))
