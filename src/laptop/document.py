"""YAML as a tree in which every node knows its file and line, also after files and targets were merged.

The rules of merging are those of the Databricks CLI (libs/dyn/merge): mappings merge key by key, lists are joined, the
incoming scalar wins if it is of the same kind, nothing (null) changes nothing. Files are merged when their scalars have
the types of their fields (laptop.normalize), so that `60` over `"60"` is a whole number over a whole number, and over
`${var.limit}` is not.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, ScalarNode, SequenceNode
from ruamel.yaml.nodes import Node as YamlNode

from laptop.text import printable

TAG = "tag:yaml.org,2002:"


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where something is written."""

    file: Path
    """Relative to the root of the bundle."""
    line: int
    """1-based."""

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that a person has to mend in the bundle: what it is, why it matters and how to mend it."""

    rule: str
    place: Place
    what: str
    why: str
    cure: str

    def __str__(self) -> str:
        return printable(f"{self.place}: {self.what} ({self.why}; {self.cure})")


@dataclass(frozen=True, slots=True)
class Node:
    """A value with its place: for an entry of a mapping the line of its key."""

    value: Any
    """dict of str to Node, list of Node, or a plain str, int, float, bool or None."""
    place: Place

    def get(self, *path: str | int) -> Node | None:
        """The node below this one at that path, None if there is none."""
        node: Node | None = self
        for step in path:
            value = node.value if node else None
            if isinstance(value, dict):
                node = value.get(step)
            elif isinstance(value, list) and isinstance(step, int) and step < len(value):
                node = value[step]
            else:
                return None
        return node

    def items(self) -> Iterator[tuple[str, Node]]:
        """Its entries if it is a mapping, else nothing."""
        yield from self.value.items() if isinstance(self.value, dict) else ()

    def walk(self) -> Iterator[Node]:
        """This node and all below it, in no order."""
        found = [self]
        while found:
            node = found.pop()
            yield node
            if isinstance(node.value, dict):
                found += node.value.values()
            elif isinstance(node.value, list):
                found += node.value

    def place_of(self, *path: str | int) -> Place:
        """Where that path is written, or its nearest ancestor that is written at all."""
        node = self
        for step in path:
            below = node.get(step)
            if below is None:
                break
            node = below
        return node.place

    def with_value(self, step: str, child: Node) -> Node:
        """The same mapping with one entry set."""
        return Node({**self.value, step: child}, self.place)

    def plain(self) -> Any:
        """The same as plain dicts, lists and scalars."""
        match self.value:
            case dict() as entries:
                return {key: node.plain() for key, node in entries.items()}
            case list() as items:
                return [node.plain() for node in items]
            case scalar:
                return scalar


def parse(root: Path, file: Path) -> tuple[Node, list[Problem]]:
    """Read one YAML file into a tree, with what is wrong in it; a file that cannot be read gives an empty mapping."""
    try:
        node, problems = _parsed(file, (root / file).read_text(encoding="utf-8-sig"))
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        node, problems = Node({}, Place(file, 1)), (_unreadable(Place(file, line), str(error)),)
    except OSError as error:
        node, problems = Node({}, Place(file, 1)), (_unreadable(Place(file, 1), str(error)),)
    return node, list(problems)


@lru_cache(maxsize=64)
def _parsed(file: Path, text: str) -> tuple[Node, tuple[Problem, ...]]:
    """The same text is read once: a demo loads the bundle for every job it runs."""
    empty = Node({}, Place(file, 1))
    try:
        composed = YAML(typ="safe", pure=True).compose(text)
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        return empty, (_unreadable(Place(file, line), str(error.problem or error.context)),)
    except YAMLError as error:
        return empty, (_unreadable(Place(file, 1), str(error).split("\n", maxsplit=1)[0]),)
    if composed is None:
        return empty, ()
    builder = _Builder(file)
    return builder.build(composed, 1), tuple(builder.problems)


def _unreadable(place: Place, detail: str) -> Problem:
    return Problem("yaml", place, f"the YAML cannot be read: {detail}", "nothing of the file counts", "mend the syntax")


class _Builder:
    """Turns the nodes that ruamel composes into ours, and notes what the Databricks CLI would not take."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.problems: list[Problem] = []
        self._open: set[int] = set()

    def build(self, node: YamlNode, line: int) -> Node:
        place = Place(self.file, line)
        if id(node) in self._open:
            self._refuse(place, "an anchor contains itself", "its value has no end", "remove the alias")
            return Node(None, place)
        self._open.add(id(node))
        try:
            return Node(self._value(node, place), place)
        finally:
            self._open.discard(id(node))

    def _value(self, node: YamlNode, place: Place) -> Any:
        match node:
            case MappingNode():
                return self._mapping(node)
            case SequenceNode():
                return [self.build(item, _line(item)) for item in node.value]
            case ScalarNode():
                return self._scalar(node, place)
            case _:
                raise TypeError(f"unknown YAML node {node!r} at {place}")

    def _mapping(self, node: MappingNode) -> dict[str, Node]:
        entries: dict[str, Node] = {}
        merged: dict[str, Node] = {}
        for key, value in node.value:
            place = Place(self.file, _line(key))
            if str(key.tag) == TAG + "merge":
                for source in value.value if isinstance(value, SequenceNode) else [value]:
                    merged |= dict(self.build(source, _line(key)).items())
            elif not isinstance(key, ScalarNode):
                self._refuse(place, "a key is not text", "keys are names", "write a plain name before the colon")
            elif key.value in entries:
                first = entries[key.value].place
                why = f"line {first.line} says it already and only one of them counts"
                self._refuse(place, f"key {key.value!r} stands twice", why, "remove one")
            else:
                entries[key.value] = self.build(value, place.line)
        return merged | entries

    def _scalar(self, node: ScalarNode, place: Place) -> Any:
        text = node.value
        match str(node.tag).removeprefix(TAG):
            case "null":
                return None
            case "bool":
                return text.lower() == "true"
            case "int":
                return int(text.replace("_", ""), 10 if text.lstrip("+-").isdigit() else 0)
            case "float":
                return float(text.replace("_", "").replace(".inf", "inf").replace(".nan", "nan"))
            case "str" | "timestamp":
                return text
            case tag:
                self._refuse(place, f"tag {tag} is unknown", "the CLI refuses it", "remove the tag")
                return text

    def _refuse(self, place: Place, what: str, why: str, cure: str) -> None:
        self.problems.append(Problem("yaml", place, what, why, cure))


