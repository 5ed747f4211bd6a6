"""Asks uv for the packages of the lock and their known vulnerabilities, and downloads their wheels."""

from __future__ import annotations

import importlib.metadata
import re
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from mlops_cli.checkout import run_program


def audit_lock() -> str:
    """Return the vulnerabilities of all locked packages, the JSON of `uv audit`; its exit code is ignored."""
    return run_program("uv", "audit", "--locked", "--output-format", "json", check=False)


def export_requirements() -> str:
    """Write everything that the wheel needs as a requirements file with versions and hashes."""
    return run_program("uv", "export", "--locked", "--no-default-groups", "--no-emit-project", "--quiet")


def read_licences() -> dict[str, str]:
    """Read the licence that each installed requirement of the wheel declares, by package; empty if it declares none."""
    names = re.findall(r"^([A-Za-z0-9._-]+)==", export_requirements(), flags=re.MULTILINE)
    licences = {}
    for name in names:
        try:
            about = importlib.metadata.metadata(name)
        except importlib.metadata.PackageNotFoundError:
            continue  # it is for another platform
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
