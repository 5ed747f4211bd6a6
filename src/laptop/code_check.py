"""Runs the code check that laptop.yml names, in a separate process that imports the code, parallel to the linter."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from laptop.document import Diagnostic, Location
from laptop.includes import LAPTOP, read_laptop
from laptop.settings import LaptopSettings
from laptop.text import printable

_RULE = "code"


@dataclass(frozen=True)
class CodeCheck:
    """A running check: a module that prints a JSON list of problems (file, line, summary, reason, fix)."""

    module: str
    location: Location
    process: subprocess.Popen[str]

    def find_problems(self) -> Iterator[Diagnostic]:
        """Wait for the check to end, and yield its problems; a check that fails is itself a problem."""
        out, errors = self.process.communicate()
        try:
            problems = json.loads(out) if self.process.returncode == 0 else None
            for problem in problems or ():
                location = Location(Path(problem["file"]), int(problem["line"]))
                yield Diagnostic(_RULE, location, *(printable(problem[key]) for key in ("summary", "reason", "fix")))
        except (ValueError, KeyError, TypeError):
            problems = None
        if problems is None:
            last = (errors.strip().splitlines() or [f"exit code {self.process.returncode}"])[-1]
            what = f"the check {self.module} did not end well: {printable(last)}"
            yield Diagnostic(_RULE, self.location, what, "nothing of the code was checked", "correct `check:`")


@contextmanager
def start_check(root: Path) -> Iterator[CodeCheck | None]:
    """Start the check of a bundle, and end it with the block; None if laptop.yml names no check."""
    settings = LaptopSettings(read_laptop(root, []))
    module, node = settings.module("check"), settings.tree.get("check")
    if not module or node is None:
        yield None
        return
    command = [sys.executable, "-m", module]
    with subprocess.Popen(  # noqa: S603 (a list, never a shell)
        command, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True
    ) as process:
        try:
            yield CodeCheck(module, node.place if node.place.file == LAPTOP else Location(LAPTOP, 1), process)
        finally:
            process.kill()
