"""Quartz cron expressions, as schedules of jobs use them."""

from __future__ import annotations

import re

_FIELDS = (
    ("seconds", 0, 59), ("minutes", 0, 59), ("hours", 0, 23), ("day of month", 1, 31), ("month", 1, 12),
    ("day of week", 1, 7), ("year", 1970, 2099),
)  # fmt: skip
_NAMES = {"month": "JAN FEB MAR APR MAY JUN JUL AUG SEP OCT NOV DEC", "day of week": "SUN MON TUE WED THU FRI SAT"}
_SPECIAL = {"day of month": r"\?|L|LW|L-\d+|\d+W", "day of week": r"\?|L|(\d|[A-Z]{3})L|(\d|[A-Z]{3})#[1-5]"}


def cron_error(expression: str) -> str | None:
    """Describe the error of an expression; None if it is valid."""
    values = expression.upper().split()
    if len(values) not in {6, 7}:
        return f"{expression!r} has {len(values)} fields, not 6 or 7"
    if (values[3] == "?") == (values[5] == "?"):
        return f"{expression!r} needs ? for day of month or for day of week"
    for value, (name, low, high) in zip(values, _FIELDS, strict=False):
        for part in value.split(","):
            if not (
                re.fullmatch(_SPECIAL.get(name, "(?!)"), part) or _field_fits(part, low, high, _NAMES.get(name, ""))
            ):
                return f"{part!r} is no {name}"
    return None


def _field_fits(part: str, low: int, high: int, names: str) -> bool:
    """Whether a part is a value, a range or *, with or without a step."""
    body, slash, step = part.partition("/")
    if slash and not (step.isdigit() and int(step) > 0):
        return False
    ends = [] if body == "*" else body.split("-")
    return len(ends) < 3 and all(end in names.split() or (end.isdigit() and low <= int(end) <= high) for end in ends)