def _line(node: YamlNode) -> int:
    return int(node.start_mark.line) + 1


def merge(base: Node, other: Node, problems: list[Problem]) -> Node:
    """`other` laid over `base`; a value of another kind is noted as a problem and left out."""
    match base.value, other.value:
        case None, _:
            return other
        case _, None:
            return base
        case dict() as below, dict() as above:
            entries = dict(below)
            for key, node in above.items():
                entries[key] = merge(entries[key], node, problems) if key in entries else node
            return Node(entries, base.place)
        case list() as below, list() as above:
            return Node([*below, *above], base.place)
        case below, above if type(below) is not type(above):
            what = f"{kind(other)} stands where {base.place} has {kind(base)}"
            problems.append(Problem("merge", other.place, what, "the CLI cannot merge them", "write the same kind"))
            return base
        case _:
            return other


def merge_by_key(items: Node, key: str, problems: list[Problem]) -> Node:
    """A list of mappings in which those with the same `key` are one, the later laid over the earlier."""
    if not isinstance(items.value, list):
        return items
    merged: dict[Any, Node] = {}
    for position, item in enumerate(items.value):
        name = item.get(key)
        # Without a usable name an item stays apart (the CLI would merge all of those); the linter asks for the name.
        slot = name.value if name and isinstance(name.value, str) else position
        merged[slot] = merge(merged[slot], item, problems) if slot in merged else item
    return Node(list(merged.values()), items.place)


def kind(node: Node) -> str:
    """What sort of value a node is, in words."""
    match node.value:
        case dict():
            return "a mapping"
        case list():
            return "a list"
        case None:
            return "nothing"
        case bool():
            return f"the truth value {str(node.value).lower()}"
        case int() | float():
            return f"the number {node.value}"
        case text:
            return f"the text {text!r}"


def nearest(name: str, known: Iterable[str]) -> str:
    """The cure for a wrong name: the nearest right one, else all of them."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1)
    return f"did you mean {close[0]!r}?" if close else f"there is {', '.join(names) or 'none'}"
