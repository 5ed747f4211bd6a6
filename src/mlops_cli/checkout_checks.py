"""Runs the checks of `.ci/run` that come before the tests, before and after a change, and compares the results."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from mlops.contract import MlopsError
from mlops_cli.checkout import run_program

VALIDATE = "laptop validate"
CHECKS = (VALIDATE, "ruff check", "ruff format --check", "mypy", "lint-imports")
_SHOWN = 1500
"""Number of characters of a program's output that an error repeats."""


def write_generated() -> None:
    """Write the lock, the golden plans and the tables of docs/reference anew."""
    run_program("uv", "lock", "--quiet")
    for command in (f"{VALIDATE} --write-plans", "python tests/docs/generate_pages.py"):
        failed, text = run_tool(command)
        if failed:
            raise MlopsError(f"`{command}` failed:\n{text[-_SHOWN:]}")


def find_failures() -> dict[str, str]:
    """Run every check; returns the output of each failed one, by its command."""
    results = {check: run_tool(check) for check in CHECKS}
    return {check: text for check, (failed, text) in results.items() if failed}


def check_checkout(before: Mapping[str, str] | None = None) -> list[str]:
    """Run every check again after a change.

    Args:
        before: what `find_failures` returned before the change; None: nothing had failed.

    Returns:
        One text for each check that fails as it did before.

    Raises:
        MlopsError: a check failed that had not failed before, or prints a line that it had not printed before.
    """
    notes = []
    for check, text in find_failures().items():
        known = (before or {}).get(check, "")
        if not _comparable_lines(text) <= _comparable_lines(known):
            raise MlopsError(f"`{check}` failed:\n{text[-_SHOWN:]}")
        notes.append(f"`{check}` fails, and was so before:\n{text[-_SHOWN:]}")
    return notes


def _comparable_lines(text: str) -> set[str]:
    """Return the lines without numbers, since a change moves lines and removes files that are counted."""
    singular = re.sub(r"(\d \w+?)s\b", r"\1", text)
    return set(re.sub(r"\d+", "N", singular).split("\n"))


def run_tool(command: str) -> tuple[bool, str]:
    """Run a program of this environment; returns whether it failed, and what it printed."""
    program, *arguments = command.split()
    done = subprocess.run(  # noqa: S603 (a list, never a shell)
        [str(Path(sys.executable).with_name(program)), *arguments], capture_output=True, text=True, check=False
    )
    return bool(done.returncode), (done.stdout + done.stderr).strip()
