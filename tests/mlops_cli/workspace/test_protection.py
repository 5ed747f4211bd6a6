"""Who may deploy and promote through a repository's environments, and the commands that protect them."""

from __future__ import annotations

import json
import shlex
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops.contract import MlopsError
from mlops_cli import cli, forge
from mlops_cli.workspace import commands
from mlops_cli.workspace.doctor import Facts
from mlops_cli.workspace.protection import PROTECTED, VARIABLES, Environment, list_weaknesses, protection_steps
from mlops_cli.workspace.state import Unreadable


def env(
    reviewers: int, branches: tuple[str, ...] | None, *, self_review: bool = False, bypass: bool = False
) -> Environment:
    return Environment(reviewers=reviewers, self_review=self_review, bypass=bypass, branches=branches)


SAFE = env(1, ("main",))
OPEN = env(0, (PROTECTED,), self_review=True, bypass=True)
ALL = {"prod": SAFE, "prod-promote": SAFE, "prod-plan": env(0, ("main", "refs/pull/*/merge"))}


def test_environments_that_main_and_a_reviewer_guard_are_in_order() -> None:
    assert list_weaknesses("prod", ALL, reviewed=True) == ()
    assert not [*protection_steps("prod", "octo/flights", ALL, reviewed=True)]
    unreviewed = dict.fromkeys(("staging", "staging-promote", "staging-plan"), OPEN)
    assert list_weaknesses("staging", unreviewed, reviewed=False) == ()


@pytest.mark.parametrize(
    ("name", "environment", "said"),
    [
        ("prod", None, "is not there: the first job that names it makes it, without protection"),
        ("prod-plan", None, "is not there: the first job that names it makes it, without protection"),
        ("prod", env(0, ("main",)), "has no required reviewers, so a deployment goes out that nobody approved"),
        ("prod", env(2, ("main",), self_review=True), "lets a person approve a run of their own"),
        ("prod", env(1, ("main",), bypass=True), "lets administrators pass without approval"),
        ("prod", env(1, None), "takes jobs of every branch and tag"),
        ("prod-promote", env(1, None), "takes jobs of every branch and tag"),
        ("prod-plan", env(0, None), "takes jobs of every branch and tag"),
        ("prod", env(1, ("main", "release/*")), "takes jobs of main, release/*: main alone may deploy and promote"),
        ("prod-promote", env(1, ()), "takes jobs of no branch: main alone may deploy and promote"),
    ],
)
def test_each_weakness_is_told_with_the_environment_that_has_it(
    name: str, environment: Environment | None, said: str
) -> None:
    environments = {**ALL, name: environment} if environment else {n: e for n, e in ALL.items() if n != name}
    assert list_weaknesses("prod", environments, reviewed=True) == ((name, said),)
    steps = [*protection_steps("prod", "octo/flights", environments, reviewed=True)]
    assert [f"environments/{name} " in step.command for step in steps] == ([] if "administrators" in said else [True])


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("lacking", VARIABLES)
def test_a_variable_that_the_repository_could_lend_is_told(lacking: str, name: str) -> None:
    """DATABRICKS_HOST decides who is sent the token: in the repository, whoever may write can set it."""
    own = tuple(each for each in VARIABLES if each != lacking)
    environments = {**ALL, name: replace(ALL[name], variables=own)}
    ((where, weakness),) = list_weaknesses("prod", environments, reviewed=True)
    assert where == name
    assert weakness.startswith(f"has no {lacking} of its own")
    assert not [*protection_steps("prod", "octo/flights", environments, reviewed=True)]


names = st.sampled_from(["main", "*", "v*", PROTECTED, "refs/pull/*/merge"])
environment = st.builds(
    Environment,
    reviewers=st.integers(0, 6),
    self_review=st.booleans(),
    bypass=st.booleans(),
    branches=st.none() | st.lists(names).map(tuple),
)
known = st.fixed_dictionaries({}, optional=dict.fromkeys(ALL, environment))


@given(known)
def test_prod_is_called_safe_only_where_nothing_but_approved_main_reaches_it(
    environments: dict[str, Environment],
) -> None:
    prod = environments.get("prod", OPEN)
    reaches = set(prod.branches or ["every one"])
    safe = prod.reviewers > 0 and not prod.self_review and not prod.bypass and reaches <= {"main", PROTECTED}
    assert ("prod" in {name for name, _ in list_weaknesses("prod", environments, reviewed=True)}) is not safe


