"""Files broken in every way that a feed breaks them: seeded kinds and rates, and what has to become of each.

`KINDS` holds what damages single rows, `FILES` what damages a file as a whole, `HARMLESS` what only looks like damage.
Each takes lines (header first, without line ends) and returns the file's bytes; a kind also says which lines it broke.
"""

from __future__ import annotations

import random
import re
from dataclasses import replace

from toy import ORDERS, TOY, rule

from mlops.contract import Expectation


def _set(column, value):
    """Put a value, or what a function makes of the old one, into a column of a line."""

    def damage(line, header):
        fields = line.split(",")
        place = header.split(",").index(column)
        fields[place] = value(fields[place]) if callable(value) else value
        return ",".join(fields).encode()

    return damage


KINDS = {
    "text for a number": ("size:double", _set("size", "heavy")),
    "NaN": ("size:double", _set("size", "NaN")),
    "infinity": ("size:double", _set("size", "-inf")),
    "a number for a whole one": ("id:long", _set("id", lambda text: f"{text}.0")),
    "decimal comma": ("row:fields", _set("size", lambda text: text.replace(".", ","))),
    "another date format": ("due:timestamp", _set("due", "02/01/2024 06:00")),
    "no time zone": ("due:timestamp", _set("due", lambda text: text.removesuffix("Z"))),
    "a day that is not": ("due:timestamp", _set("due", "2024-02-30T06:00:00Z")),
    "a value missing": ("due:required", _set("due", "")),
    "a key missing": ("id:required", _set("id", "")),
    "out of range": ("size:be_between", _set("size", "1e9")),
    "another unit": ("size:be_between", _set("size", lambda text: f"{float(text) * 1e6 + 1e5:.3f}")),
    "unknown category": ("kind:be_in_set", _set("kind", "z")),
    "impossible together": ("due+announced:a_to_be_greater_than_b", _set("due", "2001-01-01T00:00:00Z")),
    "from the future": ("announced:future", _set("announced", "2031-01-01T00:00:00Z")),
    "a field too few": ("row:fields", lambda line, _: line.rsplit(",", 1)[0].encode()),
    "a field too many": ("row:fields", lambda line, _: f"{line},1".encode()),
    "an open quote": ("row:csv", lambda line, _: line.replace(",x,", ',"x,').replace(",y,", ',"y,').encode()),
    "not UTF-8": ("row:encoding", lambda line, _: line.encode() + b"\xff"),
    "a zero byte": ("row:encoding", lambda line, _: line.encode() + b"\0"),
    "a control character": (
        "row:control",
        lambda line, _: line.replace(",x,", ",x\x1b[2J,").replace(",y,", ",y\x1b,").encode(),
    ),
    "nothing but commas": ("row:fields", lambda *_: b",,,,,,,"),
}
HARMLESS = {
    "byte order mark": lambda lines, _: b"\xef\xbb\xbf" + _joined(lines),
    "windows line ends": lambda lines, _: _joined(lines).replace(b"\n", b"\r\n"),
    "blank lines": lambda lines, _: _joined(lines).replace(b"\n", b"\n\n"),
    "old Mac line ends": lambda lines, _: _joined(lines).replace(b"\n", b"\r"),
    "blank first lines": lambda lines, _: b"\xef\xbb\xbf\r\n\n" + _joined(lines),
    "a trailing comma": lambda lines, _: _joined(f"{line}," for line in lines),
    "trailing commas": lambda lines, _: _joined(f"{line},," for line in lines),
    "blanks around text": lambda lines, _: _joined(re.sub(",([xy]),", ",\u00a0\\1 ,", line) for line in lines),
    "quotes": lambda lines, _: _joined('"' + line.replace(",", '","') + '"' for line in lines),
    "rows out of order": lambda lines, seed: _joined([lines[0], *_drawn(seed, lines[1:], len(lines) - 1)]),
    "columns out of order": lambda lines, _: _joined(",".join(reversed(line.split(","))) for line in lines),
    "a new column": lambda lines, _: _joined(f"{line},{'colour' if line is lines[0] else 'red'}" for line in lines),
    "rows twice": lambda lines, _: _joined([*lines, *lines[1:]]),
}
FILES = {
    "a column missing": ("lacks size", lambda lines: _joined(line.rsplit(",", 1)[0] for line in lines)),
    "a column renamed": (r"lacks size \(renamed to sizes\?\)", lambda lines: _joined([f"{lines[0]}s", *lines[1:]])),
    "another case": (r"lacks kind \(renamed to KIND\?\)", lambda lines: _joined(lines).replace(b"kind", b"KIND", 1)),
    "a column twice": ("has id more than once", lambda lines: _joined(f"{one},{one.split(',')[0]}" for one in lines)),
    "no header": ("lacks id, due, announced, kind, size", lambda lines: _joined(lines[1:])),
    "nothing at all": ("is empty", lambda _: b""),
    "UTF-16": ("is no UTF-8 text", lambda lines: _joined(lines).decode().encode("utf-16")),
    "semicolons": ("lacks", lambda lines: _joined(lines).replace(b",", b";")),
    "a web page": ("lacks", lambda _: b"<html><body>503 Service Unavailable</body></html>\n"),
    "something compressed": ("is no UTF-8 text", lambda lines: __import__("gzip").compress(_joined(lines))),
    "nothing but blank lines": ("is empty", lambda lines: b"\xef\xbb\xbf\n\r\n"),
    "zeros after a power cut": ("is no UTF-8 text", lambda lines: b"\0" * 500_000),
    "minified JSON": ("has no header", lambda lines: b'{"rows":["' + b"x" * 200_000 + b'"]}'),
    "a trailing comma in the header": ("another number of fields", lambda lines: _joined([f"{lines[0]},", *lines[1:]])),
    "a trailing comma in the rows": (
        "another number of fields",
        lambda lines: _joined([lines[0], *(f"{line}," for line in lines[1:])]),
    ),
    "one key for all": ("stands for more than 5 things in one file", lambda lines: _joined(_all(lines, "id", "7"))),
    "rounded keys": (
        "stands for more than 5 things in one file",
        lambda lines: _joined(_all(lines, "id", lambda text: f"{text[:-2]}00")),
    ),
    "no keys": ("most break id:long", lambda lines: _joined(_all(lines, "id", "N/A"))),
    "two rows a key": (
        "most break id:contradiction",
        lambda lines: _joined([*lines, *_all(lines, "size", lambda text: f"{float(text) + 1}")[1:]]),
    ),
    "a burst of missing values": ("break size:not_be_null", lambda lines: _joined(_all(lines, "size", ""))),
    "all in another unit": ("rows break a rule", lambda lines: _joined(_all(lines, "size", "2204.6"))),
    "a quantity that is another": ("against size:median", lambda lines: _joined(_all(lines, "size", "37"))),
}
STRICT = replace(
    ORDERS,
    expectations=lambda: (
        *ORDERS.expectations(),
        Expectation(
            rule("ExpectColumnPairValuesAToBeGreaterThanB", None, column_A="due", column_B="announced"), "quarantine"
        ),
        Expectation(rule("ExpectColumnValuesToNotBeNull", "size", mostly=0.8), "block", 10),
        Expectation(rule("ExpectColumnMedianToBeBetween", "size", min_value=-3, max_value=3), "block", 10),
    ),
)
STRICT_TOY = replace(TOY, sources=(STRICT, *TOY.sources[1:]))


def damaged(lines, kind, rate, seed):
    """The file with a share of its rows damaged, at least one, and the numbers of the damaged lines."""
    chosen = _drawn(f"{kind}{seed}", range(1, len(lines)), max(1, int(rate * (len(lines) - 1))))
    _, damage = KINDS[kind]
    out = [damage(line, lines[0]) if n in chosen else line.encode() for n, line in enumerate(lines)]
    return b"\n".join(out) + b"\n", sorted(n + 1 for n in chosen)


def _drawn(seed, population, number):
    return random.Random(seed).sample(population, number)  # noqa: S311 - to be repeated, not to be secret


def _joined(lines):
    return "".join(f"{line}\n" for line in lines).encode()


def _all(lines, column, value):
    return [lines[0], *(_set(column, value)(line, lines[0]).decode() for line in lines[1:])]


def with_older_versions(lines):
    """The file, and behind its rows a version of each that was known four years before."""
    return _joined([*lines, *(_older(line) for line in lines[1:])])


def _older(line):
    fields = line.split(",")
    return ",".join([*fields[:2], "2020-01-01T00:00:00Z", fields[3], "0.5"])
