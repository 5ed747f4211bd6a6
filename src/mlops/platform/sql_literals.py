"""Write values as literals of Spark's SQL."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def write_time(moment: datetime) -> str:
    """Write a moment as SQL that does not depend on the session's time zone."""
    return f"timestamp_micros({(moment - _EPOCH) // timedelta(microseconds=1)})"


def quote_text(text: str) -> str:
    """Write a text as SQL."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
