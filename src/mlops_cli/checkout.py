"""Reads the checkout that a pipeline works on, through git, and runs programs in it."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

from mlops.contract import ConfigError, MlopsError


def run_program(*command: str, check: bool = True, **environment: str) -> str:
    """Run a program and return what it printed.

    Raises:
        ConfigError: the program is not on the PATH.
        MlopsError: it failed, and check is true.
    """
    program = shutil.which(command[0])
    if program is None:
        raise ConfigError(f"{command[0]} is not on the PATH: install it")
    done = subprocess.run(  # noqa: S603 (a list, never a shell)
        [program, *command[1:]], capture_output=True, encoding="utf-8", errors="replace", check=False,
        env={**os.environ, **environment},
    )  # fmt: skip
    if check and done.returncode:
        raise MlopsError(f"{' '.join(command[:3])} failed: {done.stderr.strip()[-500:]}")
    return done.stdout


def head_commit() -> str:
    """Return the commit that is checked out."""
    return run_program("git", "rev-parse", "HEAD").strip()


def project_version() -> str:
    """Return the project's version."""
    return str(tomllib.loads(Path("pyproject.toml").read_text())["project"]["version"])


def lock_digest() -> str:
    """Return the sha256 of uv.lock."""
    return sha256(Path("uv.lock"))


def sha256(file: Path) -> str:
    """Return the sha256 of a file."""
    return hashlib.sha256(file.read_bytes()).hexdigest()


def read_file(file: Path) -> str:
    """Read the text of a file, with or without the byte-order mark that PowerShell writes.

    Raises:
        ConfigError: the file is not UTF-8; `>` in PowerShell 5 writes UTF-16.
    """
    try:
        return file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise ConfigError(f"{file} is no UTF-8 text; write it with `Out-File -Encoding utf8` in PowerShell") from None


def read_texts(*, history: bool) -> Iterator[tuple[str, str]]:
    """Yield name and content of every tracked text file; with history, also every commit's message and patch."""
    for name in run_program("git", "ls-files", "-z").split("\0"):
        if name and Path(name).is_file() and not Path(name).is_symlink():
            yield name, Path(name).read_text(errors="ignore")
    for part in re.split(r"^\0", _read_patches(), flags=re.MULTILINE) if history else ():
        commit, _, patch = part.partition("\n")
        yield f"commit {commit[:12]}", patch


def _read_patches() -> str:
    shown = ("--patch", "--cc", "--text", "--no-color", "--no-ext-diff", "--format=%x00%H%n%B", "--unified=0")
    return run_program("git", "log", "--all", *shown)
