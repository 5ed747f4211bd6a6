"""What a new task touches: docs/how-to/add-a-task.md, followed in a copy of the checkout."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from laptop.lint import lint_bundle

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/how-to/add-a-task.md").read_text()
MODULE, SCRIPTS, JOB, TABLE = (
    "src/mlops/jobs/count_rows.py", "pyproject.toml", "resources/ingestion.job.yml", "docs/reference/jobs.md",
)  # fmt: skip
TASK = """\
        - task_key: count_rows
          depends_on:
            - task_key: features
          environment_key: default
          timeout_seconds: 600
          disable_auto_optimization: true
          python_wheel_task:
            package_name: mlops-template
            entry_point: count_rows
            named_parameters:
              job: ingestion
              run_id: "{{job.run_id}}"
"""


def module() -> str:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    return re.sub(r"^   ", "", code, flags=re.MULTILINE)


def line_after(text: str, begins: str, line: str) -> str:
    lines = text.splitlines(keepends=True)
    at = next(number for number, known in enumerate(lines) if known.startswith(begins))
    return "".join([*lines[: at + 1], line, *lines[at + 1 :]])


STEPS = {
    MODULE: lambda _: module(),
    SCRIPTS: lambda text: line_after(text, "features = ", 'count_rows = "mlops.jobs.count_rows:main"\n'),
    JOB: lambda text: text + TASK,
    TABLE: lambda text: line_after(
        text,
        "| ingestion | features |",
        "| ingestion | count_rows | `mlops.jobs.count_rows` | the sources' tables | |\n",
    ),
}
"""The files that a new task of an existing job touches, and how; its own test would be the fifth."""


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    folder = tmp_path_factory.mktemp("copy")
    names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True).stdout
    for name in (name for name in names.split("\0") if (ROOT / name).is_file()):  # a fork may have deleted some
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name, follow_symlinks=False)
    return folder


def problems(folder: Path, without: str = "") -> str:
    """What the linter, or else the commands, say of a checkout where every step but one is done."""
    before = {name: (folder / name).read_text() if (folder / name).exists() else None for name in STEPS}
    try:
        for name, step in STEPS.items():
            if name != without:
                (folder / name).write_text(step(before[name] or ""))
        if found := lint_bundle(folder):
            return "\n".join(map(str, found))
        commands = (
            ["-m", "laptop", "validate"],
            ["-m", "pytest", "-q", "-n0", "tests/bundle/test_readme.py", "-k", "table"],
        )
        runs = [
            subprocess.run([sys.executable, *words], cwd=folder, capture_output=True, text=True, check=False)
            for words in commands
        ]
        return "".join(run.stdout + run.stderr for run in runs if run.returncode)
    finally:
        for name, text in before.items():
            (folder / name).write_text(text) if text is not None else (folder / name).unlink(missing_ok=True)


def test_a_new_task_touches_four_files_and_its_test(copy: Path) -> None:
    assert len(STEPS) + 1 <= 5
    assert problems(copy) == ""


@pytest.mark.parametrize("name", STEPS)
def test_a_step_that_is_left_out_is_reported(copy: Path, name: str) -> None:
    assert "count_rows" in problems(copy, without=name)
