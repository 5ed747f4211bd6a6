"""Check the names in a label's SQL. Only a word that can be nothing but a column is told: Spark reads all others."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from mlops.contract.data import FILE_MODIFIED, Label, Source

_PART = r"(?:`[^`]+`|[^\W\d]\w*)"
_TOKEN = re.compile(
    rf"""
      [rR]'[^']*' | [rR]"[^"]*" | '(?:[^'\\]|\\.|'')*' | "(?:[^"\\]|\\.|"")*"   # a text
    | --[^\n]* | /\*.*?\*/
    | \d[\w.]*                                                                 # a number
    | (?P<name>{_PART}(?:\s*\.\s*{_PART})*)
    | :: | .
    """,
    re.VERBOSE | re.DOTALL,
)
_BEFORE = frozenset(
    re.findall(
        r"\w+|[^\w\s]|$",
        "( [ , + - * / % | & ^ ~ = < > ! "
        "and between by case distinct div else escape from ilike in like not or regexp rlike then when where",
    )
)
"""What a column may stand behind. Behind anything else, as `COLLATE` or a number, a word may be SQL's own."""
_AFTER = frozenset(
    re.findall(
        r"\w+|::|[^\w\s]|$",
        ") ] [ , + - * / % | & ^ = < > ! :: "
        "and as asc between desc div else end from ilike in is like not nulls or order range regexp rlike rows then "
        "when",
    )
)
"""What may stand behind a column."""
_SQL = (
    _BEFORE
    | _AFTER
    | frozenset(
        re.findall(
            r"\w+",
            """
            all any array bigint binary boolean byte char current_catalog current_database current_date
            current_schema current_time current_timestamp current_timezone current_user date day
            dayofyear days dec decimal default double exists false first float following group
            grouping__id hour hours int integer interval last localtime localtimestamp long map
            microsecond microseconds millisecond milliseconds minute minutes month months nanosecond
            nanoseconds null numeric over partition preceding quarter quarters real row second seconds
            session_user short smallint some string struct timestamp timestamp_ltz timestamp_ntz tinyint
            true unbounded unknown user using varchar variant void week weeks year years
            """,
        )
    )
)
_UNREAD = frozenset({"select", "{", "$", ";", "\\", "'", '"', "`"})
"""Parts of SQL that is not read here: nothing is told where one is. Quotes are those of a text that does not end."""


def find_problems(label: Label, sources: Mapping[str, Source]) -> Iterator[str]:
    """Yield a sentence per name in `value` and `matured` that is no column, and one for a value of a wrong type.

    Args:
        label: names sources that exist.
        sources: every source by its name.
    """
    read = (label.source, *label.joined)
    columns = {name.lower(): {c.name.lower(): c.type for c in sources[name].columns} for name in read}
    plain = {name: type_ for owned in reversed(columns.values()) for name, type_ in owned.items()}
    for field in ("value", "matured"):
        for owner, column in dict.fromkeys(_list_names(getattr(label, field))):
            if column == FILE_MODIFIED or column.startswith("_"):  # columns that tables have beside the declared ones
                continue
            name = f"{owner}.{column}"
            if not owner and column not in plain:
                yield f"the label's {field} names column {column!r}: there are {', '.join(plain)}"
            elif owner and owner not in columns:
                yield f"the label's {field} names {name!r}: the label reads {', '.join(read)}, not {owner!r}"
            elif owner and column not in columns[owner]:
                yield f"the label's {field} names column {name!r}: {owner} has {', '.join(columns[owner])}"
    own = columns[label.source.lower()]
    whole = label.value.strip().replace("`", "").lower().removeprefix(f"{label.source.lower()}.")
    if label.kind != "classes" and own.get(whole) in {"string", "timestamp"}:
        yield (
            f"the label's value is column {whole!r} of type {own[whole]}, and kind {label.kind!r} needs a number: "
            "set kind='classes', or write SQL that gives a number"
        )


def _list_names(sql: str) -> Iterator[tuple[str, str]]:
    """List what must be a column, in lower case: its source, "" where none is named, and its name."""
    tokens = [match for match in _TOKEN.finditer(sql) if match[0].strip()]
    tokens = [match for match in tokens if not match[0].startswith(("--", "/*"))]
    words = ["", *(match[0].lower() for match in tokens), "", ""]
    if _UNREAD & {*words} or re.search(r"/\*((?!\*/).)*/\*", sql, re.DOTALL):  # Spark's comments nest
        return
    parameters = {*_list_parameters(words)}
    for position, match in enumerate(tokens, 1):
        before, word, after = words[position - 1 : position + 2]
        parts = [part.strip("`") for part in re.findall(_PART, word)]
        named = after == "=" and words[position + 2] == ">"  # name => value
        unit = before == "(" and after == "from"  # extract(DOW FROM t)
        if not match["name"] or named or unit or word in _SQL or {parts[0], word} & parameters:
            continue
        if before in _BEFORE and after in _AFTER and len(parts) <= 2 and not parts[0].startswith("_"):
            yield ("", *parts)[-2:]


def _list_parameters(words: list[str]) -> Iterator[str]:
    """Names before an arrow, as x in `x -> x + 1` or both in `(a, b) -> a + b`."""
    for position in range(2, len(words)):
        if words[position - 1 : position + 1] == ["-", ">"]:
            start = position - 2
            if words[start] == ")":
                start = max((n for n in range(start) if words[n] == "("), default=start)
            yield from (word.strip("`") for word in words[start : position - 1])
