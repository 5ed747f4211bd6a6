"""What `mlops` refuses at once, before a workspace is asked or a job is started, and what one bad target keeps back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mlops import config
from mlops.contract import ConfigError, Forbidden, MlopsError
from mlops_cli import options
from mlops_cli.cli import run_args
from mlops_cli.versions import status


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every target that was asked for; asking is where the test would have to end."""
    targets: list[str] = []

    def place(target: str, home: Path | None) -> Any:
        targets.append(target)
        raise ConfigError("it was asked")

    monkeypatch.setattr(options, "resolve_target", place)
    return targets


BLANK = ["", " ", "\t", "\n \n", "\u00a0", "\u2003"]
COMMANDS = [["rollback", "-t", "prod"], ["reject", "3", "-t", "prod"]]


@pytest.mark.parametrize("reason", [*BLANK, "x" * 501])
@pytest.mark.parametrize("command", COMMANDS, ids=lambda words: words[0])
def test_a_reason_that_says_nothing_is_refused_before_anything_is_asked(
    command: list[str], reason: str, asked: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_args([*command, "--reason", reason]) == 2
    assert asked == []
    assert "--reason" in capsys.readouterr().err


@pytest.mark.parametrize("command", COMMANDS, ids=lambda words: words[0])
def test_any_other_reason_is_taken(command: list[str], asked: list[str]) -> None:
    for reason in ("x", "late rate doubled", "  late  ", "y" * 500):
        run_args([*command, "--reason", reason])
    assert asked == ["prod"] * 4


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["rollback", "--reason", "x", "-p", "reason="], "'reason' is ''"),
        (["rollback", "--reason", "x", "-p", "as_of=yesterday"], "'as_of' is 'yesterday'"),
        (["rollback", "--reason", "x", "-p", "as_off=2013-04-01"], "'as_off' is unknown to job 'rollback'"),
        (["rollback", "--reason", "x", "-p", "model_name=prod.flights"], "'model_name' is 'prod.flights'"),
        (["promote", "-p", "source_model=late"], "'source_model' is 'late': string should match pattern '^[A-Za"),
        (["promote", "-p", "source_version=newest"], "'source_version' is 'newest'"),
        (["promote", "-p", "catalog=a.b", "-p", "schema=`"], "'schema' is '`'"),
    ],
)
def test_a_parameter_that_the_job_would_refuse_is_refused_at_once(
    words: list[str], said: str, asked: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_args([*words, "-t", "prod"]) == 1
    assert asked == []
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("job", config.CONFIGS)
def test_what_is_not_given_is_not_missed(job: str) -> None:
    config.check_given(job, {})
    config.check_given(job, {"as_of": "2013-04-01T00:00:00Z", "catalog": "prod", "schema": "flights"})
    with pytest.raises(ConfigError, match="'nobody_knows' is unknown"):
        config.check_given(job, {"nobody_knows": "1"})


ROW = {
    "alias": "champion",
    "problem": None,
    "version": 1,
    "digest": "0",
    "age_hours": 1.0,
    "since": "",
    "by": "",
    "measured": "",
    "metrics": {},
}


@pytest.mark.parametrize("bad", [(), ("dev",), ("staging",), ("dev", "prod"), ("dev", "staging", "prod")])
@pytest.mark.parametrize("error", [ConfigError("not deployed"), Forbidden("no right")])
def test_status_shows_every_target_even_if_others_fail(
    bad: tuple[str, ...], error: MlopsError, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def holders(target: str, home: Path | None) -> list[dict[str, Any]]:
        if target in bad:
            raise error
        return [{"target": target, **ROW}]

    monkeypatch.setattr(status, "_alias_holders", holders)
    good = [target for target in ("dev", "staging", "prod") if target not in bad]
    assert run_args(["status"]) == (1 if bad else 0)
    out, err = capsys.readouterr()
    assert [line.split()[0] for line in out.splitlines()[1:]] == good
    assert err.splitlines() == [f"error: target {target}: {error}" for target in bad]
    assert run_args(["status", "--output", "json"]) == (1 if bad else 0)
    rows = json.loads(capsys.readouterr().out)
    assert [row["target"] for row in rows] == [*good, *bad]
    assert [row["error"] for row in rows if "error" in row] == [str(error)] * len(bad)


def test_a_fault_of_ours_is_not_hidden_as_a_target_that_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(status, "_alias_holders", lambda target, home: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run_args(["status"])
