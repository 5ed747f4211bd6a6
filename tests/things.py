"""A source of plain things, for tests of reading and judging rows."""

from __future__ import annotations

from datetime import UTC, datetime

from mlops.contract import Column, Source

NOW = datetime(2024, 1, 10, tzinfo=UTC)


def make_things(**columns: str) -> Source:
    """Things of these columns, by type; each has an id and is seen at a moment, and other values may be missing."""
    made = [
        Column(name=name, type=kind, comment=name.capitalize(), required=name in {"id", "seen"})  # type: ignore[arg-type]
        for name, kind in columns.items()
    ]
    return Source(name="things", comment="Things", columns=tuple(made), key=("id",), known_at="seen")
