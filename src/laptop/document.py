"""A YAML tree in which every node keeps its file and line, also after files and targets are merged.

The rules of merging are those of the Databricks CLI (libs/dyn/merge): mappings merge key by key, lists are joined, the
incoming scalar wins if it is of the same kind, and null changes nothing. Files are merged after their scalars are cast
to the types of their fields (laptop.normalize). So `60` merges with `"60"`, since both are whole numbers there, and not
with `${var.limit}`.
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
    """File and line of a value."""

    file: Path
    """Relative to the root of the bundle."""
    line: int
    """1-based."""

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """A problem of the bundle: the rule, the place, a summary, the reason why it matters and the fix."""

    rule: str
    location: Location
    summary: str
    reason: str
    fix: str

    def __str__(self) -> str:
        return printable(f"{self.location}: {self.summary} ({self.reason}; {self.fix})")


class Moment(str):
    """A day or time without quotes. It is text in a text field; where any value is allowed, the CLI cannot read it."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Node:
    """A value with its place: for an entry of a mapping the line of its key."""

    value: Any
    """dict of str to Node, list of Node, or a plain str, int, float, bool or None."""
    place: Location
    anchor: bool = False
    """Whether it has an anchor (`&name`); the CLI accepts such a value under any key."""

    def get(self, *path: str | int) -> Node | None:
        """Return the node at a path below this one; None if there is none."""
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
        """Iterate over the entries of a mapping; any other node has none."""
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
        """Find the place of the node at a path, or of its nearest ancestor that exists."""
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
        """Convert the tree to plain dicts, lists and scalars."""
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
    """Merge `overlay` over `base`; a value of another kind is added to `problems` and left out."""
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
    """Merge the mappings of a list that have the same `key`, the later over the earlier."""
    if not isinstance(items.value, list):
        return items
    merged: dict[Any, Node] = {}
    for position, item in enumerate(items.value):
        name = item.get(key)
        # An item without a usable name is not merged (the CLI would merge all such items); the linter reports it.
        slot = name.value if name and isinstance(name.value, str) else position
        merged[slot] = merge_nodes(merged[slot], item, problems) if slot in merged else item
    return Node(list(merged.values()), items.place)


def describe_kind(node: Node) -> str:
    """Describe the kind of a node's value, for messages."""
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
    """Suggest the most similar known name for an unknown one, else list all known names."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1)
    return f"did you mean {close[0]!r}?" if close else f"there is {', '.join(names) or 'none'}"
