"""Decides which vulnerabilities and licences of the locked packages may stay. All functions are pure."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta

from mlops.contract import ConfigError

LONGEST_EXCEPTION = timedelta(days=90)
"""The longest time for which an exception may accept a vulnerability; after it somebody has to decide again."""


@dataclass(frozen=True)
class Vulnerability:
    """A known vulnerability of a locked package."""

    id: str
    package: str
    """Name and version."""
    fixed: str
    """Versions without the vulnerability; empty: there is none."""


@dataclass(frozen=True)
class AcceptedVulnerability:
    """A vulnerability that an exception accepts until a day."""

    id: str
    reason: str
    until: date


def parse_vulnerabilities(text: str) -> tuple[Vulnerability, ...]:
    """Read what `uv audit --output-format json` printed.

    Raises:
        ConfigError: the text has another form.
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
    """List the reasons why the lock has to change; empty if it may stay."""
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


_PERMISSIVE = re.compile(
    r"MIT|Apache|BSD|ISC|PSF|Python Software Foundation|Mozilla Public License 2|MPL-2|Unlicense|CC0|Zlib|HPND|0BSD"
    r"|Public Domain",
    re.IGNORECASE,
)
_COPYLEFT = re.compile(r"\bA?GPL|Affero|\bGNU General|SSPL|Commons Clause|BUSL|proprietary", re.IGNORECASE)


def licence_errors(licences: Mapping[str, str]) -> tuple[str, ...]:
    """List the packages whose licence a person has to judge: they declare none, or one that is not permissive."""
    return tuple(
        f"{name}: {text.splitlines()[0][:80] if text else 'declares no licence'}"
        for name, text in sorted(licences.items())
        if not _PERMISSIVE.search(text) or _COPYLEFT.search(text.partition("\n")[0])
    )
