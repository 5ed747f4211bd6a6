"""Casts every scalar of a bundle to the type of its field, as the Databricks CLI does before it sends anything.

The rules are those of libs/dyn/convert/normalize.go: `60`, `60.0` and `"60"` are one value of a field of whole numbers.
The CLI casts each file when it has read it, and the whole again when its references are resolved; so does the laptop,
whose linter and runner read the same document. The CLI drops a value that does not fit, with a warning. Here it is also
dropped, and returned as a misfit: the linter reports it, and no job runs with it.
"""

from __future__ import annotations

import dataclasses
import math
import re
from decimal import Decimal
from typing import Any

from laptop.cli_keys import load_root, load_structures
from laptop.document import Diagnostic, Moment, Node, describe_kind
from laptop.resolution import REFERENCE

Path = tuple[str | int, ...]
_TRUE = {"true", "y", "Y", "yes", "Yes", "YES", "on", "On", "ON"}
_FALSE = {"false", "n", "N", "no", "No", "NO", "off", "Off", "OFF"}
_WHOLE = re.compile(r"[+-]?[0-9]+")
_NUMBER = re.compile(r"[+-]?(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:e[+-]?[0-9]+)?|inf|infinity|nan)", re.IGNORECASE)
_SMALLEST, _LARGEST = -(2**63), 2**63 - 1
_TYPES = {"str": str, "int": int, "float": float, "bool": bool}
_WORDS = {"str": "text", "int": "a whole number", "float": "a number", "bool": "true or false"}
_CONTAINERS = {dict: "a mapping", list: "a list"}


@dataclasses.dataclass(frozen=True, slots=True)
class Misfit:
    """A value that its field cannot take."""

    path: Path
    """Path of the value in the tree that was normalized."""
    problem: Diagnostic


class DoesNotFitError(ValueError):
    """A scalar that its field cannot take."""


def normalize_tree(tree: Node, *, resolved: bool = False) -> tuple[Node, tuple[Misfit, ...]]:
    """Cast the scalars of a file, or of the resolved bundle.

    Args:
        tree: of databricks.yml, of a file that it includes, or of a bundle with its target merged in.
        resolved: whether references are resolved; then fields of resources that hold no more than an empty text, and
            need not be there, are left out, as the CLI does (mutator/drop_empty_strings.go).

    Returns:
        The tree without the misfits, and the misfits. Unknown keys stay as they are.
    """
    walk = _Walk([], drop_empty=resolved)
    normal = walk.cast(load_root().name, tree, ())
    return normal or Node({}, tree.place), tuple(walk.misfits)


def cast_scalar(expected: type, value: Any) -> Any:
    """Convert a scalar as the CLI does for a field of type str, int, float or bool.

    Raises:
        DoesNotFitError: the CLI drops the value.
    """
    if isinstance(value, str) and REFERENCE.fullmatch(value):
        return value
    casts = {int: _to_int, float: _to_float, bool: _to_bool}
    if value is None or isinstance(value, dict | list):
        raise DoesNotFitError
    return casts.get(expected, format_scalar)(value)


def format_scalar(value: Any) -> str:
    """Convert a scalar to text as the CLI does for a text field."""
    match value:
        case bool():
            return str(value).lower()
        case float() if math.isfinite(value):
            text = format(Decimal(repr(value)), "f")
            return text.rstrip("0").rstrip(".") if "." in text else text
        case float():
            return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"
        case _:
            return str(value)


def _to_int(value: Any) -> int:
    match value:
        case int() if not isinstance(value, bool):
            return value
        case float() if value.is_integer() and _SMALLEST <= value <= _LARGEST:
            return int(value)
        case str() if _WHOLE.fullmatch(value) and _SMALLEST <= int(value) <= _LARGEST:
            return int(value)
    raise DoesNotFitError


def _to_float(value: Any) -> float:
    match value:
        case float():
            return value
        case int() if not isinstance(value, bool) and int(float(value)) == value:
            return float(value)
        case str() if _NUMBER.fullmatch(value):
            return float(value)
    raise DoesNotFitError


