"""Reads YAML files as trees of nodes, like the CLI (libs/dyn/yamlloader, on yaml.v3).

ruamel finds the nodes. This module decides the meaning of plain scalars, the allowed keys and the values of `<<`, since
yaml.v3 differs from ruamel: `yes` is text, `0o17` and `017` are numbers, a key must be text, and `<<` may occur once
and takes aliases.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.nodes import MappingNode, ScalarNode, SequenceNode
from ruamel.yaml.nodes import Node as YamlNode
from ruamel.yaml.scanner import Scanner

from laptop.document import Diagnostic, Location, Moment, Node, describe_kind

DEPTH = 100
"""Largest depth of nesting; a bundle has about 20 levels, and Python's recursion is limited."""
SIZE = 200_000
"""Largest number of nodes of one file, with aliases expanded: nested aliases can expand to billions."""
_LITERALS = {
    **dict.fromkeys(("true", "True", "TRUE"), True), **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys(("", "~", "null", "Null", "NULL")), **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
    **dict.fromkeys((f"{sign}{word}" for sign in ("", "+") for word in (".inf", ".Inf", ".INF")), float("inf")),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), float("-inf")),
}  # fmt: skip
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_DECIMAL = re.compile(r"[-+]?(0|[1-9][0-9]*|0[0-7]+)")
"""The CLI reads `017` as 17; `089`, which is no octal number, is a float for yaml.v3."""
_PREFIXED = re.compile(r"[-+]?0([xX][0-9a-fA-F]+|[bB][01]+|[oO][0-7]+)")
_UNDERSCORES = re.compile(r"[-+]?(0[xXbBoO](_?[0-9a-fA-F])+|\d(_?\d)*([^\d_][^_]*)?)")
"""Go takes underscores between the digits of a number only."""
_NO_ESCAPE = re.compile(r"(?<!\\)(?:\\\\)*(\\/|\\u[dD][89a-fA-F][0-9a-fA-F]{2}|\\U0000[dD][89a-fA-F])")
"""Escapes of a text in double quotes that yaml.v3 does not know."""
_TIME = re.compile(r"\d{4}-\d{1,2}-\d{1,2}([Tt ]\d{1,2}:\d{1,2}:\d{1,2}([.,]\d+)?(Z|[-+]\d\d:\d\d)?)?")
_TAGGED = re.compile(r"(?:&\S+\s+)?!(\S*)")
_TAGS = {"null", "bool", "int", "float", "timestamp", "str"}


def parse_yaml(root: Path, file: Path) -> tuple[Node, list[Diagnostic]]:
    """Read one YAML file into a tree, and list its problems; an unreadable file gives an empty mapping."""
    try:
        node, problems = _parse_text(file, (root / file).read_text(encoding="utf-8-sig"))
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        node, problems = Node({}, Location(file, 1)), (_yaml_error(Location(file, line), str(error)),)
    except (OSError, ValueError) as error:  # ValueError: a name with a null byte
        node, problems = Node({}, Location(file, 1)), (_yaml_error(Location(file, 1), str(error)),)
    return node, list(problems)


@lru_cache(maxsize=64)
def _parse_text(file: Path, text: str) -> tuple[Node, tuple[Diagnostic, ...]]:
    """Parse a text; cached, since a demo loads the bundle for every job that it runs."""
    empty = Node({}, Location(file, 1))
    try:
        documents = _make_reader().compose_all(text)
        composed = next(documents, None)
        builder = _Builder(file, text)
        node = builder.build(composed, 1) if composed else empty
        builder.refuse_more(documents)
    except (RecursionError, _TooBigError):
        detail = f"it nests more than {DEPTH} levels or holds more than {SIZE} values"
        return empty, (_yaml_error(Location(file, 1), detail),)
    except Exception as error:  # noqa: BLE001  # ruamel raises what Python does on some broken documents
        mark = error.problem_mark if isinstance(error, MarkedYAMLError) else None
        detail = str((isinstance(error, MarkedYAMLError) and (error.problem or error.context)) or error)
        return empty, (_yaml_error(Location(file, mark.line + 1 if mark else 1), detail.split("\n", maxsplit=1)[0]),)
    if not isinstance(node.value, dict):
        return empty, (
            _yaml_error(node.place, f"{describe_kind(node)} stands where a mapping has to be"),
            *builder.problems,
        )
    return node, tuple(builder.problems)


class _Scanner(Scanner):
    """Treats a tab as a blank where yaml.v3 does: between the words of a line, and before its end."""

    def scan_to_next_token(self) -> None:
        super().scan_to_next_token()
        while self.reader.peek() == "\t" and not self.allow_simple_key:
            self.reader.forward()
            super().scan_to_next_token()

    def scan_plain_spaces(self, indent: int, start_mark: Any) -> Any:
        length = 0
        while self.reader.peek(length) in {" ", "\t"}:
            length += 1
        blanks = self.reader.prefix(length)
        if "\t" not in blanks:
            return super().scan_plain_spaces(indent, start_mark)
        self.reader.forward(length)
        ends = self.reader.peek() in "\r\n\x85\u2028\u2029"
        return super().scan_plain_spaces(indent, start_mark) if ends else [blanks]