@given(known)
def test_the_commands_name_what_is_weak_and_are_words_of_a_shell(environments: dict[str, Environment]) -> None:
    for step in protection_steps("prod", "octo/flights", environments, reviewed=True):
        words = shlex.split(step.command)
        assert words[:4] == ["gh", "api", "--method", "PUT"]
        assert ("reviewers[][type]=Team" in words) is words[4].endswith("/prod")
        assert step.undo == f"gh api --method DELETE {words[4]}"
        assert "name=main" in words


def test_what_could_not_be_read_is_perhaps_missing() -> None:
    steps = [*protection_steps("prod", "octo/flights", Unreadable("no right"), reviewed=True)]
    assert [step.unsure for step in steps] == ["no right"] * 3
    assert all("has to be protected" in step.what for step in steps)


Row = dict[str, Any]


def rows(*rules: Row) -> list[Row]:
    """Three environments as GitHub tells them, prod with these rules."""
    custom = {"protected_branches": False, "custom_branch_policies": True}
    protected = {"protected_branches": True, "custom_branch_policies": False}
    listed = [*rules, {"type": "wait_timer", "wait_timer": 5}, {"type": "branch_policy"}]
    return [
        {"name": "prod", "can_admins_bypass": False, "protection_rules": listed, "deployment_branch_policy": custom},
        {"name": "prod-plan", "protection_rules": [], "deployment_branch_policy": None},
        {"name": "prod-promote", "protection_rules": [], "deployment_branch_policy": protected},
    ]


REVIEW = {"type": "required_reviewers", "prevent_self_review": True, "reviewers": [{"type": "Team"}, {"type": "User"}]}


def answer(monkeypatch: pytest.MonkeyPatch, environments: list[Row]) -> None:
    """Let GitHub answer as its documentation says."""

    def call(method: str, url: str, authorization: str, body: object, headers: object) -> Row:
        assert (method, authorization, body) == ("GET", "Bearer t", None)
        path = url.removeprefix("https://api.github.com/repos/octo/flights/environments")
        if path == "?per_page=100":
            return {"total_count": 3, "environments": environments}
        if path.endswith("/variables?per_page=30"):
            return {"total_count": 3, "variables": [{"name": name, "value": "x"} for name in VARIABLES]}
        assert path == "/prod/deployment-branch-policies?per_page=100"
        return {"total_count": 1, "branch_policies": [{"id": 1, "name": "main", "type": "branch"}]}

    monkeypatch.setattr(forge, "_call_api", call)


def test_environments_are_read_as_github_tells_them(monkeypatch: pytest.MonkeyPatch) -> None:
    answer(monkeypatch, rows(REVIEW))
    assert forge.GitHub("https://api.github.com", "octo/flights", "t").environments() == {
        "prod": env(2, ("main",)),
        "prod-plan": env(0, None, self_review=True, bypass=True),
        "prod-promote": OPEN,
    }


def test_without_repository_token_or_right_nothing_is_taken_for_safe(monkeypatch: pytest.MonkeyPatch) -> None:
    assert commands._read_environments(None, "t") is None
    assert isinstance(commands._read_environments("octo/flights", None), Unreadable)

    def refuse(*_: object) -> object:
        raise MlopsError("GET was answered 403")

    monkeypatch.setattr(forge, "_call_api", refuse)
    assert commands._read_environments("octo/flights", "t") == Unreadable("GET was answered 403")


@pytest.mark.parametrize("repository", ["octo/flights", "octo@1/flights@2"])
def test_the_doctor_finds_prod_without_reviewers(
    repository: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answer(monkeypatch, rows())
    monkeypatch.setenv("GH_TOKEN", "t")
    monkeypatch.delenv("FORGE_TOKEN", raising=False)
    monkeypatch.setattr(commands, "_gather_facts", lambda target, file: Facts(target=target))
    assert cli.run_args(["doctor", "-t", "prod", "--output", "json", "--github", repository]) == 1
    finding = json.loads(capsys.readouterr().out)[-1]
    assert (finding["check"], finding["state"]) == ("approvals", "bad")
    assert "environment prod has no required reviewers" in finding["what"]
    assert "environment prod-plan takes jobs of every branch and tag" in finding["what"]


@pytest.mark.parametrize(("target", "state"), [("dev", "good"), ("staging", "unknown"), ("prod", "unknown")])
def test_the_doctor_does_not_know_what_nobody_said(
    target: str, state: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(commands, "_gather_facts", lambda target, file: Facts(target=target))
    cli.run_args(["doctor", "-t", target, "--output", "json"])
    assert json.loads(capsys.readouterr().out)[-1]["state"] == state
