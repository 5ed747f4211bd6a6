"""Finds credentials in a text by their form."""

from __future__ import annotations

import re

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
"""Pattern of each kind of credential. No commit may hold one, not even a revoked one."""


def find_secrets(text: str) -> tuple[tuple[int, str], ...]:
    """Return line number, from 1, and kind of each credential in a text; never the credential."""
    return tuple(
        (number, kind)
        for number, line in enumerate(text.splitlines(), 1)
        for kind, pattern in SECRETS.items()
        if pattern.search(line)
    )
