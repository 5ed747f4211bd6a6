"""Keys, types and required fields, held against the dataclasses of databricks-bundles, every node of them at once.

Their own `from_dict` knows the same, but stops at the first mistake, does not say where it is, and turns a mapping into
text without a word. A test holds the two against each other.
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Iterable, Iterator
from enum import Enum
from functools import cache
from typing import Any

from laptop.cli_structs import Root
from laptop.document import Node, Problem, kind, nearest
from laptop.field_types import CLASSES, field_types, load_class, strip_optional
from laptop.normalize import Misfit

UNCHECKED = {
    "database_catalogs", "database_instances", "genie_spaces", "instance_pools", "job_runs", "postgres_branches",
    "postgres_catalogs", "postgres_databases", "postgres_endpoints", "postgres_projects", "postgres_roles",
    "postgres_synced_tables", "synced_database_tables", "vector_search_endpoints", "vector_search_indexes",
}  # fmt: skip
"""Kinds that the CLI knows and this template has no use for."""
REQUIRED = {"RegisteredModel": ("catalog_name", "schema_name", "name")}
"""Where the class calls optional what the API wants."""
ELSEWHERE = {"Alert": "file_path"}
"""Where a file may hold what the class wants."""


def root(tree: Node) -> Iterator[Problem]:
    """What is wrong with the bundle outside its resources, before any target is merged in."""
    yield from _value(Root, tree, "databricks.yml")


def misfits(dropped: Iterable[Misfit]) -> Iterator[tuple[tuple[str, str], Problem]]:
    """What has the wrong type, with the kind and key of its resource, both empty outside of resources."""
    for misfit in dropped:
        path = [str(step) for step in misfit.path]
        below = path[path.index("resources") + 1 :] if "resources" in path else []
        yield (*[*below, "", ""][:2],), misfit.problem  # type: ignore[misc]


def resources(tree: Node) -> Iterator[tuple[tuple[str, str], Problem]]:
    """What is wrong with each resource of a resolved bundle, with its kind and key."""
    groups = tree.get("resources")
    for group, node in groups.items() if groups else ():
        if group not in CLASSES:
            if group not in UNCHECKED:
                yield (group, ""), _unknown("resources", group, node, CLASSES)
            continue
        if not isinstance(node.value, dict | None):
            yield (group, ""), _wrong(f"resources.{group}", node, "a mapping of resources by key")
        for key, resource in node.items():
            where = f"{group}.{key}"
            if resource.value is None:
                yield (group, key), _wrong(where, resource, "a mapping")
            for problem in _value(load_class(group), resource, where):
                yield (group, key), problem


@cache
def _needed(cls: type) -> tuple[str, ...]:
    """The fields of a dataclass that have to be there."""
    missing, fields = dataclasses.MISSING, dataclasses.fields(cls)
    needed = [field.name for field in fields if field.default is missing and field.default_factory is missing]
    return (*needed, *REQUIRED.get(cls.__name__, ()))


def _value(expected: Any, node: Node, where: str) -> Iterator[Problem]:
    if expected is Any or node.value is None:
        return
    origin = typing.get_origin(expected)
    if isinstance(node.value, str) and "${" in node.value:
        return  # noted by whoever resolves references
    if dataclasses.is_dataclass(expected):
        yield from _object(typing.cast("type", expected), node, where)
    elif origin is list:
        yield from _list(strip_optional(typing.get_args(expected)[0]), node, where)
    elif origin is dict:
        yield from _dict(strip_optional(typing.get_args(expected)[1]), node, where)
    elif issubclass(expected, Enum):
        names = [str(member.value) for member in expected]
        if not isinstance(node.value, str) or node.value not in names:
            some = names if len(names) <= 12 else [*names[:5], f"{len(names) - 5} others"]
            yield _wrong(where, node, f"one of {', '.join(some)}", nearest(str(node.value), names))


def _object(cls: type, node: Node, where: str) -> Iterator[Problem]:
    types = field_types(cls)
    for key, child in node.items():
        if key in types:
            yield from _value(types[key], child, f"{where}.{key}")
        else:
            yield _unknown(where, key, child, types)
    for key in _needed(cls) if not node.get(ELSEWHERE.get(cls.__name__, "")) else ():
        given = node.get(key)
        if given is None or given.value is None:
            what, why = f"{where} has no {key!r}", "it cannot be deployed without"
            yield Problem("required", node.place, what, why, f"add {key}")


def _list(item: Any, node: Node, where: str) -> Iterator[Problem]:
    for number, child in enumerate(node.value):
        if child.value is None:
            yield _wrong(f"{where}[{number}]", child, "something")
        yield from _value(item, child, f"{where}[{number}]")


def _dict(value: Any, node: Node, where: str) -> Iterator[Problem]:
    for key, child in node.items():
        yield from _value(value, child, f"{where}.{key}")


def _unknown(where: str, key: str, node: Node, known: typing.Iterable[str]) -> Problem:
    what = f"{where} has no key {key!r}"
    return Problem("unknown", node.place, what, "the CLI drops it with no more than a warning", nearest(key, known))


def _wrong(where: str, node: Node, wanted: str, cure: str = "") -> Problem:
    what = f"{where} is {kind(node)} and has to be {wanted}"
    return Problem("type", node.place, what, "the deployment refuses or drops it", cure or "write it so")
