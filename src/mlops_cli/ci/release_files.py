"""Decides whether the files of a release may be deployed, and reads its tag and notes. All functions are pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

from mlops.contract import ConfigError

_TAG = re.compile(r"v(\d+\.\d+\.\d+)")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,200}")


@dataclass(frozen=True)
class Release:
    """The files of a release with their sha256, and the commit that they were built from."""

    commit: str
    version: str
    lock: str
    """sha256 of uv.lock."""
    files: Mapping[str, str]
    """The sha256 of wheel, bill of materials and licences, by file name."""


def parse_release(text: str) -> Release:
    """Read release.json.

    Raises:
        ConfigError: the text is no such record, or a digest, a commit or a name in it has another form.
    """
    try:
        release = Release(**json.loads(text))
        digests = all(_SHA256.fullmatch(digest) for digest in (release.lock, *release.files.values()))
        names = all(_FILE.fullmatch(name) for name in release.files)
        valid = bool(_COMMIT.fullmatch(release.commit) and digests and names and release.version)
    except (ValueError, TypeError, AttributeError):
        valid = False
    if not valid:
        raise ConfigError("this is no release.json: build again with `mlops ci build`")
    return release


def release_errors(
    record: Release, *, files: Mapping[str, str], commit: str, lock: str, attested: Sequence[Mapping[str, Any]] | None
) -> tuple[str, ...]:
    """List the reasons why these files must not be deployed; empty if they were built from this commit.

    Args:
        record: what the build wrote.
        files: sha256 of each file that is there now, by name.
        commit: the commit that is deployed.
        lock: sha256 of the lock of that commit.
        attested: output of `gh attestation verify --format json` for the wheel; None: there are no attestations.
    """
    errors = [f"{name} was not built here" for name in sorted(files.keys() - record.files.keys())]
    for name, digest in sorted(record.files.items()):
        if name not in files:
            errors.append(f"{name} is missing")
        elif files[name] != digest:
            errors.append(f"{name} is not what was built: sha256 {files[name][:12]}, built {digest[:12]}")
    if record.commit != commit:
        errors.append(f"it was built from commit {record.commit[:12]}, not {commit[:12]}")
    if record.lock != lock:
        errors.append("uv.lock is not the one that it was built with")
    wheels = [digest for name, digest in record.files.items() if name.endswith(".whl")]
    if len(wheels) != 1:
        errors.append(f"there are {len(wheels)} wheels, not one")
    elif attested is not None:
        errors += _attestation_errors(attested, {*record.files.values()}, commit)
    return tuple(errors)


def _attestation_errors(statements: Sequence[Mapping[str, Any]], digests: Set[str], commit: str) -> Iterator[str]:
    """Check that an attestation is about these files and this commit; `gh` has checked signature and workflow."""
    for statement in statements:
        result = statement.get("verificationResult", {})
        subjects = {s.get("digest", {}).get("sha256") for s in result.get("statement", {}).get("subject", ())}
        source = result.get("signature", {}).get("certificate", {}).get("sourceRepositoryDigest")
        if digests <= subjects and source == commit:
            return
    yield f"no attestation says that all of these files were built from commit {commit[:12]}"


def check_tag(text: str, version: str) -> str:
    """Check a release's tag, as v1.2.3, against the version of the project.

    Raises:
        ConfigError: the tag has another form, or names another version.
    """
    match = _TAG.fullmatch(text)
    if match is None:
        raise ConfigError(f"{text!r} is no release tag: write it as v1.2.3")
    if match[1] != version:
        raise ConfigError(f"tag {text} is not version {version} of pyproject.toml: set the version, then tag")
    return text


def release_notes(changelog: str, version: str) -> str:
    """Return the section of a version in CHANGELOG.md.

    Raises:
        ConfigError: there is none, or it is empty.
    """
    parts = re.split(r"^## \[([^\]]+)\].*$", changelog, flags=re.MULTILINE)
    section = dict(zip(parts[1::2], parts[2::2], strict=True)).get(version, "").strip()
    if not section:
        raise ConfigError(f"CHANGELOG.md says nothing about {version}: add a section ## [{version}]")
    return section
