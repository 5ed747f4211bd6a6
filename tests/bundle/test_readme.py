"""The table of tasks in docs/reference/jobs.md against the bundle's YAML, and the test command of the README."""

from __future__ import annotations

from pathlib import Path

from shown_commands import read_commands

from laptop.bundle import load_bundle

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
JOBS = (ROOT / "docs/reference/jobs.md").read_text()


def table():
    lines = [line for line in JOBS.splitlines() if line.startswith("| ")]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    head = rows.index(["job", "task", "module", "reads", "writes"])
    for row in rows[head + 1 :]:
        if len(row) != 5:
            return
        yield row


def test_the_table_has_a_row_for_each_task_of_each_job_and_no_other():
    jobs = load_bundle(ROOT, "dev").jobs
    wanted = {(job, task["task_key"]) for job, document in jobs.items() for task in document["tasks"]}
    rows = [(row[0], row[1]) for row in table()]
    assert sorted(rows) == sorted(wanted)


def test_a_wheel_task_names_its_module_and_the_module_is_there():
    tasks = {
        (job, t["task_key"]): t for job, document in load_bundle(ROOT, "dev").jobs.items() for t in document["tasks"]
    }
    for job, task, module, _, _ in table():
        if "python_wheel_task" in tasks[job, task]:
            assert module == f"`mlops.jobs.{task}`"
            assert (ROOT / "src" / Path(*module.strip("`").split("."))).with_suffix(".py").is_file()
        else:
            assert "mlops" not in module


def test_ci_runs_the_test_command_of_the_readme():
    assert 'uv run pytest "$@"' in (ROOT / ".ci/run").read_text().splitlines()
    assert ["pytest"] in read_commands(README)