def _to_bool(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value in _TRUE | _FALSE:
        return value in _TRUE
    raise DoesNotFitError


class _Walk:
    """Goes through a tree beside its types."""

    def __init__(self, misfits: list[Misfit], *, drop_empty: bool) -> None:
        self.misfits, self.drop_empty = misfits, drop_empty

    def cast(self, expected: str, node: Node, path: Path) -> Node | None:
        """Convert a node as the CLI would send it; None if the CLI drops it."""
        container = (
            list if expected[0] == "[" else dict if expected[0] == "{" or expected in load_structures() else None
        )
        if expected == "any":
            return self._anything(node, path)
        if container is None:
            return self._scalar(expected, node, path)
        if node.value is None or (isinstance(node.value, str) and REFERENCE.fullmatch(node.value)):
            return node
        if not isinstance(node.value, container):
            self._drop(_CONTAINERS[container], node, path)
            return None
        if container is list:
            items = [self.cast(expected[1:-1], child, (*path, number)) for number, child in enumerate(node.value)]
            return Node([child for child in items if child], node.place, node.anchor)
        entries = {key: self.cast(type_below(expected, key, child), child, (*path, key)) for key, child in node.items()}
        left = {
            key: child for key, child in entries.items() if child and not self._is_empty(expected, key, child, path)
        }
        return Node(left, node.place, node.anchor)

    def _anything(self, node: Node, path: Path, *, inside: bool = False) -> Node:
        """Convert a value of any kind. A moment alone is text; inside a mapping or a list the CLI cannot read it."""
        match node.value:
            case dict() as entries:
                value: Any = {key: self._anything(child, (*path, key), inside=True) for key, child in entries.items()}
            case list() as items:
                value = [self._anything(child, (*path, number), inside=True) for number, child in enumerate(items)]
            case Moment() as moment:
                value = str(moment)
                if inside:
                    self._drop("text in quotes", node, path)
            case _:
                return node
        return Node(value, node.place, node.anchor)

    def _is_empty(self, expected: str, key: str, node: Node, path: Path) -> bool:
        structure = load_structures().get(expected)
        if not self.drop_empty or path[:1] != ("resources",) or structure is None:
            return False
        return node.value == "" and key in structure.keys and key not in structure.required

    def _scalar(self, expected: str, node: Node, path: Path) -> Node | None:
        try:
            return Node(cast_scalar(_TYPES.get(expected, str), node.value), node.place, node.anchor)
        except DoesNotFitError:
            self._drop(_WORDS.get(expected, "text"), node, path)
            return None

    def _drop(self, wanted: str, node: Node, path: Path) -> None:
        what = f"{spell_path(path)} is {describe_kind(node)} and has to be {wanted}"
        self.misfits.append(Misfit(path, Diagnostic("type", node.place, what, "the CLI drops it", "write it so")))


def type_below(expected: str, key: str, child: Node) -> str:
    """Return the type of the value under a key of a mapping."""
    if expected[0] != "{":
        return load_structures()[expected].keys.get(key, "any")
    # A moment is no short definition: the CLI accepts text, numbers, truth values, mappings and lists.
    short = (
        expected == "{variable.TargetVariable}"
        and not isinstance(child.value, Moment)
        and not is_full_definition(child)
    )
    return "any" if short else expected[1:-1]


def is_full_definition(assigned: Node) -> bool:
    """Whether a target's entry for a variable is a definition, and not the value itself.

    `name: value` is short for `name: {default: value}`, also if the value is a mapping that has a key `default`.
    """
    keys = assigned.value.keys() if isinstance(assigned.value, dict) else set()
    definition = "default" in keys and keys <= {"default", "type", "description"}
    return definition or ("lookup" in keys and keys <= {"lookup", "description"})


def spell_path(path: Path) -> str:
    """A path as messages name it: resources by kind and key, whichever target they stand in."""
    if path[:1] == ("targets",) and path[2:3] == ("resources",):
        path = path[2:]
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return text.removeprefix(".").removeprefix("resources.") or "databricks.yml"
