"""Pages on pipelines, operations and security, ruleset and owners against the files that they speak of."""

from __future__ import annotations

import fnmatch
import json
import re
import subprocess
from pathlib import Path

import pytest
from pipelinefiles import AZURE, GITHUB, ROOT, azure, document, github, jobs

from mlops_cli.workspace.identities import federation_steps, pipeline_from_options
from mlops_cli.workspace.requirements import TargetRequirements
from mlops_cli.workspace.state import Principal, WorkspaceState

WHO = tuple(f"{digit * 8}-0000-0000-0000-000000000000" for digit in "123")
OPERATIONS = (ROOT / "docs/how-to/operations.md").read_text()
SECURITY = (ROOT / "docs/explanation/security.md").read_text()


def table(text: str, head: str) -> list[list[str]]:
    block = text[text.index(head) :].partition("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in block]


WHEN = table((ROOT / "docs/reference/pipelines.md").read_text(), "| when | GitHub")


def commands_of(workflow: str) -> str:
    found = document(ROOT / ".github/workflows" / workflow)["jobs"]
    called = [job["uses"].rpartition("/")[2] for job in found.values() if "uses" in job and "target" not in job["uses"]]
    own = "\n".join(step.run for job in found for step in github(workflow.removesuffix(".yml"), job))
    return "\n".join([own, *map(commands_of, called)])


def commands_in(file: str) -> str:
    found = document(ROOT / file)
    here = [job.get("job", job.get("deployment")) for job in jobs(found)]
    own = "\n".join(step.run for job in here for step in azure(file, job))
    names = set(re.findall(r"templates/(\w+\.yml)'", str(found)))
    inner = [f".azure/templates/{name}" for name in sorted(names)]
    return "\n".join([own, *map(commands_in, inner)])


def test_the_table_names_every_workflow_and_pipeline_and_no_other() -> None:
    named = " ".join(f"{row[1]} {row[2]}" for row in WHEN)
    assert {f.name for f in GITHUB} - {"build.yml", "targets.yml"} == set(re.findall(r"`(\w+\.yml)", named))
    top = {str(file.relative_to(ROOT)) for file in AZURE if "templates" not in str(file)}
    assert top == set(re.findall(r"`((?:\.azure/[\w-]+|azure-pipelines)\.yml)`", named))


@pytest.mark.parametrize("row", WHEN, ids=lambda row: f"{row[0]} {row[1]}")
def test_what_the_table_says_runs_is_in_the_files_that_it_names(row: list[str]) -> None:
    said = re.findall(r"`([^`]+)`", row[4])
    mine = "\n".join(commands_of(name) for name in re.findall(r"`(\w+\.yml)", row[1]))
    for command in said:
        assert command in mine, command
    for file in re.findall(r"`((?:\.azure/[\w-]+|azure-pipelines)\.yml)`", row[2]):
        theirs = commands_in(file)
        for command in said:
            assert command in theirs, (file, command)


def moments(file: Path) -> set[str]:
    """When a workflow or pipeline starts, in the table's words; a person's reason is not in the file."""
    found = document(file)
    if file in GITHUB:
        on = found["on"]
        crons = [row["cron"] for row in on.get("schedule", ())]
        named = {
            "pull request": "pull_request" in on,
            "merge": "branches" in (on.get("push") or {}),
            "tag": "tags" in (on.get("push") or {}),
            "by hand": "workflow_dispatch" in on,
            "every night": any(cron.endswith("* * *") for cron in crons),
            "every week": any(not cron.endswith("* * *") for cron in crons),
            "change of a ruleset": "branch_protection_rule" in on,
        }
    else:
        uses = found.get("resources", {}).get("pipelines", ())
        named = {
            "pull request": found["pr"] != "none" or file.stem.endswith("-plan"),  # by a build validation policy
            "merge": found.get("trigger", "none") != "none" or any("trigger" in each for each in uses),
            "every night": "schedules" in found,
        }
        named["by hand"] = not any(named.values())
    return {moment for moment, there in named.items() if there}


def test_the_table_says_of_every_file_when_it_starts_and_nothing_else() -> None:
    said: dict[str, set[str]] = {}
    for row in WHEN:
        for name in re.findall(r"`((?:\.azure/)?[\w-]+\.yml)`", f"{row[1]} {row[2]}"):
            said.setdefault(name, set()).update("by hand" if "incident" in m else m for m in row[0].split(", "))
    for file in GITHUB:
        if file.stem not in {"build", "target", "targets"}:  # called by others
            assert said[file.name] == moments(file), file.name
    for file in AZURE:
        if "templates" not in str(file):
            name = str(file.relative_to(ROOT))
            assert said[name] - {"by hand"} == moments(file) - {"by hand"}, name
            assert said[name] >= moments(file), name


def identities(workflow: str) -> set[str]:
    """Who logs in to Databricks, in the table's words, in the jobs of a workflow itself."""
    places = [job["environment"] for job in document(ROOT / f".github/workflows/{workflow}")["jobs"].values()
              if "DATABRICKS_HOST" in job.get("env", {})]  # fmt: skip
    roles = {"-plan": "plan", "-promote": "promote"}
    return {next((role for end, role in roles.items() if place.endswith(end)), "deploy") for place in places}


def test_the_identity_in_the_table_is_the_one_that_logs_in() -> None:
    for row in WHEN:
        said = set() if row[3] == "none" else set(row[3].split(", "))
        found = set().union(*map(identities, re.findall(r"`(\w+\.yml)", row[1])))
        assert said == (identities("target.yml") if row[0] == "incident: code" else found), row


def test_the_environments_to_set_up_are_those_that_are_used() -> None:
    sentence = OPERATIONS[OPERATIONS.index("GitHub: environments") :].partition(", each with")[0]
    said = set(re.findall(r"`([a-z-]+)`", sentence))
    used = set()
    for file in GITHUB:
        for job in document(file)["jobs"].values():
            for target in ("staging", "prod"):
                if "environment" in job:
                    used.add(re.sub(r"\$\{\{.*?\}\}", target, job["environment"]))
    assert said == used
    assert {file.stem for file in (ROOT / ".azure").glob("*.yml")} == used


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({"github": "octo@1/flights@2", "azure_devops": None}, "repo:octo@1/flights@2:environment:{}"),
        ({"github": None, "azure_devops": f"{'0' * 36}/octo/proj/flights-prod"}, "p://octo/proj/flights-{}"),
    ],
    ids=("github", "azure"),
)
def test_each_environment_has_the_subject_that_bootstrap_trusts(given: dict[str, str | None], wanted: str) -> None:
    """The identity of a role logs in from `<target>`, `<target>-plan` or `<target>-promote`, and from nowhere else."""
    source = pipeline_from_options(given["github"], given["azure_devops"], "account")
    assert source is not None
    roles = zip(("deploy", "plan", "promote"), WHO, strict=True)
    document = {
        "bundle": {"name": "flights", "target": "prod"},
        "resources": {"registered_models": {"model": {}}},
        "variables": {f"{role}_principal": {"value": who} for role, who in roles},
    }
    found = WorkspaceState(
        host="", workspace_id=1, account_id="account", me=Principal("me", "0", frozenset()),
        principals={who: Principal(who, str(number), frozenset()) for number, who in enumerate(WHO)},
        securables={}, privileges={}, bindings={}, policies=dict.fromkeys(WHO, ()), rule_sets={},
    )  # fmt: skip
    commands = [step.command for step in federation_steps(TargetRequirements(document), found, source)]
    for command, environment in zip(commands, ("prod", "prod-plan", "prod-promote"), strict=True):
        assert f'"subject": "{wanted.format(environment)}"' in command


