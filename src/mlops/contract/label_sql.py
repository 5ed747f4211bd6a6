"""Check the names in a label's SQL. A word that could be SQL's own is let pass: Spark reads it in training."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from mlops.contract.data import Label, Source

_TOKEN = re.compile(
    r"""
      '(?:[^'\\]|\\.|'')*' | "(?:[^"\\]|\\.|"")*"                        # a text
    | --[^\n]* | /\*.*?\*/
    | \d[\w.]*                                                           # a number
    | (?P<name>(?:`[^`]+`|[A-Za-z_]\w*)(?:\s*\.\s*(?:`[^`]+`|[A-Za-z_]\w*))*)
    | .
    """,
    re.VERBOSE | re.DOTALL,
)
_SQL = frozenset(
    re.findall(
        r"\w+",
        """
        all and any array as asc between bigint binary boolean both byte case cast char collate current current_date
        current_time current_timestamp date day days dec decimal desc distinct div double else end escape exists extract
        false filter first float following for from group hour hours ignore ilike in int integer interval is last
        leading like localtimestamp long map microsecond microseconds millisecond milliseconds minute minutes month
        months not now null nulls numeric or order over partition position preceding quarter range real regexp respect
        rlike row rows second seconds short similar smallint some string struct substring then time timestamp
        timestamp_ltz timestamp_ntz tinyint to trailing trim true unbounded using varchar week weeks when where within
        year years
        """,
    )
)


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
        for name in dict.fromkeys(_list_names(getattr(label, field))):
            owner, _, column = name.rpartition(".")
            if not owner and column not in plain and column not in _SQL:
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


def _list_names(sql: str) -> Iterator[str]:
    """Names that stand in SQL, in lower case, without those of functions, types and parameters of functions."""
    tokens = [match for match in _TOKEN.finditer(sql) if match[0].strip()]
    words = [match["name"] and re.sub(r"[`\s]", "", match["name"]).lower() for match in tokens]
    parameters = set(_list_parameters([word or match[0] for word, match in zip(words, tokens, strict=True)]))
    for position, word in enumerate(words):
        after = tokens[position + 1][0] if position + 1 < len(tokens) else ""
        if word and after != "(" and word.split(".")[0] not in parameters and not after.startswith(("'", '"')):
            yield word


def _list_parameters(words: list[str]) -> Iterator[str]:
    """Names before an arrow, as x in `x -> x + 1` or both in `(a, b) -> a + b`."""
    for position in range(2, len(words)):
        if words[position - 1 : position + 1] == ["-", ">"]:
            start = position - 2
            if words[start] == ")":
                start = max(n for n in range(start) if words[n] == "(")
            yield from words[start : position - 1]
