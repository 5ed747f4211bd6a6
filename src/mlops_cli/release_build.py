"""Builds the release of a checkout: the wheel, twice, and its bill of materials."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from mlops.contract import ConfigError, MlopsError
from mlops_cli.checkout import run_program, sha256

RECORD = "release.json"
BILL = "sbom.cdx.json"
_CONSTRAINTS = Path(".ci/build-constraints.txt")
"""The build backend and its requirements with hashes; uv.lock does not contain them."""
_NOT_RELEASED = {RECORD, ".gitignore"}


def file_digests(folder: Path) -> dict[str, str]:
    """Return the sha256 of each file of a release, by name, without its record."""
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
    """Remove time stamp and serial number from the bill, so that the same lock gives the same bytes."""
    document = json.loads(bill)
    document.get("metadata", {}).pop("timestamp", None)
    document.pop("serialNumber", None)
    return json.dumps(document, indent=1, sort_keys=True) + "\n"
