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
from pathlib import Path
from typing import Any

from laptop.text import printable


@dataclass(frozen=True, slots=True, order=True)
class Location:
    """Where something is written."""

    file: Path
    """Relative to the root of the bundle."""
    line: int
    """1-based."""

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """A problem of the bundle: which rule, where, what it is, why it matters and how to correct it."""

    rule: str
    location: Location
    summary: str
    reason: str
    fix: str

    def __str__(self) -> str:
        return printable(f"{self.location}: {self.summary} ({self.reason}; {self.fix})")


class Moment(str):
    """A day or a time without quotes: text in a field of text, and no text where the CLI looks for any value."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Node:
    """A value with its place: for an entry of a mapping the line of its key."""

    value: Any
    """dict of str to Node, list of Node, or a plain str, int, float, bool or None."""
    place: Location
    anchor: bool = False
    """Whether the YAML gives it a name (`&name`); the CLI lets such a value stand under any key."""

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
        stack = [self]
        while stack:
            node = stack.pop()
            yield node
            if isinstance(node.value, dict):
                stack += node.value.values()
            elif isinstance(node.value, list):
                stack += node.value

    def locate(self, *path: str | int) -> Location:
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
        return Node({**self.value, step: child}, self.place, self.anchor)

    def plain(self) -> Any:
        """The same as plain dicts, lists and scalars."""
        match self.value:
            case dict() as entries:
                return {key: node.plain() for key, node in entries.items()}
            case list() as items:
                return [node.plain() for node in items]
            case Moment() as moment:
                return str(moment)
            case scalar:
                return scalar


def merge_nodes(base: Node, overlay: Node, problems: list[Diagnostic]) -> Node:
    """`other` laid over `base`; a value of another kind is noted as a problem and left out."""
    match base.value, overlay.value:
        case None, _:
            return overlay
        case _, None:
            return base
        case dict() as below, dict() as above:
            entries = dict(below)
            for key, node in above.items():
                entries[key] = merge_nodes(entries[key], node, problems) if key in entries else node
            return Node(entries, base.place, base.anchor)
        case list() as below, list() as above:
            return Node([*below, *above], base.place, base.anchor)
        case below, above if type(below) is not type(above):
            what = f"{describe_kind(overlay)} stands where {base.place} has {describe_kind(base)}"
            problems.append(
                Diagnostic("merge", overlay.place, what, "the CLI cannot merge them", "write the same kind")
            )
            return base
        case _:
            return overlay


def merge_by_key(items: Node, key: str, problems: list[Diagnostic]) -> Node:
    """A list of mappings in which those with the same `key` are one, the later laid over the earlier."""
    if not isinstance(items.value, list):
        return items
    merged: dict[Any, Node] = {}
    for position, item in enumerate(items.value):
        name = item.get(key)
        # Without a usable name an item stays apart (the CLI would merge all of those); the linter asks for the name.
        slot = name.value if name and isinstance(name.value, str) else position
        merged[slot] = merge_nodes(merged[slot], item, problems) if slot in merged else item
    return Node(list(merged.values()), items.place)


def describe_kind(node: Node) -> str:
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
            return f"the moment {text}" if isinstance(text, Moment) else f"the text {text!r}"


def suggest_name(name: str, known: Iterable[str]) -> str:
    """The cure for a wrong name: the nearest right one, else all of them."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1)
    return f"did you mean {close[0]!r}?" if close else f"there is {', '.join(names) or 'none'}"