def _make_reader() -> YAML:
    reader = YAML(typ="safe", pure=True)
    reader.Scanner = _Scanner
    reader.composer.warn_double_anchors = False  # YAML and the CLI allow an anchor to be defined again
    return reader


def _yaml_error(place: Location, detail: str) -> Diagnostic:
    return Diagnostic(
        "yaml", place, f"the YAML cannot be read: {detail}", "nothing of the file counts", "mend the syntax"
    )


class _TooBigError(Exception):
    """The document is deeper or larger than any bundle."""


class _Builder:
    """Converts ruamel's nodes to ours, and collects what the CLI refuses."""

    def __init__(self, file: Path, text: str) -> None:
        self.file, self.text = file, text
        self.problems: list[Diagnostic] = []
        self._open: list[int] = []
        self._size = 0

    def refuse_more(self, documents: Iterator[YamlNode]) -> None:
        """Report further documents of a file; the CLI reads the first one and drops the others."""
        try:
            line = next((_line_of(later) for later in documents if not _is_nothing(later)), 0)
        except MarkedYAMLError as error:
            line = error.problem_mark.line + 1 if error.problem_mark else 1
        if line:
            place = Location(self.file, line)
            self._refuse(
                place, "a second document begins", "the CLI reads the first one only", "remove ---, or split the file"
            )

    def build(self, node: YamlNode, line: int, *, flow: bool = False) -> Node:
        place = Location(self.file, line)
        self._size += 1
        if len(self._open) > DEPTH or self._size > SIZE:
            raise _TooBigError
        if id(node) in self._open:
            self._refuse(place, "an anchor contains itself", "its value has no end", "remove the alias")
            return Node(None, place)
        self._open.append(id(node))
        try:
            return Node(self._value(node, place, flow=flow), place, bool(node.anchor))
        finally:
            self._open.pop()

    def _value(self, node: YamlNode, place: Location, *, flow: bool) -> Any:
        match node:
            case MappingNode():
                return self._mapping(node)
            case SequenceNode():
                return [self.build(item, _line_of(item), flow=bool(node.flow_style)) for item in node.value]
            case ScalarNode():
                self._check_flow(node, place, flow=flow)
                return self._scalar(node, place)
            case _:
                raise TypeError(f"unknown YAML node {node!r} at {place}")

    def _mapping(self, node: MappingNode) -> dict[str, Node]:
        entries: dict[str, Node] = {}
        merged: dict[str, Node] | None = None
        position = node.start_mark.index - 1
        for key, value in node.value:
            place = Location(self.file, _line_of(key))
            alias = key.start_mark.index <= position
            held = value.start_mark.index if value.start_mark.index < value.end_mark.index else 0
            position = max(position, key.start_mark.index, held)
            if alias:  # it is the node that stands at its anchor
                self._refuse(place, "an alias stands for a key", "the CLI takes names only", "write the name")
            elif isinstance(key, ScalarNode) and key.value == "<<" and not key.style:
                if merged is not None:
                    why = "YAML allows one of them in a mapping"
                    self._refuse(place, "<< stands twice", why, "write <<: [*first, *second]")
                merged = (merged or {}) | self._merge_entries(key, value)
            elif not self._is_name(key):
                braces = isinstance(key, MappingNode)
                cure = "put {{...}} in quotes" if braces else "put the key in quotes"
                self._refuse(place, "a key is not text", "the CLI takes names only", cure)
            elif key.value in entries:
                first = entries[key.value].place
                why = f"line {first.line} says it already and only one of them counts"
                self._refuse(place, f"key {key.value!r} stands twice", why, "remove one")
            else:
                self._check_flow(key, place, flow=bool(node.flow_style))
                entries[key.value] = self.build(value, place.line, flow=bool(node.flow_style))
        return (merged or {}) | entries

    def _merge_entries(self, key: ScalarNode, value: YamlNode) -> dict[str, Node]:
        """Return the entries of `<<`: the mapping of an alias, or of each item of a list; a later item wins."""
        alias = value.start_mark.index < key.start_mark.index  # an alias is the node that stands at its anchor
        listed = isinstance(value, SequenceNode)
        sources = [value] if alias else value.value if listed else []
        entries: dict[str, Node] = {}
        for source in sources if all(isinstance(source, MappingNode) for source in sources) else []:
            entries |= dict(self.build(source, _line_of(key)).items())
        if not (sources or listed) or not all(isinstance(source, MappingNode) for source in sources):
            place = Location(self.file, _line_of(key))
            self._refuse(place, "<< has no alias of a mapping", "there is nothing to merge", "write <<: *name")
        return entries

    def _is_name(self, key: YamlNode) -> bool:
        if not isinstance(key, ScalarNode):
            return False
        value = read_scalar(key.value) if self._is_plain(key) else key.value
        return value is None or (isinstance(value, str) and not isinstance(value, Moment))

    def _is_plain(self, node: ScalarNode) -> bool:
        return not node.style and not self._tag(node)

    def _tag(self, node: ScalarNode) -> str:
        """Return the tag of a node; empty if there is none."""
        written = _TAGGED.match(self.text, node.start_mark.index)
        if not written or not written[1]:  # `!` alone says nothing
            return ""
        long = re.fullmatch(r"<tag:yaml\.org,2002:(.*)>", written[1])
        return long[1] if long else written[1][1:] if written[1][0] == "!" else f"!{written[1]}"

    def _scalar(self, node: ScalarNode, place: Location) -> Any:
        tag = self._tag(node)
        if not tag:
            value = node.value if node.style else read_scalar(node.value)
            if node.style:
                self._check_escapes(node, place)
            else:
                self._check_plain(node.value, value, place)
            if isinstance(value, int) and not isinstance(value, bool) and not -(2**63) <= value < 2**63:
                self._refuse(place, f"{node.value} is too large", "the CLI takes 64 bits", "put it in quotes")
            return value
        if tag not in _TAGS:
            self._refuse(place, f"tag !{tag.removeprefix('!')} is unknown", "the CLI refuses it", "remove the tag")
        value = read_scalar(node.value)
        if tag == "str" or tag not in _TAGS:
            return node.value
        names = {"NoneType": "null", "Moment": "timestamp"}
        means = names.get(type(value).__name__, type(value).__name__)
        whole = (means, tag) == ("int", "float") and not _PREFIXED.fullmatch(node.value.replace("_", ""))
        if means != tag and not whole:
            self._refuse(place, f"{node.value!r} is no {tag}", "its tag says that it is", "remove the tag")
            return node.value
        return float(value) if tag == "float" else value

    def _check_escapes(self, node: ScalarNode, place: Location) -> None:
        written = self.text[node.start_mark.index : node.end_mark.index] if node.style == '"' else ""
        if odd := _NO_ESCAPE.search(written):
            self._refuse(place, f"{odd[1]} is no escape", "the CLI cannot read it", "write the character itself")

    def _check_plain(self, text: str, value: Any, place: Location) -> None:
        """Report plain text that yaml.v3 reads as a value that the CLI cannot use."""
        if text == "<<":
            self._refuse(place, "<< stands for a value", "the CLI reads it as a merge", "put it in quotes")
        elif "_" in text and isinstance(value, int | float) and not _UNDERSCORES.fullmatch(text):
            why = "the CLI takes underscores between two digits only"
            self._refuse(place, f"{text!r} is no number", why, "write the digits alone, or put it in quotes")

    def _check_flow(self, node: YamlNode, place: Location, *, flow: bool) -> None:
        """Report a question mark in plain text within { } or [ ], where it ends the text for yaml.v3."""
        if flow and isinstance(node, ScalarNode) and not node.style and "?" in node.value:
            why = "inside { } or [ ] the CLI reads ? as the mark of a key"
            self._refuse(place, f"{node.value!r} holds a ? without quotes", why, "put the text in quotes")

    def _refuse(self, place: Location, what: str, why: str, cure: str) -> None:
        self.problems.append(Diagnostic("yaml", place, what, why, cure))


def read_scalar(text: str) -> Any:
    """Convert plain text as yaml.v3 does: to null, a truth value, a number, or the text itself (also for moments)."""
    if text in _LITERALS:
        return _LITERALS[text]
    if _TIME.fullmatch(text) and _is_day(text):
        return Moment(text)
    if not text or text[0] not in "+-.0123456789":
        return text
    digits = text.replace("_", "") if text[0] != "." else text
    if len(digits) < 300 and _DECIMAL.fullmatch(digits):  # a number of more digits is text to yaml.v3
        number = int(digits, 10)
        return number if -(2**63) <= number < 2**64 else float(number)
    if len(digits) < 60 and _PREFIXED.fullmatch(digits):
        return int(digits, 0)
    fraction = float(digits) if _FLOAT.fullmatch(digits) else math.inf
    return fraction if math.isfinite(fraction) else text


def _is_nothing(node: YamlNode | None) -> bool:
    return node is None or (isinstance(node, ScalarNode) and not node.style and read_scalar(node.value) is None)


def _is_day(text: str) -> bool:
    try:
        date(*map(int, re.split(r"[-Tt ]", text)[:3]))
    except ValueError:
        return False
    return True


def _line_of(node: YamlNode) -> int:
    return int(node.start_mark.line) + 1
