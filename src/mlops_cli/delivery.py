"""Decisions of a pipeline: which wheel may be deployed, where a version stands, which vulnerabilities may stay.

All functions are pure; `mlops ci` reads the facts and prints the answers.
"""

from __future__ import annotations

import json
import re
import shlex
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Literal

from mlops.contract import ConfigError
from mlops.release.version_record import ShownTags

_TAG = re.compile(r"v(\d+\.\d+\.\d+)")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,200}")
LONGEST_EXCEPTION = timedelta(days=90)
"""The longest time for which a vulnerability may be accepted; then somebody has to decide again."""


# --- one release -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Release:
    """The files of a release with their sha256, and the commit that they were built from."""

    commit: str
    version: str
    lock: str
    """sha256 of uv.lock."""
    files: Mapping[str, str]
    """Name to sha256: wheel, bill of materials, licences."""


def parse_release(text: str) -> Release:
    """Read release.json.

    Raises:
        ConfigError: it is none, or a digest, a commit or a name in it has another form.
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
    """Reasons why these files must not be deployed; empty if they were built from this commit.

    Args:
        record: as the build wrote it.
        files: name to sha256 of what lies there now.
        commit: that is being deployed.
        lock: sha256 of the lock of that commit.
        attested: what `gh attestation verify --format json` printed for the wheel; None where the system has none.
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
        ConfigError: it has another form, or says another version.
    """
    match = _TAG.fullmatch(text)
    if match is None:
        raise ConfigError(f"{text!r} is no release tag: write it as v1.2.3")
    if match[1] != version:
        raise ConfigError(f"tag {text} is not version {version} of pyproject.toml: set the version, then tag")
    return text


def release_notes(changelog: str, version: str) -> str:
    """The section of a version in CHANGELOG.md.

    Raises:
        ConfigError: there is none, or it is empty.
    """
    parts = re.split(r"^## \[([^\]]+)\].*$", changelog, flags=re.MULTILINE)
    section = dict(zip(parts[1::2], parts[2::2], strict=True)).get(version, "").strip()
    if not section:
        raise ConfigError(f"CHANGELOG.md says nothing about {version}: add a section ## [{version}]")
    return section


# --- which targets have a workspace ----------------------------------------------------------------------------------


def parse_deploy_targets(text: str, order: Sequence[str]) -> tuple[str, ...]:
    """Read which targets a pipeline may touch, in their order; an empty text means none.

    Args:
        text: names with spaces or commas between them, as in "staging, prod".
        order: every target that pipelines deploy, each after the one that has to prove a release first.

    Raises:
        ConfigError: a name is no target, or a target is named without those before it.
    """
    names = {name for name in re.split(r"[\s,]+", text) if name}
    if unknown := sorted(names - set(order)):
        raise ConfigError(f"DEPLOY_TARGETS names {unknown[0][:40]!r}: write one or more of {', '.join(order)}")
    targets = tuple(name for name in order if name in names)
    if targets != tuple(order[: len(targets)]):
        missing = next(name for name in order if name not in names)
        raise ConfigError(f"DEPLOY_TARGETS names {targets[-1]} without {missing}, which proves a release first: add it")
    return targets


# --- one version on its way ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class PromotionStep:
    """One step of a promotion."""

    name: str
    state: Literal["done", "waiting", "refused", "open"]
    what: str


@dataclass(frozen=True)
class Copy:
    """A version of the target that says it is a copy of the version."""

    number: int
    shown: ShownTags
    digest: str
    """Digest of its files now."""


def promotion_status(
    source: ShownTags,
    copies: Sequence[Copy],
    *,
    digest: str,
    champion: int | None,
    target_options: Sequence[str],
) -> tuple[PromotionStep, ...]:
    """The steps of a version's promotion into a target, as tags and aliases show them; no decision depends on this.

    Args:
        source: tags of the version in the target below.
        copies: its copies in the target, oldest first.
        digest: digest of the version's files now.
        champion: number of the target's champion; None: there is none.
        target_options: how a command names the target: --target and, on a laptop, --home.
    """
    accepted = source.verdict == "accepted"
    steps = [PromotionStep("source", "done" if accepted else "refused", f"verdict there: {source.verdict or 'none'}")]
    copy = copies[0] if copies else None
    number, shown = (copy.number, copy.shown) if copy else (None, ShownTags())
    steps.append(PromotionStep("copy", "done" if copy else "open", f"version {number}" if copy else "not made yet"))
    if len(copies) > 1:
        numbers = [copy.number for copy in copies]
        steps.append(PromotionStep("copies", "refused", f"{len(copies)} copies of one version: {numbers}"))
    if copy and not copy.digest == digest == shown.promoted_from.rpartition("@")[2]:
        steps.append(PromotionStep("digest", "refused", "the copy's files are not the source's"))
    verdict = shown.verdict
    state: Literal["done", "refused", "open"] = "refused" if verdict else "open"
    state = "done" if verdict == "accepted" else state
    steps.append(PromotionStep("verdict", state, verdict or "not judged here yet"))
    serves = number is not None and number == champion
    approved = bool(shown.approved_by)
    approve = shlex.join(["mlops", "approve", str(number or "N"), *target_options])
    waits: Literal["waiting", "open"] = "waiting" if state == "done" else "open"
    by = f"by {shown.approved_by}" if approved else f"a person decides: {approve}"
    if serves and not approved:
        by = "automatic in this target"
    steps.append(PromotionStep("approval", "done" if approved or serves else waits, by))
    steps.append(
        PromotionStep("champion", "done" if serves else "open", f"version {champion}" if champion else "none yet")
    )
    return tuple(steps)


# --- vulnerabilities -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Vulnerability:
    """A known vulnerability of a locked package."""

    id: str
    package: str
    """Name and version."""
    fixed: str
    """Versions that have a fix; empty: none."""


@dataclass(frozen=True)
class AcceptedVulnerability:
    """A vulnerability that may stay until a day."""

    id: str
    reason: str
    until: date


def parse_vulnerabilities(text: str) -> tuple[Vulnerability, ...]:
    """Read what `uv audit --output-format json` printed.

    Raises:
        ConfigError: it is none of that.
    """
    try:
        return tuple(
            Vulnerability(
                id=str(row["display_id"]),
                package=f"{row['dependency']['name']} {row['dependency']['version']}",
                fixed=", ".join(map(str, row.get("fix_versions", ()))),
            )
            for row in json.loads(text)["vulnerabilities"]
        )
    except (ValueError, TypeError, KeyError):
        raise ConfigError("this is no audit: give what `uv audit --output-format json` printed") from None


def parse_exceptions(text: str) -> tuple[AcceptedVulnerability, ...]:
    """Read the file of exceptions (TOML): a table `accepted.<id>` with `reason` and `until` for each.

    Raises:
        ConfigError: it is malformed, or an exception gives no reason or no day.
    """
    try:
        tables = tomllib.loads(text).get("accepted", {})
        rows = tuple(
            AcceptedVulnerability(key, str(row["reason"]).strip(), row["until"]) for key, row in tables.items()
        )
    except (tomllib.TOMLDecodeError, TypeError, KeyError, AttributeError):
        raise ConfigError('an exception is written as [accepted.ID] with reason = "…" and until = 2026-01-31') from None
    for row in rows:
        if not row.reason or type(row.until) is not date:
            raise ConfigError(f"exception {row.id} needs a reason and a day: until = 2026-01-31, without quotes")
    return rows


def open_vulnerabilities(
    vulnerabilities: Iterable[Vulnerability], accepted: Iterable[AcceptedVulnerability], today: date
) -> tuple[str, ...]:
    """Reasons why the lock has to change; empty if it may stay."""
    rows = {row.id: row for row in accepted}
    errors: list[str] = []
    seen = set()
    for vulnerability in vulnerabilities:
        seen.add(vulnerability.id)
        row, name = rows.get(vulnerability.id), f"{vulnerability.package}: {vulnerability.id}"
        fixed = vulnerability.fixed
        cure = f"lock {fixed}" if fixed else "there is no fix yet: replace it, or accept it with a reason"
        if row is None:
            errors.append(f"{name}; {cure}")
        elif row.until < today:
            errors.append(f"{name} was accepted until {row.until}; {cure}")
    for row in rows.values():
        if row.until - today > LONGEST_EXCEPTION:
            errors.append(f"exception {row.id} lasts until {row.until}: at most {LONGEST_EXCEPTION.days} days")
        if row.id not in seen:
            errors.append(f"exception {row.id} has no vulnerability any more: remove it")
    return tuple(errors)


# --- licences --------------------------------------------------------------------------------------------------------

_PERMISSIVE = re.compile(
    r"MIT|Apache|BSD|ISC|PSF|Python Software Foundation|Mozilla Public License 2|MPL-2|Unlicense|CC0|Zlib|HPND|0BSD"
    r"|Public Domain",
    re.IGNORECASE,
)
_COPYLEFT = re.compile(r"\bA?GPL|Affero|\bGNU General|SSPL|Commons Clause|BUSL|proprietary", re.IGNORECASE)


def licence_errors(licences: Mapping[str, str]) -> tuple[str, ...]:
    """Packages, by name and declared licence, that somebody has to look at: none is declared, or no permissive one."""
    return tuple(
        f"{name}: {text.splitlines()[0][:80] if text else 'declares no licence'}"
        for name, text in sorted(licences.items())
        if not _PERMISSIVE.search(text) or _COPYLEFT.search(text.partition("\n")[0])
    )


# --- secrets ---------------------------------------------------------------------------------------------------------

SECRETS: dict[str, re.Pattern[str]] = {
    "Databricks token or secret": re.compile(r"\b(?:dapi|dose|dkea|dsapi)[0-9a-f]{32}(?:-\d)?\b"),
    "GitHub token": re.compile(r"\b(?:gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{60,})\b"),
    "Entra client secret": re.compile(r"[\w.~-]{3}8Q~[\w.~-]{31,34}"),
    "Azure storage key": re.compile(r"AccountKey=[A-Za-z0-9+/]{86}=="),
    "AWS access key": re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"),
    "Google API key": re.compile(r"\bAIza[0-9A-Za-z_-]{35}\b"),
    "PyPI token": re.compile(r"\bpypi-AgE[A-Za-z0-9_-]{50,}"),
    "Slack token": re.compile(r"\bxox[abprs]-[A-Za-z0-9-]{10,}"),
    "private key": re.compile(r"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----"),
    "signed token": re.compile(r"\beyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{10,}"),
    "password in an address": re.compile(
        r"\b[a-z][a-z0-9+]{1,12}://[^\s:/@{}$<>\"']{1,64}:[^\s:/@{}$<>\"']{6,}@[\w.-]+"
    ),
}
"""What a credential looks like, by what it is. None of them may stand in a commit, not even one that was revoked."""


def find_secrets(text: str) -> tuple[tuple[int, str], ...]:
    """Line numbers, from 1, and kinds of everything in a text that looks like a credential; never the credential."""
    return tuple(
        (number, kind)
        for number, line in enumerate(text.splitlines(), 1)
        for kind, pattern in SECRETS.items()
        if pattern.search(line)
    )