def test_the_scorecard_table_has_every_check_once_and_every_file_is_there() -> None:
    rows = table(SECURITY, "| check | earned by")
    checks = [row[0] for row in rows]
    assert len(checks) == len(set(checks)) == 20
    for row in rows:
        for name in re.findall(r"[\w.]+/[\w./-]+\.(?:yml|json|py)|SECURITY\.md|LICENSE|\.github/CODEOWNERS", row[1]):
            assert (ROOT / name).exists(), name


def test_no_binary_is_committed() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    binary = {".whl", ".pyc", ".jar", ".so", ".pkl", ".skops", ".exe"}
    assert not [name for name in listed if Path(name).suffix in binary]


def test_the_checks_that_the_ruleset_wants_are_jobs_of_every_pull_request() -> None:
    ruleset = json.loads((ROOT / ".github/rulesets/main.json").read_text())
    assert ruleset["bypass_actors"] == []
    rules = {rule["type"]: rule.get("parameters", {}) for rule in ruleset["rules"]}
    assert rules.keys() >= {"deletion", "non_fast_forward", "pull_request", "required_status_checks"}
    names = {job["name"] for job in document(ROOT / ".github/workflows/ci.yml")["jobs"].values()}
    checks = rules["required_status_checks"]["required_status_checks"]
    assert {check["context"] for check in checks} == names
    # Without an app, whoever has a token that writes statuses may report a check. This is the number of GitHub Actions.
    assert {check["integration_id"] for check in checks} == {15368}


