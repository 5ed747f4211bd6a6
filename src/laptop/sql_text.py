"""Splits SQL text into its statements."""

from __future__ import annotations

import re

_TOKEN = re.compile(
    r"""
      '(?:[^'\\]|\\.|'')*' | "(?:[^"\\]|\\.|"")*" | `(?:[^`]|``)*`
    | --[^\n]* | /\*.*?\*/
    | ; | [^'"`;/-]+ | .
    """,
    re.VERBOSE | re.DOTALL,
)


def split_statements(text: str) -> list[str]:
    """Split at the semicolons that stand in no text, name or comment; comments are left out."""
    statements = [""]
    for part in _TOKEN.findall(text):
        if part == ";":
            statements.append("")
        elif part.startswith(("--", "/*")):
            statements[-1] += " "
        else:
            statements[-1] += part
    return [statement.strip() for statement in statements if statement.strip()]


def fill_parameters(text: str, values: dict[str, str]) -> str:
    """Replace each `{{name}}` whose value is known by that value as SQL text; a value cannot end its text."""

    def quote(match: re.Match[str]) -> str:
        if match[1] not in values:
            return match[0]
        return "'" + values[match[1]].replace("\\", "\\\\").replace("'", "\\'") + "'"

    return re.sub(r"\{\{\s*([\w.-]+)\s*\}\}", quote, text)
