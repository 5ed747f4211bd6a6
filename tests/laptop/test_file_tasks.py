"""Tasks that run a file of the bundle: notebooks, Python scripts and SQL, as the platform's pages say."""

from __future__ import annotations

import json
import sys
from io import StringIO
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from laptop.bundle import BundleError, load_bundle
from laptop.console import Console
from laptop.home import Home
from laptop.run_store import Run
from laptop.runner import Runner
from laptop.sql_text import bind_parameters, fill_parameters, split_statements

HEAD = "# Databricks notebook source\n"
CELL = "\n# COMMAND ----------\n\n"


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Writes a bundle with files, runs one job of it, and returns the run."""
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def run_job(
        job: dict[str, Any], files: dict[str, str], spark: ModuleType | None = None, name: str = "job", **given: str
    ) -> Run:
        for file, text in files.items():
            (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / file).write_text(text)
        (tmp_path / "databricks.yml").write_text(json.dumps({"bundle": {"name": "toy"}, "include": ["jobs/*.yml"]}))
        (tmp_path / "jobs").mkdir(exist_ok=True)
        document = {"resources": {"jobs": {name: job}}, "targets": {"dev": {}}}
        (tmp_path / "jobs/job.yml").write_text(json.dumps(document))
        runner = Runner(load_bundle(tmp_path, "dev"), Home(tmp_path / "home"), Console(StringIO()), spark=spark)
        runner.home.path.mkdir(exist_ok=True)
        with runner.show.capture_output():
            return runner.run_job(name, given)

    return run_job


def log(folder: Path) -> str:
    return "".join(file.read_text() for file in sorted((folder / "home/runs").glob("*.log")))


def notebook(key: str, path: str, **more: Any) -> dict[str, Any]:
    depends = {"depends_on": [{"task_key": on} for on in more.pop("after", [])]}
    return {"task_key": key, "notebook_task": {"notebook_path": f"../src/{path}", **more}, **depends}


def test_widgets_get_the_jobs_parameters_over_the_tasks_and_both_over_defaults(run, tmp_path):
    cells = "for name in ('a', 'b', 'c'):\n    dbutils.widgets.text(name, 'default')\n"
    cells += "    print(name, dbutils.widgets.get(name))\n"
    task = notebook("n", "n.py", base_parameters={"a": "x", "b": "{{job.id}}"})
    job = {"parameters": [{"name": "a", "default": "job"}], "tasks": [task]}
    ended = run(job, {"src/n.py": HEAD + cells})
    assert ended.state == "SUCCESS"
    assert log(tmp_path).split("a job\nb ")[1].splitlines()[1] == "c default"
    assert f"b {ended.job_id}\n" in log(tmp_path)


def test_exit_ends_a_notebook_and_its_text_stands_in_the_run(run, tmp_path):
    cells = (
        "try:\n    dbutils.notebook.exit({'rows': 3})\nexcept Exception:\n    print('swallowed')\n" + CELL + "raise 1"
    )
    ended = run({"tasks": [notebook("n", "n.py")]}, {"src/n.py": HEAD + cells})
    assert (ended.state, ended.tasks["n"].output) == ("SUCCESS", "{'rows': 3}")
    assert "swallowed" not in log(tmp_path)


def test_task_values_go_from_notebook_to_script_by_reference(run, tmp_path):
    tasks = [
        notebook("n", "n.py"),
        {
            "task_key": "s",
            "depends_on": [{"task_key": "n"}],
            "spark_python_task": {"python_file": "../src/s.py", "parameters": ["--n", "{{tasks.n.values.rows}}"]},
        },
    ]
    files = {"src/n.py": HEAD + "dbutils.jobs.taskValues.set(key='rows', value=3)\n"}
    files |= {"src/s.py": "import sys\nprint(sys.argv[1:])\n"}
    assert run({"tasks": tasks}, files).state == "SUCCESS"
    assert "['--n', '3']" in log(tmp_path)


def test_a_notebook_runs_another_in_its_own_names_and_one_in_names_of_its_own(run, tmp_path):
    main = HEAD + "# MAGIC %run ./lib/shared $who=ada\n" + CELL + "print('shared', x, dbutils.widgets.get('who'))\n"
    main += CELL + "print('other', dbutils.notebook.run('./lib/other', 60, {'n': 2}), 'y' in globals())\n"
    files = {
        "src/n.py": main,
        "src/lib/shared.py": HEAD + "x = 1\n" + CELL + "# MAGIC %run ./deeper\n",
        "src/lib/deeper.ipynb": json.dumps(
            {"metadata": {}, "nbformat": 4, "cells": [{"cell_type": "code", "source": ["x += 1\n"]}]}
        ),
        "src/lib/other.py": HEAD + "y = int(dbutils.widgets.get('n'))\ndbutils.notebook.exit(y * 2)\n",
    }
    assert run({"tasks": [notebook("n", "n.py")]}, files).state == "SUCCESS"
    assert "shared 2 ada\nother 4 False\n" in log(tmp_path)


REFUSED = {
    "pip": ("# MAGIC %pip install cowsay\n", "%pip does not run on a laptop; add the package to pyproject.toml"),
    "shell": ("# MAGIC %sh\n# MAGIC ls\n", "%sh does not run on a laptop"),
    "scala": ("# MAGIC %scala\n# MAGIC val x = 1\n", "%scala does not run on a laptop"),
    "fs": ("dbutils.fs.ls('/')\n", "dbutils.fs is not on a laptop"),
    "secrets": ("dbutils.secrets.get('a', 'b')\n", "dbutils.secrets is not on a laptop"),
    "widget": ("dbutils.widgets.get('day')\n", "asks for day, which the target does not know: add day to"),
    "package": ("import cowsay_not_here\n", "No module named 'cowsay_not_here'; a laptop installs nothing"),
    "notebook": ("# MAGIC %run ./gone\n", "there is no notebook './gone'"),
    "error": ("x = 1\n1 / 0\n", "n.py:7: ZeroDivisionError: division by zero"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_a_notebook_cannot_do_here_fails_its_task_with_a_sentence(run, name):
    text, message = REFUSED[name]
    ended = run({"tasks": [notebook("n", "n.py")]}, {"src/n.py": HEAD + "x = 0\n" + CELL + text})
    assert ended.state == "FAILED"
    assert message in ended.tasks["n"].error["message"]
    assert "stack trace" not in ended.tasks["n"].error["message"]


def test_magic_words_without_effect_are_passed_over_and_line_numbers_stay(run, tmp_path):
    cells = (
        HEAD
        + "# MAGIC %load_ext autoreload\n# MAGIC %autoreload 2\nprint('line', __import__('sys')._getframe().f_lineno)\n"
    )
    cells += CELL + "# MAGIC %md\n# MAGIC # raise SystemExit\n" + CELL + "from __future__ import annotations\n"
    cells += CELL + "def f(x: gone) -> None: ...\n"
    assert run({"tasks": [notebook("n", "n.py")]}, {"src/n.py": cells}).state == "SUCCESS"
    assert "line 4\n" in log(tmp_path)


def test_a_file_works_in_its_own_folder_and_leaves_nothing_behind(run, tmp_path):
    """Two files import modules of one name, each from the folder that it adds."""
    text = "import os, sys\nsys.path.append(os.getcwd() + '/../{0}')\nimport helper_of_it\n"
    text += "print(os.getcwd(), helper_of_it.NAME)\n"
    files = {"src/a.py": text.format("one"), "src/b.py": HEAD + text.format("two")}
    files |= {"one/helper_of_it.py": "NAME = 'one'", "two/helper_of_it.py": "NAME = 'two'"}
    tasks = [{"task_key": "a", "spark_python_task": {"python_file": "../src/a.py"}}, notebook("b", "b.py", after=["a"])]
    before = (Path.cwd(), list(sys.path), list(sys.argv))
    assert run({"tasks": tasks}, files).state == "SUCCESS"
    assert [line.split()[-1] for line in log(tmp_path).splitlines() if str(tmp_path) in line] == ["one", "two"]
    assert (Path.cwd(), sys.path, sys.argv) == before
    assert "helper_of_it" not in sys.modules


def test_a_loop_over_a_notebook_runs_it_once_per_input(run, tmp_path):
    inner = notebook("n", "n.py", base_parameters={"number": "{{input}}"})
    inner.pop("depends_on")
    job = {"tasks": [{"task_key": "loop", "for_each_task": {"inputs": "[1, 2, 3]", "concurrency": 3, "task": inner}}]}
    text = HEAD + "dbutils.notebook.exit(dbutils.widgets.get('number'))\n"
    ended = run(job, {"src/n.py": text})
    assert [part.output for part in ended.tasks["loop"].iterations] == ["1", "2", "3"]


def test_a_script_that_ends_with_an_exit_code_fails(run):
    job = {"tasks": [{"task_key": "s", "spark_python_task": {"python_file": "../src/s.py"}}]}
    assert run(job, {"src/s.py": "raise SystemExit(0)"}).state == "SUCCESS"
    ended = run(job, {"src/s.py": "raise SystemExit(3)"})
    assert (ended.state, ended.tasks["s"].error["message"]) == ("FAILED", "the task ended with exit code 3")


class Session:
    """Keeps what it is asked."""

    def __init__(self) -> None:
        self.asked: list[Any] = []

    def sql(self, text: str) -> Any:
        self.asked.append(text)
        return SimpleNamespace(columns=[])

    def addTag(self, tag: str) -> None:  # noqa: N802
        pass


def test_sql_runs_statement_by_statement_with_its_parameters(run):
    session = Session()
    spark: Any = SimpleNamespace(
        start_server=lambda *_: None, offer_session=lambda *_: None, get_session=lambda: session
    )
    what = {"warehouse_id": "w", "parameters": {"day": "1' or '1"}, "file": {"path": "../src/q.sql"}}
    task = {"task_key": "q", "sql_task": what}
    text = "-- a; b\nUSE {{schema}};\nSELECT ';' AS a, :day -- c;\n;; SELECT {{day}}"
    job = {"parameters": [{"name": "schema", "default": "s"}], "tasks": [task]}
    assert run(job, {"src/q.sql": text}, spark=spark).state == "SUCCESS"
    assert session.asked == [
        "USE 's'",
        r"SELECT ';' AS a, '1\' or \'1'",
        r"SELECT '1\' or \'1'",
    ]


@pytest.mark.parametrize(
    ("task", "field"),
    [
        ({"notebook_task": {"notebook_path": "/Workspace/n"}}, "notebook_path"),
        ({"notebook_task": {"notebook_path": "n.py", "source": "GIT"}}, "source"),
        ({"spark_python_task": {"python_file": "dbfs:/x.py"}}, "python_file"),
        ({"spark_python_task": {"python_file": "s3://bucket/x.py"}}, "python_file"),
        ({"sql_task": {"warehouse_id": "w", "query": {"query_id": "q"}}}, "query"),
        ({"sql_task": {"warehouse_id": "w", "file": {"path": "/Volumes/q.sql"}}}, "path"),
        ({"notebook_task": {"notebook_path": "n.py"}, "job_cluster_key": "c"}, "job_cluster_key"),
        ({"pipeline_task": {"pipeline_id": "p"}}, "pipeline_task"),
    ],
)
def test_what_lies_on_the_platform_is_refused_before_anything_runs(run, task, field):
    with pytest.raises(BundleError, match=rf"job.yml:1: {field} of job 'job' cannot run on a laptop"):
        run({"tasks": [{"task_key": "t", **task}]}, {})


@pytest.mark.nightly
def test_a_notebook_and_a_file_of_sql_work_on_spark(run, tmp_path, spark, monkeypatch):
    import laptop.spark

    monkeypatch.setattr(laptop.spark, "start_server", lambda *_: None)
    cells = "# MAGIC %sql\n# MAGIC CREATE OR REPLACE TEMP VIEW three AS SELECT id FROM range(3);\n"
    cells += "# MAGIC SELECT sum(id) FROM three\n"
    cells += CELL + "dbutils.notebook.exit(_sqldf.first()[0] + spark.table('three').count())\n"
    what = {"warehouse_id": "w", "file": {"path": "../src/q.sql"}}
    query = {"task_key": "q", "depends_on": [{"task_key": "n"}], "sql_task": what}
    job = {"parameters": [{"name": "day", "default": "Monday"}], "tasks": [notebook("n", "n.py"), query]}
    files = {"src/n.py": HEAD + cells, "src/q.sql": "SELECT :day AS day, 'seen' AS it; SELECT count(*) FROM three"}
    ended = run(job, files, spark=laptop.spark)
    assert (ended.state, ended.tasks["n"].output) == ("SUCCESS", "6")
    assert "0  Monday  seen" in log(tmp_path)


_TEXTS = st.text(st.sampled_from("ab ;'\"`-/*\n\\"), max_size=12)


@given(st.lists(_TEXTS, max_size=4))
def test_statements_of_texts_names_and_comments_are_as_many_as_were_joined(parts):
    quoted = ["SELECT '" + part.replace("\\", "\\\\").replace("'", "''") + "'" for part in parts]
    comments = [f"{text} /* {part.replace('*', '')} */" for text, part in zip(quoted, parts, strict=True)]
    assert split_statements(";\n".join(quoted)) == quoted
    assert split_statements(";".join(comments)) == quoted


@given(_TEXTS, _TEXTS)
def test_a_marker_is_bound_outside_of_texts_names_and_comments(value, other):
    text = "'" + other.replace("\\", "\\\\").replace("'", "''") + ":v'"
    bound = bind_parameters(f"SELECT {text}, :v, a:v, 1::v, :w -- :v", {"v": value})
    literal = bind_parameters(":v", {"v": value})
    assert bound == f"SELECT {text}, {literal}, a:v, 1::v, :w -- :v"
    assert split_statements(f"{literal};1") == [literal, "1"]


@given(_TEXTS)
def test_a_value_is_one_text_of_sql_whatever_it_holds(value):
    assert len(split_statements(fill_parameters("SELECT {{v}}; SELECT 2", {"v": value}))) == 2
