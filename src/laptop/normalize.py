"""Casts every scalar of a bundle to the type of its field, as the Databricks CLI does before it sends anything.

The rules are those of libs/dyn/convert/normalize.go: `60`, `60.0` and `"60"` are one value of a field of whole numbers.
The CLI casts each file when it has read it, and the whole again when its references are resolved; so does the laptop,
and its linter and its runner read one document. The CLI drops what does not fit, with a warning. Here it is dropped
too, and returned as a misfit: the linter reports it, and no job runs with it.
"""

from __future__ import annotations

import dataclasses
import math
import re
import typing
from decimal import Decimal
from enum import Enum
from typing import Any

from laptop.cli_structs import Root
from laptop.document import Node, Problem, kind
from laptop.field_types import CLASSES, field_types, load_class, strip_optional
from laptop.resolution import REFERENCE

Path = tuple[str | int, ...]
_TRUE = {"true", "y", "Y", "yes", "Yes", "YES", "on", "On", "ON"}
_FALSE = {"false", "n", "N", "no", "No", "NO", "off", "Off", "OFF"}
_WHOLE = re.compile(r"[+-]?[0-9]+")
_NUMBER = re.compile(r"[+-]?(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:e[+-]?[0-9]+)?|inf|infinity|nan)", re.IGNORECASE)
_SMALLEST, _LARGEST = -(2**63), 2**63 - 1
_WORDS = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}
_WORDS |= {dict: "a mapping", list: "a list"}


@dataclasses.dataclass(frozen=True, slots=True)
class Misfit:
    """A value that its field cannot take."""

    path: Path
    """Of the value, in the tree that was normalized."""
    problem: Problem


class DoesNotFitError(ValueError):
    """A scalar that its field cannot take."""


def normalize_tree(tree: Node) -> tuple[Node, tuple[Misfit, ...]]:
    """Cast the scalars of a file, or of the resolved bundle.

    Args:
        tree: of databricks.yml, of a file that it includes, or of a bundle with its target merged in.

    Returns:
        The tree without what does not fit, and what did not fit. Unknown keys, and kinds of resources whose fields are
        not known here, stay as they are.
    """
    walk = _Walk([])
    normal = walk.cast(Root, tree, ())
    return normal or Node({}, tree.place), tuple(walk.misfits)


def cast_scalar(expected: type, value: Any) -> Any:
    """A scalar as the CLI sends it in a field of type str, int, float, bool or of an Enum.

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
    """A scalar as the text that the CLI makes of it in a field of text."""
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

    def __init__(self, misfits: list[Misfit]) -> None:
        self.misfits = misfits

    def cast(self, expected: Any, node: Node, path: Path) -> Node | None:
        """The node as the CLI would send it; None for what the CLI drops."""
        origin = typing.get_origin(expected) or (dict if dataclasses.is_dataclass(expected) else None)
        if expected is Any:
            return node
        if origin is None:
            return self._scalar(expected, node, path)
        if node.value is None or (isinstance(node.value, str) and REFERENCE.fullmatch(node.value)):
            return node
        if not isinstance(node.value, origin):
            self._drop(origin, node, path)
            return None
        if origin is list:
            item = strip_optional(typing.get_args(expected)[0])
            items = [self.cast(item, child, (*path, number)) for number, child in enumerate(node.value)]
            return Node([child for child in items if child], node.place)
        entries = {key: self.cast(_type_below(expected, key, path), child, (*path, key)) for key, child in node.items()}
        return Node({key: child for key, child in entries.items() if child}, node.place)

    def _scalar(self, expected: type, node: Node, path: Path) -> Node | None:
        try:
            return Node(cast_scalar(expected, node.value), node.place)
        except DoesNotFitError:
            self._drop(expected, node, path)
            return None

    def _drop(self, expected: type, node: Node, path: Path) -> None:
        wanted = _WORDS[str if issubclass(expected, Enum) else expected]
        what = f"{_spell(path)} is {kind(node)} and has to be {wanted}"
        self.misfits.append(Misfit(path, Problem("type", node.place, what, "the CLI drops it", "write it so")))


def _type_below(expected: Any, key: str, path: Path) -> Any:
    """The type of what stands under a key of a mapping."""
    if path[-1:] == ("resources",) and len(path) in {1, 3}:
        return dict[str, load_class(key)] if key in CLASSES else Any  # type: ignore[misc]
    if dataclasses.is_dataclass(expected):
        return field_types(typing.cast("type", expected)).get(key, Any)
    return strip_optional(typing.get_args(expected)[1])


def _spell(path: Path) -> str:
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return text.removeprefix(".").removeprefix("resources.") or "databricks.yml"
