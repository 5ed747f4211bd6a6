"""Tasks that run a file of the bundle: a notebook, a Python script or SQL.

As on the platform, the folder of the file is the working directory and the first place of imports. Both belong to the
process, so such tasks run one at a time, also those of a for_each_task.
"""

from __future__ import annotations

import os
import runpy
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

from laptop import runtime
from laptop.bundle import Bundle
from laptop.home import LaptopError, set_environment
from laptop.notebook import Widgets, describe_exception, run_notebook
from laptop.references import Scope
from laptop.sql_text import bind_parameters, fill_parameters, split_statements
from laptop.task_states import FILE_KINDS
from laptop.working_folder import work_beside

_SHOWN_ROWS = 20
GetSession = Callable[[], Any]


def run_file_task(  # noqa: PLR0917 - bound in this order before there is a session
    kind: str, what: Mapping[str, Any], file: Path, scope: Scope, home: Path, get_session: GetSession
) -> None:
    """Run the file of a task to its end.

    Args:
        kind: notebook_task, spark_python_task or sql_task.
        what: the value of that key.
        file: absolute.
        scope: the values that its references may name.
        home: keeps the figures that a notebook displays, in `notebooks`.
        get_session: waits for Spark and returns its session; None where nothing needs it.

    Raises:
        LaptopError: the file cannot run here, or raised; says where and what.
    """
    if kind == "spark_python_task":
        arguments = [scope.fill_references(value) for value in what.get("parameters", [])]
        with work_beside(file, arguments):
            _run_script(file)
        return
    values = {name: scope.fill_references(value) for name, value in what.get(FILE_KINDS[kind][1], {}).items()}
    values |= scope.run.parameters  # pushed down, and over the task's own (jobs/job-parameters)
    if kind == "sql_task":
        _run_sql(file, values, get_session())
        return
    with work_beside(file, []), set_environment(MPLBACKEND="Agg"):
        result = run_notebook(file, Widgets(values), home / "notebooks", session=get_session())
    current = runtime.current.get()
    if current and result is not None:
        current.task.output = result
        current.save()


def _run_script(file: Path) -> None:
    try:
        runpy.run_path(str(file), run_name="__main__")
    except LaptopError:
        raise
    except Exception as error:
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(file)]
        line = lines[-1] if lines else getattr(error, "lineno", None) or 1
        raise LaptopError(f"{file}:{line}: {describe_exception(error)}") from error


def _run_sql(file: Path, values: dict[str, str], session: Any) -> None:
    for number, statement in enumerate(split_statements(fill_parameters(file.read_text(encoding="utf-8"), values)), 1):
        try:
            frame = session.sql(bind_parameters(statement, values))
            if frame.columns:
                click.echo(frame.limit(_SHOWN_ROWS).toPandas().to_string())
        except Exception as error:
            raise LaptopError(f"{file}, statement {number}: {str(error).splitlines()[0]}") from error


def find_task_file(bundle: Bundle, job: str, key: str, kind: str) -> Path:
    """Return the absolute path of a task's file, which is relative to the bundle's file that declares the task."""
    for number, task in enumerate(bundle.jobs[job]["tasks"]):
        nested = task.get("for_each_task", {}).get("task", {})
        if key in {task["task_key"], nested.get("task_key")} and kind in {**task, **nested}:
            inner = ("for_each_task", "task") if kind in nested else ()
            path = ("resources", "jobs", job, "tasks", number, *inner, kind, *FILE_KINDS[kind][0])
            node = bundle.tree.get(*path)
            if node:
                return Path(os.path.normpath(bundle.root.absolute() / node.place.file.parent / str(node.value)))
    raise LaptopError(f"task {key!r} of job {job!r} names no file")
