"""The `${...}` references of a bundle, replaced by what they name."""

from __future__ import annotations

import getpass
import re
import subprocess
import zlib
from pathlib import Path
from typing import Any

from laptop.document import Node, Place, Problem, kind, nearest

_PART = r"[^\W\d_](?:[\w-]*[^\W_])?(?:\[\d+\])*"
REFERENCE = re.compile(rf"\$\{{({_PART}(?:\.{_PART})*)\}}")
"""What the CLI takes for a reference (libs/dyn/dynvar/ref.go); anything else in braces it leaves as text."""
ROOTS = ("artifacts", "bundle", "resources", "var", "variables", "workspace")


def without_references(tree: Node, root: Path, target: str, problems: list[Problem]) -> Node:
    """The tree with every reference resolved; one that names nothing stays as text and is noted as a problem.

    Args:
        tree: the bundle with the target merged in and every variable's `value` set.
        root: folder of databricks.yml.
        target: the target's name; the laptop's job ids depend on it.
        problems: where to note them.
    """
    return _Resolver(tree, root, target, problems).node(tree)


class _Unresolved(Exception):
    """What a reference names cannot be had; why has been noted already."""


class _Resolver:
    """Replaces every `${...}` of a tree by what it names, and notes those that name nothing."""

    def __init__(self, tree: Node, root: Path, target: str, problems: list[Problem]) -> None:
        self.tree, self.root, self.target, self.problems = tree, root, target, problems
        self._known: dict[str, Node | None] = {}
        self._open: list[str] = []

    def node(self, node: Node) -> Node:
        match node.value:
            case dict() as entries:
                return Node({key: self.node(child) for key, child in entries.items()}, node.place)
            case list() as items:
                return Node([self.node(child) for child in items], node.place)
            case str() as text if "${" in text:
                try:
                    return self._text(node)
                except _Unresolved:
                    return node
            case _:
                return node

    def _text(self, node: Node) -> Node:
        """A text that is one reference becomes the value itself, of whatever type; else values are written into it."""
        text = str(node.value)
        whole = REFERENCE.fullmatch(text)
        if whole:
            return Node(self._named(whole[1], node.place).value, node.place)
        for match in reversed(list(REFERENCE.finditer(text))):
            named = self._named(match[1], node.place)
            if isinstance(named.value, dict | list):
                self._note(node.place, match[1], f"it is {kind(named)} and stands inside a text", "write it alone")
                raise _Unresolved
            text = text[: match.start()] + _spelled(named.value) + text[match.end() :]
        return Node(text, node.place)

    def _named(self, reference: str, place: Place) -> Node:
        if reference in self._open:
            self._note(
                place, reference, f"it names itself: {' -> '.join([*self._open, reference])}", "break the circle"
            )
            raise _Unresolved
        if reference not in self._known:
            found = self._look_up(reference, place)
            self._open.append(reference)
            try:
                failed = len(self.problems)
                resolved = self.node(found)
                self._known[reference] = resolved if len(self.problems) == failed else None
            finally:
                self._open.pop()
        known = self._known[reference]
        if known is None:
            raise _Unresolved
        return known

    def _note(self, place: Place, reference: str, what: str, cure: str) -> None:
        text = f"${{{reference}}} cannot be resolved: {what}"
        self.problems.append(Problem("reference", place, text, "the CLI stops at it", cure))

    def _look_up(self, reference: str, place: Place) -> Node:
        steps = re.split(r"[.\[]", reference.replace("]", ""))
        path: list[str | int] = [int(step) if step.isdigit() else step for step in steps]
        if path[0] == "var":
            path = ["variables", *path[1:2], "value", *path[2:]]
        computed = _computed(self, tuple(map(str, path)))
        if computed is not None:
            return Node(computed, place)
        node = self.tree
        for step in path:
            below = node.get(step)
            if below is None:
                if path[0] == "variables" and step == "value" and node is not self.tree:
                    raise _Unresolved  # a variable without value has been noted where it is declared
                names = [name for name, _ in node.items()]
                cure = nearest(str(step), names if node is not self.tree else ROOTS)
                self._note(place, reference, f"there is no {step!r}", cure)
                self._known[reference] = None
                raise _Unresolved
            node = below
        return node


def _spelled(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _computed(resolver: _Resolver, path: tuple[str, ...]) -> str | None:
    """What the workspace would know, in the laptop's words; None for everything that is written in the bundle."""
    match path:
        case ("workspace", "current_user", "userName"):
            return getpass.getuser()
        case ("workspace", "current_user", "short_name"):
            return re.sub(r"\W", "_", getpass.getuser())
        case ("workspace", name) if name.endswith("_path"):
            return str(resolver.root / {"artifact_path": "dist"}.get(name, ""))
        case ("bundle", "git", ("commit" | "branch") as what):
            return _git(resolver.root, "--abbrev-ref" if what == "branch" else "--verify")
        case ("resources", group, key, field_) if resolver.tree.get("resources", group, key):
            return _resource_field(resolver, group, key, field_)
        case _:
            return None


def _resource_field(resolver: _Resolver, group: str, key: str, name: str) -> str | None:
    match group, name:
        case "jobs", "id":
            return str(zlib.crc32(f"{resolver.target}.{key}".encode()))
        case "volumes", "volume_path":
            here = f"${{resources.volumes.{key}"
            return f"/Volumes/{here}.catalog_name}}/{here}.schema_name}}/{here}.name}}"
        case "schemas", "id" | "full_name":
            return f"${{resources.schemas.{key}.catalog_name}}.${{resources.schemas.{key}.name}}"
        case "volumes" | "registered_models", "id" | "full_name":
            here = f"${{resources.{group}.{key}"
            return f"{here}.catalog_name}}.{here}.schema_name}}.{here}.name}}"
        case _:
            return None


def _git(root: Path, *options: str) -> str:
    command = ["git", "-C", str(root), "rev-parse", *options, "HEAD"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()  # noqa: S603
