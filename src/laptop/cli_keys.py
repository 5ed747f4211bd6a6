"""The keys that the pinned CLI knows: every key of a bundle with its type, as cli_keys.json lists them.

The file was made from CLI 1.13.0. Its `bundle validate` agrees with the file: it drops a key that is not listed, and a
value of another type. (Rejected: databricks-bundles, which lists fewer kinds and, in newer versions, keys that this CLI
drops.)

A type is written as `str`, `int`, `float`, `bool`, `any`, `=A|B` (one of these texts), `[T]` (a list of T), `{T}` (a
mapping of names to T), or the name of a structure. `attributes` are what the workspace adds to each kind of resource.

Some facts are added by hand, since the CLI or the API refuses more than the CLI's list says: the words of `mode`,
`engine`, `trigger_pause_status` and the bundle's permission levels, the keys `needed`, `reserved` and `elsewhere` of
structures, and `privileges`, which can be granted on a kind (data-governance/unity-catalog, privileges reference).
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("cli_keys.json")


@dataclass(frozen=True)
class Structure:
    """A mapping with fixed keys."""

    name: str
    keys: dict[str, str]
    """The type of each key."""
    required: tuple[str, ...]
    """Keys whose absence makes the CLI warn; the platform refuses most such resources."""
    needed: tuple[str, ...] = ()
    """Further keys that the CLI or the API requires, with a value that is not empty."""
    reserved: tuple[str, ...] = ()
    """Keys that the CLI sets itself, and refuses in a bundle."""
    elsewhere: str = ""
    """A key that may name a file with the required keys."""


@cache
def _load() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
    return loaded


@cache
def load_structures() -> dict[str, Structure]:
    """Every structure by its name."""
    return {name: _to_structure(name, entry) for name, entry in _load()["types"].items()}


def _to_structure(name: str, entry: dict[str, Any]) -> Structure:
    required, needed, reserved = (tuple(entry.get(key, ())) for key in ("required", "needed", "reserved"))
    return Structure(name, entry["keys"], required, needed, reserved, entry.get("elsewhere", ""))


def load_root() -> Structure:
    """The structure of databricks.yml itself."""
    return load_structures()[_load()["root"]]


def find_type(path: Iterable[str | int]) -> str | None:
    """Return the type of the value at a path of databricks.yml; None if the CLI knows no such path."""
    written = load_root().name
    for step in path:
        if written in load_structures():
            written = load_structures()[written].keys.get(str(step), "")
        elif written[:1] in {"[", "{"}:
            written = written[1:-1]
        elif written != "any":
            return None
    return written or None


def is_attribute(kind: str, name: str) -> bool:
    """Whether a name is an attribute that the workspace adds to a deployed resource of that kind."""
    return name in _load()["attributes"].get(kind, ())


def load_privileges() -> dict[str, list[str]]:
    """The privileges that can be granted on each kind of resource."""
    return dict(_load()["privileges"])
