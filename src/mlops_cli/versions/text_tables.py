"""Prints rows as aligned columns of text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mlops_cli import options


def format_value(value: object) -> str:
    """Format one value of a table; numbers have four digits, texts at most 40 characters."""
    match value:
        case None | "":
            return "-"
        case float():
            return f"{value:.0f}" if value.is_integer() else f"{value:.4g}"
        case Mapping():
            return " ".join(f"{name} {format_value(figure)}" for name, figure in value.items()) or "-"
        case _:
            return str(value)[:40]


def print_rows(rows: Sequence[Sequence[str]]) -> None:
    """Print rows whose columns are as wide as their longest text."""
    widths = [max(len(row[n]) for row in rows) for n in range(len(rows[0]))] if rows else []
    for row in rows:
        options.print_line("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())
