"""Splits SQL text into its statements."""

from __future__ import annotations

import re
from collections.abc import Mapping

_TOKEN = re.compile(
    r"""
      '(?:[^'\\]|\\.|'')*' | "(?:[^"\\]|\\.|"")*" | `(?:[^`]|``)*`
    | --[^\n]* | /\*.*?\*/
    | ; | [^'"`;/-]+ | .
    """,
    re.VERBOSE | re.DOTALL,
)

_MARKER = re.compile(r"(?<![\w:\])]):([A-Za-z_]\w*)")
"""Pattern of a named marker `:name`. It excludes `a:b`, a path into a column, and `a::b`, a cast."""


def split_statements(text: str) -> list[str]:
    """Split at the semicolons outside of texts, names and comments; comments are left out."""
    statements = [""]
    for part in _TOKEN.findall(text):
        if part == ";":
            statements.append("")
        elif part.startswith(("--", "/*")):
            statements[-1] += " "
        else:
            statements[-1] += part
    return [statement.strip() for statement in statements if statement.strip()]


def fill_parameters(text: str, values: Mapping[str, str]) -> str:
    """Replace each `{{name}}` whose value is known by that value as SQL text, with its quotes escaped."""
    return _fill(re.compile(r"\{\{\s*([\w.-]+)\s*\}\}"), text, values)


def bind_parameters(statement: str, values: Mapping[str, str]) -> str:
    """Replace each `:name` outside of texts, names and comments, if its value is known, by that value as SQL text.

    (Rejected: the arguments of `session.sql`. With Delta's parser a server of Spark 4.2 leaves them unbound.)
    """
    parts = _TOKEN.findall(statement)
    quoted = ("'", '"', "`", "--", "/*")
    return "".join(part if part.startswith(quoted) else _fill(_MARKER, part, values) for part in parts)


def _fill(pattern: re.Pattern[str], text: str, values: Mapping[str, str]) -> str:
    def quote(match: re.Match[str]) -> str:
        if match[1] not in values:
            return match[0]
        return "'" + values[match[1]].replace("\\", "\\\\").replace("'", "\\'") + "'"

    return pattern.sub(quote, text)
