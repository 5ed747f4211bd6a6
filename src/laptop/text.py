"""Escapes text from outside for terminals and for logs of CI systems.

`mlops.contract.text` escapes the same characters for tables and messages: the two packages do not import each other.
"""

from __future__ import annotations

import re

_AZURE = re.compile(r"##(?=\w*\[)")
_GITHUB = re.compile(r"^(\s*):(?=:)")


def printable(text: str) -> str:
    """Escape control characters, so that neither a terminal nor a CI system finds a command in the text."""
    line = "".join(character if character.isprintable() else _escape(character) for character in text)
    return _GITHUB.sub(r"\1: ", _AZURE.sub("# #", line))


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