def test_release_tags_are_made_by_administrators_and_changed_by_nobody() -> None:
    rulesets = {file.stem: json.loads(file.read_text()) for file in (ROOT / ".github/rulesets").glob("tag*.json")}
    assert {r["target"] for r in rulesets.values()} == {"tag"}
    assert {r["enforcement"] for r in rulesets.values()} == {"active"}
    assert {tuple(r["conditions"]["ref_name"]["include"]) for r in rulesets.values()} == {("refs/tags/v*",)}
    kept, made = rulesets["tags"], rulesets["tag-creation"]
    assert {rule["type"] for rule in kept["rules"]} == {"deletion", "update", "non_fast_forward"}
    assert kept["bypass_actors"] == []
    assert made["rules"] == [{"type": "creation"}]
    admin = {"actor_type": "RepositoryRole", "actor_id": 5, "bypass_mode": "always"}
    assert made["bypass_actors"] == [admin]


def test_every_ruleset_is_named_where_it_is_applied() -> None:
    for file in (ROOT / ".github/rulesets").glob("*.json"):
        assert file.name in OPERATIONS, file.name


OWNERS = [line.split() for line in (ROOT / ".github/CODEOWNERS").read_text().splitlines() if line[:1] in {"/", "*"}]
TRACKED = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()


def owners(path: str) -> set[str]:
    """Of a file, by the last pattern that matches it: `*`, a folder, a file, or a file with a `*`."""
    matching = [
        teams
        for pattern, *teams in OWNERS
        if pattern == "*"
        or (pattern.endswith("/") and path.startswith(pattern[1:]))
        or fnmatch.fnmatchcase(path, pattern[1:])
    ]
    return {team.rpartition("/")[2] for team in matching[-1]}


@pytest.mark.parametrize("owner", [owner[0] for owner in OWNERS])
def test_every_path_in_codeowners_is_there(owner: str) -> None:
    assert owner == "*" or any(
        path.startswith(owner[1:]) or fnmatch.fnmatchcase(path, owner[1:]) for path in TRACKED
    ), owner


PLANTED = (
    "uv.toml", "conftest.py", "sitecustomize.py", "src/sitecustomize.py", "src/laptop/new.py", "src/mlops/new.py",
    "src/other/__init__.py", "tests/new.py", "tests/mlops/new.py", "tests/bundle/new.py", "tests/laptop/test_new.py",
    "resources/new.yml", "governance/new.sql", ".ci/new", ".github/workflows/new.yml", ".azure/new.yml",
    ".python-version",     "setup.py", "zizmor.yml", ".pre-commit-config.yaml",
)  # fmt: skip


@pytest.mark.parametrize("path", PLANTED)
def test_a_new_file_that_could_decide_what_a_pipeline_runs_belongs_to_the_engineers(path: str) -> None:
    assert owners(path) == {"ml-engineers"}


def test_data_scientists_alone_own_the_use_case_and_the_notebooks() -> None:
    alone = [path for path in TRACKED if owners(path) == {"data-scientists"}]
    assert alone
    assert {path for path in alone if not path.startswith(("src/usecase/", "notebooks/"))} == set()
    assert "src/usecase/policy.py" not in alone


def test_security_policy_tells_where_and_by_when() -> None:
    text = (ROOT / "SECURITY.md").read_text()
    assert "privately" in text
    assert re.search(r"within 90 days", text)
