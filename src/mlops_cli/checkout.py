"""Reads the checkout that a pipeline works on through git and uv, and builds the release from it."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path

from mlops.contract import ConfigError, MlopsError

RECORD = "release.json"
BILL = "sbom.cdx.json"
_CONSTRAINTS = Path(".ci/build-constraints.txt")
"""The build backend and its requirements with hashes, which uv.lock does not hold."""
_NOT_RELEASED = {RECORD, ".gitignore"}


def run_program(*command: str, check: bool = True, **environment: str) -> str:
    """Run a program and return what it printed.

    Raises:
        ConfigError: it is not on the PATH.
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
    """The commit that is checked out."""
    return run_program("git", "rev-parse", "HEAD").strip()


def project_version() -> str:
    """The project's version."""
    return str(tomllib.loads(Path("pyproject.toml").read_text())["project"]["version"])


def lock_digest() -> str:
    """sha256 of the lock."""
    return sha256(Path("uv.lock"))


def sha256(file: Path) -> str:
    """sha256 of a file."""
    return hashlib.sha256(file.read_bytes()).hexdigest()


def file_digests(folder: Path) -> dict[str, str]:
    """Name and sha256 of each file of a release, without its record."""
    return {f.name: sha256(f) for f in sorted(folder.iterdir()) if f.is_file() and f.name not in _NOT_RELEASED}


def build_release(folder: Path) -> dict[str, str]:
    """Build wheel and bill of materials into an empty folder, the wheel twice; returns name and sha256 of each.

    Raises:
        ConfigError: the folder holds something, or the checkout differs from its commit.
        MlopsError: two builds of one commit differ, or a build failed.
    """
    if folder.exists() and any(f.name not in _NOT_RELEASED for f in folder.iterdir()):
        raise ConfigError(f"{folder} is not empty: a release is built into an empty folder")
    if run_program("git", "status", "--porcelain", "--untracked-files=no").strip():
        raise ConfigError("the checkout differs from its commit: commit first, a release is built from a commit")
    with tempfile.TemporaryDirectory(prefix="wheel-") as second:
        wheel, again = (build_wheel(Path(place)) for place in (folder, second))
        if sha256(wheel) != sha256(again):
            raise MlopsError(f"{wheel.name} was built twice and differs: it is not reproducible")
    bill = run_program("uv", "export", "--locked", "--no-default-groups", "--format", "cyclonedx1.5", "--quiet")
    (folder / BILL).write_text(_strip_time(bill))
    return file_digests(folder)


def build_wheel(folder: Path) -> Path:
    """Build the wheel of the commit that is checked out into a folder; returns its file."""
    moment = run_program("git", "log", "-1", "--format=%ct").strip()
    fixed = ("--build-constraints", str(_CONSTRAINTS), "--require-hashes")
    run_program("uv", "build", "--wheel", "--quiet", "--out-dir", str(folder), *fixed, SOURCE_DATE_EPOCH=moment)
    return next(folder.glob("*.whl"))


def _strip_time(bill: str) -> str:
    """The bill without its time stamp and serial number, so that the same lock gives the same bytes."""
    document = json.loads(bill)
    document.get("metadata", {}).pop("timestamp", None)
    document.pop("serialNumber", None)
    return json.dumps(document, indent=1, sort_keys=True) + "\n"


def audit_lock() -> str:
    """The vulnerabilities of all locked packages as `uv audit` prints them, JSON; its exit code does not count."""
    return run_program("uv", "audit", "--locked", "--output-format", "json", check=False)


def read_file(file: Path) -> str:
    """The text of a file that a person names, with or without the byte-order mark that PowerShell writes.

    Raises:
        ConfigError: the file is not UTF-8; `>` in PowerShell 5 writes UTF-16.
    """
    try:
        return file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise ConfigError(f"{file} is no UTF-8 text; write it with `Out-File -Encoding utf8` in PowerShell") from None


def read_texts(*, history: bool) -> Iterator[tuple[str, str]]:
    """Name and content of every tracked text file; with history, every commit's message and patch, too."""
    for name in run_program("git", "ls-files", "-z").split("\0"):
        if name and Path(name).is_file() and not Path(name).is_symlink():
            yield name, Path(name).read_text(errors="ignore")
    for part in re.split(r"^\0", _read_patches(), flags=re.MULTILINE) if history else ():
        commit, _, patch = part.partition("\n")
        yield f"commit {commit[:12]}", patch


def _read_patches() -> str:
    shown = ("--patch", "--cc", "--text", "--no-color", "--no-ext-diff", "--format=%x00%H%n%B", "--unified=0")
    return run_program("git", "log", "--all", *shown)


def export_requirements() -> str:
    """Everything that the wheel needs, pinned and hashed, as a requirements file."""
    return run_program("uv", "export", "--locked", "--no-default-groups", "--no-emit-project", "--quiet")


def read_licences() -> dict[str, str]:
    """The licence that each installed requirement of the wheel declares, by package; empty if it declares none."""
    names = re.findall(r"^([A-Za-z0-9._-]+)==", export_requirements(), flags=re.MULTILINE)
    licences = {}
    for name in names:
        try:
            about = importlib.metadata.metadata(name)
        except importlib.metadata.PackageNotFoundError:
            continue  # of another platform
        kinds = [c.rpartition(" :: ")[2] for c in about.get_all("Classifier") or () if c.startswith("License ::")]
        named = ", ".join(kind for kind in kinds if kind != "OSI Approved")
        licences[name] = str(about.get("License-Expression") or named or about.get("License") or "")
    return licences


def download_wheels(folder: Path, platforms: Sequence[str]) -> int:
    """Download a wheel of each requirement of the wheel, check its hash, and return how many there are.

    It uses pip, since uv has no such command.
    """
    folder.mkdir(parents=True, exist_ok=True)
    requirements = folder / "requirements.txt"
    requirements.write_text(export_requirements())
    with tempfile.TemporaryDirectory(prefix="pip-") as environment:
        run_program(sys.executable, "-m", "venv", environment)
        pip = (f"{environment}/bin/python", "-m", "pip", "download", "--quiet")
        only = ("--require-hashes", "--only-binary=:all:", "--no-deps", "--python-version=3.12")
        kinds = (f"--platform={platform}" for platform in platforms)
        run_program(*pip, *only, *kinds, f"--dest={folder}", f"--requirement={requirements}")
    return len(list(folder.glob("*.whl")))
