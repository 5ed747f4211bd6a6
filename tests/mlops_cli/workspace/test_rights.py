"""RIGHTS, the table of docs/reference/rights.md: held against what the code of each job calls, and against the page."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest
import yaml
from reached import code_reached

from mlops_cli.workspace.requirements import RIGHTS, CallPrivilege

ROOT = Path(__file__).parents[3]
JOBS = ROOT / "src/mlops/jobs"
_EXECUTE, _TAG, _MAKE = ("model", "EXECUTE"), ("model", "APPLY_TAG"), ("model", "CREATE_MODEL_VERSION")
READS = ("get_version", "list_versions", "find_alias_holder", "fetch_files", "load_model", "open_version")
TAKES = {
    "registry.register_model": {_MAKE, _EXECUTE, _TAG},  # it reads back what it registered, and tags its digest
    "registry.copy_version": {_MAKE, _EXECUTE, _TAG},  # it tags the version that it makes
    "registry.set_tags": {_TAG},
    "registry.set_alias": {("model", "MANAGE"), _EXECUTE},
    "registry.drop_alias": {("model", "MANAGE"), _EXECUTE},
    "registry.delete_version": {("model", "MANAGE"), _EXECUTE},
    "registry.set_description": {("model", "MANAGE")},
    **{f"registry.{name}": {_EXECUTE} for name in READS},
    "own.read_table": {("schema", "SELECT")},
    "own.merge_rows": {("schema", "MODIFY")},
    "own.replace_rows": {("schema", "MODIFY")},
    "own.insert_new": {("schema", "MODIFY")},
    "own.append_rows": {("schema", "MODIFY")},
    "own.append_numbered": {("schema", "MODIFY")},
    "own.append_once": {("schema", "MODIFY")},
    "own.newest_version": {("schema", "SELECT")},
    "own.set_comments": {("schema", "MODIFY")},
    "own.create_table": {("schema", "CREATE_TABLE")},
    "own.exists": {("schema", "SELECT")},
    "data.read_table": {("data schema", "SELECT")},
    "data.newest_version": {("data schema", "SELECT")},
    "data.check_version": {("data schema", "SELECT")},
    "storage.write_text": {("volume", "WRITE_VOLUME"), ("volume", "READ_VOLUME")},
    "storage.list_entries": {("volume", "READ_VOLUME")},
    "storage.scan_folder": {("volume", "READ_VOLUME")},
    "streams.process_new_rows": {("data schema", "SELECT"), ("volume", "READ_VOLUME"), ("volume", "WRITE_VOLUME")},
}
OF_CALLS = [r for r in RIGHTS if not r.privilege.startswith("USE_") and not r.on.startswith(("source", "trial"))]
"""Rights that one call takes: what is around a thing has to be usable, and a parameter names the source."""
FREE = {
    f"registry.{name}"
    for name in ("open_run", "log_to_run", "log_tables", "link_model", "read_document", "read_run_tags", "search_runs")
} | {"storage.resolve_local_path", "data.full_name", "own.full_name"}
"""What takes a permission on the experiment, which the bundle gives, or nothing at all."""


def _tasks() -> dict[str, set[str]]:
    tasks: dict[str, set[str]] = {}
    for file in (ROOT / "resources").glob("*.job.yml"):
        for job, body in yaml.safe_load(file.read_text())["resources"]["jobs"].items():
            wheels = [task["python_wheel_task"] for task in body["tasks"] if "python_wheel_task" in task]
            tasks[job] = {wheel["entry_point"] for wheel in wheels}
    return tasks


def _calls(task: str) -> set[str]:
    """What a task calls of the outside world, through the modules that the jobs share, too."""
    calls: set[str] = set()
    for node in (part for code in code_reached(task) for part in ast.walk(code)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            calls.add(".".join(ast.unparse(node.func).split(".")[-2:]))
            if ast.unparse(node.func).startswith("table_schemas.create"):
                calls.add("own.create_table")
    return {call for call in calls if call.split(".")[0] in {"registry", "own", "data", "storage", "streams"}}


@cache
def _taken(job: str) -> dict[str, set[tuple[str, str]]]:
    """The rights that each call of a job takes."""
    calls = set().union(*(_calls(task) for task in _tasks()[job] if (JOBS / f"{task}.py").is_file())) - FREE
    if job == "ingestion":  # it makes the features that the other jobs read: `data` is its own schema
        calls = {call.replace("data.", "own.") for call in calls}
    return {call: TAKES.get(call, {("?", f"say in TAKES what {call} takes")}) for call in calls}


@pytest.mark.parametrize("job", sorted(_tasks().keys() - {"integration"}))
def test_every_call_of_a_job_has_its_right(job: str) -> None:
    granted = {(right.on, right.privilege) for right in RIGHTS if job in right.jobs}
    assert {call: taken - granted for call, taken in _taken(job).items() if taken - granted} == {}


@pytest.mark.parametrize("right", OF_CALLS, ids=lambda right: f"{right.privilege} on {right.on}")
def test_no_job_has_a_right_that_none_of_its_calls_takes(right: CallPrivilege) -> None:
    needless = {job for job in right.jobs if (right.on, right.privilege) not in set().union(*_taken(job).values())}
    assert needless == set()


def test_the_page_shows_the_table() -> None:
    rows = [
        f"| {right.privilege.replace('_', ' ')} | {right.on} | {', '.join(right.jobs)} | {right.calls} |"
        for right in RIGHTS
    ]
    page = (ROOT / "docs/reference/rights.md").read_text()
    start = page.index("| privilege | on | jobs | calls that take it |")
    assert page[start:].split("\n\n")[0].splitlines()[2:] == rows
