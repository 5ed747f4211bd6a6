"""Rules of this house for workflows and pipelines, which no linter knows."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from pipelinefiles import AZURE, GITHUB, ROOT, azure, document, every_step, github, jobs

BY_NAME = [pytest.param(file, id=file.name) for file in GITHUB]
UNTRUSTED = r"head_ref|\.title|\.body|head\.ref|head\.label|commits|author|\.message|github\.actor"


@pytest.mark.parametrize("file", BY_NAME)
def test_a_workflow_is_given_nothing_and_each_job_what_it_says(file: Path) -> None:
    workflow = document(file)
    assert workflow["permissions"] == {}
    for job in workflow["jobs"].values():
        assert job["permissions"]
        if "uses" not in job:
            assert 0 < job["timeout-minutes"] <= 120


@pytest.mark.parametrize("file", BY_NAME)
def test_every_permission_says_what_it_is_for(file: Path) -> None:
    for line in file.read_text().splitlines():
        if re.match(r"\s+[a-z-]+: (read|write)\b", line):
            assert "# to " in line, line


def test_no_stored_secret_is_read_anywhere() -> None:
    for file in (*GITHUB, *AZURE):
        assert "secrets." not in file.read_text(), file


def test_the_runs_own_token_writes_only_where_nothing_of_a_pull_request_runs() -> None:
    for file in GITHUB:
        for name, job in document(file)["jobs"].items():
            writes = {k for k, v in job["permissions"].items() if v == "write"} & {
                "contents",
                "issues",
                "pull-requests",
            }
            if writes:
                assert "id-token" not in job["permissions"], (file.name, name)
                checkout = next(s for s in job["steps"] if s.get("uses", "").startswith("actions/checkout@"))
                if file.name == "plan.yml":
                    assert checkout["with"]["ref"] == "${{ github.event.pull_request.base.sha }}"


def test_every_action_is_pinned_to_a_commit_and_says_its_version() -> None:
    lines = [line for file in GITHUB for line in file.read_text().splitlines() if "uses:" in line]
    used = {line.partition("uses:")[2].strip() for line in lines}
    assert len(used) > 8
    for each in used:
        assert re.fullmatch(r"\./\.github/workflows/[a-z]+\.yml|[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", each), each
    by_action: dict[str, set[str]] = {}
    for each in used - {u for u in used if u.startswith("./")}:
        by_action.setdefault(each.partition("@")[0], set()).add(each)
    assert all(len(pins) == 1 for pins in by_action.values())


def test_every_checkout_forgets_its_token() -> None:
    for file in GITHUB:
        for job in document(file)["jobs"].values():
            for step in job.get("steps", ()):
                if step.get("uses", "").startswith("actions/checkout@"):
                    assert step["with"]["persist-credentials"] is False
    for file in AZURE:
        assert file.read_text().count("checkout: self") == file.read_text().count('persistCredentials: "false"')


def test_nothing_is_cached_and_everything_installed_is_locked() -> None:
    assert not [file for file in GITHUB if "actions/cache" in file.read_text() or "enable-cache" in file.read_text()]
    for script in ("run", "setup"):
        lines = (ROOT / ".ci" / script).read_text().splitlines()
        assert [line for line in lines if "pip install" in line and "--require-hashes" in line]
        assert all("--locked" in line for line in lines if "uv sync" in line or 'uv" sync' in line)
    for where, step in every_step():
        assert "pip install" not in step.run, where
        assert "uv sync" not in step.run, where
        assert "uvx" not in step.run
        assert not re.search(r"curl|wget", step.run), where


def test_no_command_holds_an_expression_of_the_pipeline() -> None:
    for where, step in every_step():
        assert "${{" not in step.run, where
        assert "$(" not in step.run, where
        assert "$[" not in step.run, where
        assert "`" not in step.run, where
        assert "eval" not in step.run, where


def test_every_variable_of_a_command_stands_in_quotes() -> None:
    for where, step in every_step():
        bare = re.sub(r'"[^"]*"|\'[^\']*\'', "", step.run)
        assert "$" not in bare, (where, step.run)


def test_every_variable_of_a_command_that_may_begin_with_a_dash_is_bound_to_its_option() -> None:
    for where, step in every_step():
        for word in step.run.split():
            if re.match(r'"\$(TARGET|VERSION|REASON|NUMBER|TAG|RELEASE)"', word):
                checked = "gh release" in step.run
                assert checked, (where, word)


def test_a_tag_meets_gh_only_after_it_was_checked() -> None:
    for name, job in (("rollback", "release"), ("release", "publish")):
        runs = [s.get("run", "") for s in document(ROOT / f".github/workflows/{name}.yml")["jobs"][job]["steps"]]
        checked = next(i for i, run in enumerate(runs) if "mlops ci notes --tag=" in run)
        used = next(i for i, run in enumerate(runs) if "gh release" in run)
        assert checked < used


def test_nothing_that_a_stranger_writes_is_read() -> None:
    for file in GITHUB:
        for expression in re.findall(r"\$\{\{(.*?)\}\}", file.read_text()):
            assert not re.search(UNTRUSTED, expression), (file.name, expression)


def test_a_fork_gets_no_identity() -> None:
    condition = "github.event.pull_request.head.repo.full_name == github.repository"
    for file in GITHUB:
        workflow = document(file)
        triggers = workflow["on"] if isinstance(workflow["on"], dict) else {workflow["on"]: None}
        assert "pull_request_target" not in triggers
        assert "workflow_run" not in triggers
        for job in workflow["jobs"].values() if "pull_request" in triggers else ():
            if "id-token" in job["permissions"]:
                assert job["if"].startswith(condition)


def test_each_login_has_an_environment_of_its_own() -> None:
    environments = set()
    for file in GITHUB:
        for name, job in document(file)["jobs"].items():
            if "DATABRICKS_HOST" in job.get("env", {}):
                assert job["env"]["DATABRICKS_AUTH_TYPE"] == "github-oidc"
                assert job["permissions"]["id-token"] == "write"
                environments.add((re.sub(r"\$\{\{.*?\}\}", "T", job["environment"]), name))
    assert {e for e, _ in environments} == {"T", "T-plan", "T-promote"}
    assert {name for e, name in environments if e == "T"} == {"deploy"}


def test_every_change_of_a_target_has_a_queue() -> None:
    deploy = document(ROOT / ".github/workflows/deploy.yml")["jobs"]
    back = document(ROOT / ".github/workflows/rollback.yml")["jobs"]["code"]
    for target in ("staging", "prod"):
        queue = {"group": f"target-{target}", "cancel-in-progress": False}
        assert deploy[target]["concurrency"] == queue
        assert {
            **back["concurrency"],
            "group": back["concurrency"]["group"].replace("${{ inputs.target }}", target),
        } == queue
    assert document(ROOT / ".azure/templates/target.yml")["stages"][0]["lockBehavior"] == "sequential"


def test_the_model_is_rolled_back_while_a_deployment_or_older_code_waits_for_approval() -> None:
    rollback = document(ROOT / ".github/workflows/rollback.yml")
    assert rollback["concurrency"]["group"] == "rollback-${{ inputs.what }}-${{ inputs.target }}"
    assert "concurrency" not in rollback["jobs"]["model"]
    assert "environment" in rollback["jobs"]["model"]


def test_both_systems_install_one_version_of_uv_and_of_the_databricks_cli() -> None:
    text = (ROOT / ".ci/setup").read_text()
    assert "--requirement .ci/uv.txt" in text
    assert ".ci/databricks-cli" in text
    for file in (*GITHUB, *AZURE):
        assert not re.search("setup-uv|setup-cli|setup-python|UsePython|databricks-cli", file.read_text()), file
    (cli,) = re.findall(r"^version=(\S+)", (ROOT / ".ci/databricks-cli").read_text(), re.MULTILINE)
    assert document(ROOT / "databricks.yml")["bundle"]["databricks_cli_version"] == f">={cli}"


def test_azures_jobs_end_and_its_changes_are_deployments() -> None:
    for file in AZURE:
        for job in jobs(document(file)):
            assert 0 < int(job["timeoutInMinutes"]) <= 120
            steps = job.get("steps") or job["strategy"]["runOnce"]["deploy"]["steps"]
            changes = "bundle deploy" in str(steps) or "mlops promote" in str(steps)
            assert ("deployment" in job) == changes, (file.name, job)
            assert ("environment" in job) == changes


def test_azures_token_is_mapped_where_databricks_is_asked_and_nowhere_else() -> None:
    asks = re.compile(r"^databricks bundle|mlops (promote|rollback|status)|mlops ci journal")
    for where, step in every_step():
        if ".azure" in where:
            assert ("SYSTEM_ACCESSTOKEN" in step.env) == bool(asks.search(step.run)), (where, step.run)


def test_azures_free_text_cannot_name_a_variable() -> None:
    for file in AZURE:
        text = file.read_text()
        if "parameters.reason" in text and "templates" in str(file):
            assert "${{ if contains(parameters.reason, '$') }}" in text
            assert text.index("contains(parameters.reason") < text.index("REASON:")


def test_a_commit_that_main_does_not_hold_is_stopped_before_anything_of_it_runs(tmp_path: Path) -> None:
    """A tag may be put on a commit that nobody reviewed, and a rollback deploys a tag."""
    checks = set()
    for steps in (
        github("target", "plan"), github("target", "deploy"), github("release", "publish"), github("build", "build"),
        github("rollback", "release"), azure(".azure/staging.yml", "build"),
        azure(".azure/templates/target.yml", "plan"), azure(".azure/templates/target.yml", "deploy"),
    ):  # fmt: skip
        runs = [step.run for step in steps]
        check = next(run for run in runs if "merge-base" in run)
        assert all(run.startswith("git ") for run in runs[: runs.index(check)])
        checks.add(check)
    (check,) = checks

    def git(*arguments: str) -> None:
        who = ("-c", "user.name=test", "-c", "user.email=test@example.com")
        subprocess.run(["git", "-C", tmp_path / "there", *who, *arguments], check=True, capture_output=True)

    (tmp_path / "there").mkdir()
    git("init", "--quiet", "--initial-branch=main")
    for message in ("old", "new"):
        git("commit", "--quiet", "--allow-empty", f"--message={message}")
    git("tag", "v1", "HEAD~1")
    git("switch", "--quiet", "--create", "branch")
    git("commit", "--quiet", "--allow-empty", "--message=nobody reviewed this")
    git("tag", "v2")
    subprocess.run(["git", "clone", "--quiet", tmp_path / "there", tmp_path / "here"], check=True)
    for ref, code in (("origin/main", 0), ("v1", 0), ("v2", 1)):
        subprocess.run(["git", "-C", tmp_path / "here", "checkout", "--quiet", "--detach", ref], check=True)
        assert subprocess.run(["bash", "-c", check], cwd=tmp_path / "here", check=False).returncode == code


def test_every_job_that_asks_the_databricks_cli_hands_it_the_variables_of_the_bundle() -> None:
    asked = 0
    for file in sorted((ROOT / ".github/workflows").glob("*.yml")):
        for job in document(file)["jobs"].values():
            if any(step.get("run") == ".ci/setup databricks" for step in job.get("steps", ())):
                assert job["env"]["BUNDLE_VARIABLES"] == "${{ vars.BUNDLE_VARIABLES }}", file
                assert job["env"]["TARGET"], file
                asked += 1
    assert asked >= 6
