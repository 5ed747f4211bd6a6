"""`mlops` on a laptop's home: what it shows, what it refuses, and that no mistake of a person gives a stack trace."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import click
import pytest
from life import living, write_without_spark

from mlops.contract import ModelError
from mlops.platform.model_scan import artifact_digest
from mlops.release import audit_log
from mlops_cli.bundle_cli import DeployedBundle
from mlops_cli.cli import cli, run_args
from mlops_cli.home_registry import HomeRegistry
from mlops_cli.options import ALIASES


@pytest.fixture(scope="module")
def life(quick_versions):
    """The versions, in a home whose audit tables no Spark has to write."""
    with living(quick_versions) as life, pytest.MonkeyPatch.context() as patch:
        write_without_spark(patch)
        yield life


@pytest.fixture(scope="module")
def told(life):
    """The home knows targets prod and staging; prod has champion 2, previous champion 1 and, waiting, 3."""
    for target, source in (("staging", "dev"), ("prod", "dev")):
        names = {"model_name": life.model(target), "catalog": target, "schema": "toy", "experiment": "/toy"}
        parameters = [{"name": name, "default": text} for name, text in names.items()]
        promotion = [*parameters, {"name": "source_model", "default": life.model(source)}]
        jobs = {"deployment": {"parameters": parameters}, "promotion": {"parameters": promotion}}
        (life.home / "summary").mkdir(exist_ok=True)
        (life.home / f"summary/{target}.json").write_text(json.dumps({"resources": {"jobs": jobs}}))
    for number in (1, 2):
        life.deployed("prod", life.promoted("dev", "prod", number))
    life.accepted("prod", 1)
    with life.registry.open_run("/toy", "monitoring until 2024-03-01", {"version": str(life.version("prod", 2))}):
        life.registry.log_to_run({}, {"auc": 0.75, "log_loss": 0.5}, {})
    return life


@pytest.fixture
def mlops(told, capsys):
    def run(*words):
        code = run_args([*words, "--home", str(told.home)])
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return code, out, err

    return run


def test_status_tells_version_digest_age_figures_and_who(told, mlops):
    code, out, err = mlops("status", "--target", "prod", "--output", "json")
    assert (code, err) == (0, f"target prod in {told.home}\n")
    champion, challenger, previous = json.loads(out)
    assert (champion["alias"], champion["version"], champion["by"]) == ("champion", 2, "release")
    assert champion["digest"] == told.claims(told.version("dev", 2)).artifact_digest
    assert champion["metrics"] == {"auc": 0.75, "log_loss": 0.5}
    assert champion["measured"] == "monitoring until 2024-03-01"
    assert [row["alias"] for row in (challenger, previous)] == ["challenger", "previous_champion"]
    code, out, _ = mlops("status", "--target", "prod")
    assert out.splitlines()[1].split()[:3] == ["prod", "champion", "2"]
    assert "auc 0.75 log_loss 0.5" in out


def test_status_shows_every_target_that_can_be_read_and_tells_which_cannot(mlops):
    code, out, err = mlops("status")
    assert code == 1
    assert [line.split()[0] for line in out.splitlines()[1:]] == ["prod"] * 3
    assert err.count("error: ") == 1
    assert "error: target dev: " in err
    code, out, _ = mlops("status", "--output", "json")
    rows = json.loads(out)
    assert (code, [row["target"] for row in rows]) == (1, ["prod"] * 3 + ["dev"])
    assert "run a job of it first" in rows[-1]["error"]


def test_status_of_a_target_without_versions_says_so(mlops):
    assert mlops("status", "--target", "staging")[1] == "no version holds an alias yet\n"


def ask_version(registry, model, number):
    try:
        version = registry.get_version(model, number)
    except ModelError as error:
        return str(error)
    return replace(version, aliases=tuple(sorted(version.aliases)))


def test_the_registry_of_a_home_answers_without_mlflow_as_mlflow_answers(told):
    theirs, ours = told.registry, HomeRegistry(told.home)
    for model in ("dev.toy.failing", "prod.toy.failing", "no.such.model"):
        for alias in (*ALIASES, "no_such_alias"):
            version = ours.find_alias_holder(model, alias)
            expected = theirs.find_alias_holder(model, alias)
            assert version == (expected and replace(expected, aliases=tuple(sorted(expected.aliases))))
            if version:
                with theirs.fetch_files(version) as copied, ours.fetch_files(version) as stored:
                    assert artifact_digest(copied) == artifact_digest(stored)
    assert ours.find_alias_holder("prod.toy.failing", "champion").number == 2
    figures = {"auc": 0.75, "nothing": math.nan, "far": math.inf}
    for name in ("first", "second", "deleted"):
        with told.registry.open_run("/other", name, {"version": "it's"}) as last:
            told.registry.log_to_run({}, figures, {})
    theirs._client.delete_run(last)
    assert ours.find_newest_run("/other", "version", "it's")[0] == "second"
    for question in (
        ("/other", "version", "none"),
        ("/none", "version", "1"),
        ("/toy", "version", "prod.toy.failing version 2"),
    ):
        assert ours.find_newest_run(*question) == theirs.find_newest_run(*question)
    for run in (last, told.version("dev", 1).run_id, "none"):
        assert repr(sorted(ours.read_metrics(run).items())) == repr(sorted(theirs.read_metrics(run).items()))
        assert ours.read_run_tags(run) == theirs.read_run_tags(run)
    for model in ("prod.toy.failing", "no.such.model"):
        for number in range(5):
            assert ask_version(ours, model, number) == ask_version(theirs, model, number)


@pytest.mark.parametrize("command", ["status", "compare champion 1"])
def test_what_only_reads_a_home_imports_no_mlflow(told, command):
    """MLflow's import was three of the four seconds that the command took."""
    code = (
        "import sys; from mlops_cli.cli import run_args\n"
        "end = run_args([*sys.argv[2].split(), '--target', 'prod', '--home', sys.argv[1]])\n"
        "heavy = {'mlflow', 'pandas', 'pyspark', 'sqlalchemy', 'databricks'} & set(sys.modules)\n"
        "sys.exit(f'imported: {sorted(heavy)}' if heavy else end)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(told.home), command], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_a_home_that_is_not_there_says_how_to_make_one(tmp_path, capsys):
    for words in (["status"], ["compare", "1", "2", "-t", "prod"], ["rollback", "-t", "prod"]):
        assert run_args([*words, "--home", str(tmp_path / "none")]) == 2
        assert f"run a job first, as in: laptop demo --home {tmp_path / 'none'}" in capsys.readouterr().err


def test_history_tells_the_rows_of_the_audit_table(told, mlops):
    code, out, _ = mlops("history", "--target", "prod", "--output", "json")
    assert code == 0
    rows = json.loads(out)
    assert [(row["sequence"], row["move"], row["to_version"]) for row in rows] == [
        (1, "promotion", 1), (2, "verdict", 1), (3, "deployment", 1), (4, "promotion", 2), (5, "verdict", 2),
        (6, "deployment", 2), (7, "verdict", 1),
    ]  # fmt: skip
    line = mlops("history", "--target", "prod")[1].splitlines()[5]
    assert "deployment of version 2 in place of 1 by release: verdict 000000000000" in line
    assert "copy of dev.toy.failing/2@" in line
    assert mlops("history", "--target", "staging")[1].startswith("nothing was validated")


def test_compare_sets_two_versions_side_by_side(mlops):
    code, out, _ = mlops("compare", "champion", "1", "--target", "prod")
    lines = {line.split()[0]: line for line in out.splitlines() if line.split()}
    assert code == 0
    assert lines["version"].split() == ["version", "2", "1", "differs"]
    assert lines["verdict"].split() == ["verdict", "accepted", "accepted"]
    code, out, _ = mlops("compare", "1", "2", "--target", "prod", "--output", "json")
    assert {"what": "version", "a": 1, "b": 2} in json.loads(out)
    assert "is 'best': give a number, or one of champion" in mlops("compare", "1", "best", "--target", "prod")[2]


def test_a_dry_run_says_what_would_be_done_and_starts_nothing(told, mlops):
    before = mlops("history", "--target", "prod", "--output", "json")[1]
    code, out, _ = mlops("promote", "--target", "prod", "--version", "2", "--dry-run", "--output", "json")
    facts = json.loads(out)
    assert (code, facts["dry_run"], facts["source"], facts["source_version"]) == (0, True, told.model("dev"), 2)
    assert facts["parameters"] == {"source_version": "2"}
    code, out, _ = mlops("rollback", "--target", "prod", "--reason", "late", "--dry-run", "--output", "json")
    facts = json.loads(out)
    assert (code, facts["version"], facts["champion"]) == (0, 1, 2)
    assert facts["parameters"] == {"reason": "late"}
    assert (
        "would make version 1 champion again; nothing was started"
        in mlops("rollback", "--target", "prod", "--reason", "late", "--dry-run")[1]
    )
    assert mlops("history", "--target", "prod", "--output", "json")[1] == before


def test_a_dry_run_refuses_what_the_job_would_refuse(mlops):
    code, _, err = mlops("rollback", "--target", "staging", "--reason", "late", "--dry-run")
    assert (code, "has no previous champion to go back to; see: mlops history" in err) == (1, True)
    code, _, err = mlops("rollback", "--target", "prod", "--reason", "late", "--dry-run", "-p", "as_of=yesterday")
    assert (code, "as_of" in err) == (1, True)


CHANGES = {
    "approve": (["1"], {"version": 1, "by": "ada", "decision": "approved", "reason": "fine"}),
    "reject": (["1"], {"version": 1, "by": "ada", "decision": "rejected", "reason": "fine"}),
    "deploy": (["1"], {"version": 1}),
    "promote": (["--version", "2"], {"source": "dev.toy.failing", "source_version": 2}),
    "rollback": ([], {"reason": "fine"}),
}


@pytest.mark.parametrize("command", CHANGES)
def test_what_a_command_changed_is_one_json_document(told, mlops, monkeypatch, command):
    """The jobs print as `laptop` does; nothing of that may stand on stdout."""
    words, facts = CHANGES[command]
    monkeypatch.setattr(DeployedBundle, "run_job", lambda *_: click.echo("SUCCESS"))
    monkeypatch.setattr(DeployedBundle, "repair_job", lambda *_: click.echo("SUCCESS"))
    monkeypatch.setattr("mlops_cli.cli._check_version", lambda *_: None)
    reason = ["--reason", "fine"] if command in {"approve", "reject", "rollback"} else []
    approver = ["--approver", "ada"] if command in {"approve", "reject"} else []
    code, out, err = mlops(command, *words, "--target", "prod", *reason, *approver, "--output", "json")
    result = json.loads(out)
    assert (code, "SUCCESS" in err) == (0, True)
    assert {name: result[name] for name in facts} == facts
    assert (result["target"], result["model"], result["champion"]) == ("prod", told.model("prod"), 2)


def test_status_starts_neither_spark_nor_scikit_learn(told):
    code = (
        "import sys; from mlops_cli.cli import run_args; "
        "code = [run_args([verb, '--target=prod', '--home', sys.argv[1]]) for verb in ('status', 'history')]; "
        "print(code, {'pyspark.sql.connect.session', 'sklearn', 'skops'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(told.home)], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[0, 0] set()"


@pytest.mark.parametrize(
    ("words", "verdict", "why"),
    [
        (["approve", "1", "--approver", "trainer"], {}, "trainer trained prod.toy.failing version 1"),
        (["approve", "1", "--approver", "ada"], {"trained_by": ""}, "does not say who trained it"),
        (["approve", "1", "--approver", "ada"], {"verdict": "refused"}, "has no accepting verdict (refused)"),
        (["approve", "1", "--approver", "ada"], {"judged_against": 1}, "against champion 1, and champion is 2"),
        (["approve", "9", "--approver", "ada"], {}, "has no version 9; versions: 1, 2"),
        (["reject", "2", "--reason", "x"], {}, "is champion; roll back first: mlops rollback --reason REASON --target"),
        (["promote", "--version", "9"], {}, "has no version 9"),
    ],
    ids=lambda value: " ".join(value)[:30] if isinstance(value, list) else None,
)
def test_what_cannot_be_done_is_one_sentence_and_changes_nothing(told, mlops, words, verdict, why):
    told.accepted("prod", 1, **verdict)
    state = told.state("prod")
    code, _, err = mlops(words[0], *words[1:], "--target", "prod")
    assert code == 1
    assert why in err
    assert told.state("prod") == state
    told.accepted("prod", 1)


@pytest.mark.parametrize("words", [["reject", "1"], ["approve", "1"]])
@pytest.mark.parametrize("reason", ["", " ", "\n", "x" * 501])
def test_a_reason_is_a_line_of_at_most_500_characters(mlops, words, reason):
    code, _, err = mlops(*words, "--target", "prod", "--reason", reason)
    assert code == 2
    assert "it is blank: say why" in err or "it has 501 characters, and 500 at most" in err


def test_a_newline_in_a_reason_forges_no_line_of_the_history(told, mlops):
    """Such a row comes from an older release; today's are cleaned before they are written."""
    job = told.job("rollback", "forged", reason="worse", run_id="9")
    forged = audit_log.new_row(job, "rejection", replace(told.version("prod", 1), model="forged.toy.failing"))
    forged = replace(forged, reason="fine\n9  2024-01-01 00:00:00  deployment 1 -> 7 by ada: fine\x1b[2K##vso[x]")
    assert audit_log.add_row(job, forged, lambda _: False)
    document = (told.home / "summary/prod.json").read_text().replace("prod", "forged")
    (told.home / "summary/dev.json").write_text(document)
    out = mlops("history", "--target", "dev")[1]
    assert len(out.splitlines()) == 1
    assert "\x1b" not in out
    assert "##vso" not in out


def test_status_says_that_files_are_gone_or_changed(told, mlops, monkeypatch):
    assert mlops("status", "--target", "prod")[0] == 0
    source = told.registry._client.get_model_version_download_uri("prod.toy.failing", "2").removeprefix("file://")
    Path(source).rename(f"{source}.away")
    try:
        code, out, err = mlops("status", "--target", "prod", "--output", "json")
        assert code == 1
        assert json.loads(out)[0]["digest"] is None
        assert "the files of prod.toy.failing version 2 are gone" in err
    finally:
        Path(f"{source}.away").rename(source)
    file = Path(source) / "input_example.json"
    before = file.read_text()
    try:
        file.write_text("{}")
        code, _, err = mlops("status", "--target", "prod")
        assert code == 1
        assert "not the recorded" in err
    finally:
        file.write_text(before)


def test_every_command_has_an_example_and_its_exit_codes():
    for name, command in cli.commands.items():
        if name not in {"ci", "completion"}:
            assert f"Example: mlops {name}" in command.help
            assert command.epilog.startswith("Exit codes: 0")
