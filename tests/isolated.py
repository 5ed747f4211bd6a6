"""Environments of a test's own, made by uv: what is installed there never enters our lock."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path


def uv(*arguments: str | Path, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run uv, away from our project, whose constraints it would take."""
    program = os.environ.get("UV") or shutil.which("uv")
    assert program is not None, "put uv on the PATH: .ci/run does"
    command = [program, "--directory", tempfile.gettempdir(), *map(str, arguments)]
    return subprocess.run(command, check=check, capture_output=True, text=True)


def environment(folder: Path, *requirements: str) -> Path:
    """An environment with exactly these and what they require; returns its Python."""
    python = folder / "bin/python"
    uv("venv", "--quiet", "--python", "3.12", folder)
    if requirements:
        uv("pip", "install", "--quiet", "--python", python, *requirements)
    return python
