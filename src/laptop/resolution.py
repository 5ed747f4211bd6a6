"""Replaces the `${...}` references of a bundle by the values that they name."""

from __future__ import annotations

import getpass
import math
import re
import subprocess
import unicodedata
import zlib
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

from laptop.cli_keys import find_type, is_attribute, load_structures
from laptop.document import Diagnostic, Location, Node, describe_kind, suggest_name

_PART = r"[^\W\d_](?:[\w-]*[^\W_])?(?:\[\d+\])*"
REFERENCE = re.compile(rf"\$\{{({_PART}(?:\.{_PART})*)\}}")
"""Pattern of a reference of the CLI (libs/dyn/dynvar/ref.go); other text in braces stays."""
VARIABLE = re.compile(r"\$\{(?:var|variables)\.([\w-]+)")
CHAIN = 50
"""Longest chain of variables that refer to one another; each takes a few levels of Python's recursion."""
ROOTS = ("artifacts", "bundle", "resources", "var", "variables", "workspace")


def job_id(target: str, job: str) -> str:
    """Compute the id of a job on a laptop, `${resources.jobs.<job>.id}`: decimal digits."""
    return str(zlib.crc32(f"{target}.{job}".encode()))


def resolve_references(tree: Node, root: Path, target: str, problems: list[Diagnostic]) -> Node:
    """Resolve every reference of a tree; one that names nothing stays as text and becomes a problem.

    Args:
        tree: the bundle with the target merged in and every variable's `value` set.
        root: folder of databricks.yml.
        target: the target's name; the laptop's job ids depend on it.
        problems: receives the problems.
    """
    return _Resolver(tree, root, target, problems).resolve_node(tree)


def resolve_value(tree: Node, value: Node, root: Path, target: str) -> Node:
    """Resolve the references of one value. One that names nothing stays; `resolve_references` reports it later."""
    return _Resolver(tree, root, target, []).resolve_node(value)


def short_name() -> str:
    """Return the user of this machine as the CLI shortens names: the part before the @, in letters and digits."""
    return normalize_name(getpass.getuser().partition("@")[0])


def normalize_name(text: str) -> str:
    """Convert to lower case, with one _ per character that is no letter and no digit (libs/textutil/textutil.go)."""
    lower = (letter.lower()[0] for letter in text)  # Go converts letter by letter: one letter stays one letter
    return re.sub(
        "_+", "_", "".join(letter if letter.isalpha() or letter.isdecimal() else "_" for letter in lower)
    ).strip("_")


def _friendly_name() -> str:
    """Return the user of this machine as a host name: letters without accents, digits and dashes."""
    bare = "".join(
        letter for letter in unicodedata.normalize("NFD", short_name()) if unicodedata.category(letter) != "Mn"
    )
    return re.sub("[^a-z0-9]", "-", unicodedata.normalize("NFC", bare).lower())


class _Unresolved(Exception):
    """A reference has no value; the reason was added to the problems."""


@dataclass(frozen=True)
class _Missing:
    """Reason why a reference has no value; `what` is empty if the problem is reported at the declaration."""

    what: str = ""
    fix: str = ""


class _Resolver:
    """Replaces every `${...}` of a tree by its value, and adds a problem for each one without a value."""

    def __init__(self, tree: Node, root: Path, target: str, problems: list[Diagnostic]) -> None:
        self.tree, self.root, self.target, self.problems = tree, root, target, problems
        self._known: dict[str, Node | _Missing] = {}
        self._open: list[str] = []

    def resolve_node(self, node: Node) -> Node:
        match node.value:
            case dict() as entries:
                return Node({key: self.resolve_node(child) for key, child in entries.items()}, node.place, node.anchor)
            case list() as items:
                return Node([self.resolve_node(child) for child in items], node.place, node.anchor)
            case str() as text if "${" in text:
                try:
                    return self._resolve_text(text, node.place)
                except _Unresolved:
                    return node
            case _:
                return node

    def _resolve_text(self, text: str, place: Location) -> Node:
        """Resolve a text. A text that is one reference becomes the value, of any type; else values are inserted."""
        whole = REFERENCE.fullmatch(text)
        if whole and is_resolved(whole):
            return Node(self._resolve_name(whole[1], place).value, place)
        for match in filter(is_resolved, reversed(list(REFERENCE.finditer(text)))):
            named = self._resolve_name(match[1], place)
            if isinstance(named.value, dict | list):
                self._note_missing(
                    place, match[1], _Missing(f"it is {describe_kind(named)} inside a text", "let it stand alone")
                )
                raise _Unresolved
            text = text[: match.start()] + spell(named.value) + text[match.end() :]
        return Node(text, place)

    def _resolve_name(self, reference: str, place: Location) -> Node:
        if len(self._open) > CHAIN:
            self._note_missing(
                place, reference, _Missing("the chain of references is too long", "name the value itself")
            )
            raise _Unresolved
        if reference in self._open:
            circle = " -> ".join([*self._open, reference])
            self._note_missing(place, reference, _Missing(f"it names itself: {circle}", "break the circle"))
            raise _Unresolved
        if reference not in self._known:
            self._open.append(reference)
            self._known[reference] = self._find_node(reference)
            self._open.pop()
        known = self._known[reference]
        if isinstance(known, _Missing):
            self._note_missing(place, reference, known)
            raise _Unresolved
        return known

    def _note_missing(self, place: Location, reference: str, missing: _Missing) -> None:
        if missing.what:
            what = f"${{{reference}}} cannot be resolved: {missing.what}"
            self.problems.append(Diagnostic("reference", place, what, "the CLI stops at it", missing.fix))

    def _find_node(self, reference: str) -> Node | _Missing:
        if self._is_unset(reference):
            return Node(f"${{{reference}}}", self.tree.place)
        node = self._look_up(reference)
        if isinstance(node, _Missing):
            return node
        before = len(self.problems)
        resolved = self.resolve_node(node)
        return resolved if len(self.problems) == before and not self._has_reference(resolved) else _Missing()

    def _has_reference(self, node: Node) -> bool:
        texts = (below.value for below in node.walk() if isinstance(below.value, str))
        named = (match for text in texts for match in REFERENCE.finditer(text))
        return any(is_resolved(match) and not self._is_unset(match[1]) for match in named)

    def _is_unset(self, reference: str) -> bool:
        """Whether it is a variable without a value, which is reported at its declaration; the reference stays."""
        root, _, name = reference.partition(".")
        variable = self.tree.get("variables", name) if root == "var" else None
        return variable is not None and variable.get("value") is None

    def _look_up(self, reference: str) -> Node | _Missing:
        steps = re.split(r"[.\[]", reference.replace("]", ""))
        path: list[str | int] = [int(step) if step.isdigit() else step for step in steps]
        if path[0] == "var":
            path = ["variables", *(path[1:2] or [""]), "value", *path[2:]]
        node = self.tree
        computed = _workspace_value(self, tuple(map(str, path)))
        if computed is not None:
            return Node(computed, node.locate(*path))
        for position, step in enumerate(path):
            below = node.get(step) or (_by_terraform_name(node, step) if position > 2 else None)
            if below is None and path[0] == "variables" and step in {"value", ""}:
                # A variable without a value is reported at its declaration; CLI 1.13.0 crashes on `${var}`.
                return _Missing("" if step else "it names no variable", "write ${var.NAME}")
            if below is None and node is self.tree and step == "variables":
                return _Missing("the bundle declares no variables", "declare it")
            if below is None and (default := _find_default(self.tree, path, position)):
                return Node(default.value, node.place)
            if below is None:
                names = ROOTS if node is self.tree else [name for name, _ in node.items()]
                return _Missing(f"there is no {step!r}", suggest_name(str(step), names))
            node = below
        return node


def _by_terraform_name(node: Node, step: str | int) -> Node | None:
    """Find a node by Terraform's name: `task[0]` for `tasks[0]`, `git_source[0].branch` for `git_source.git_branch`."""
    if step == 0:
        return node if isinstance(node.value, dict) else None
    names = (f"{step}s", f"{str(step)[:-1]}ies", f"git_{step}")
    return next(filter(None, map(node.get, names)), None) if isinstance(step, str) else None


def _find_default(tree: Node, path: list[str | int], position: int) -> Node | None:
    """Return the value of an unset key: the CLI's empty value, or a description of a value of the workspace."""
    written = find_type(path)
    if path[0] == "resources" and (position < 3 or not tree.get(*path[:3])):
        return None
    if path[0] == "resources" and is_attribute(str(path[1]), str(path[3])):
        written = "str"
    elif path[0] == "resources" and path[3] in {"url", "modified_status"}:  # of the CLI's own, for its output
        return None
    if written is None or path[0] == "variables":
        return None
    words = f"{path[3]} of {path[1]}.{path[2]}" if path[0] == "resources" else ""
    empty: dict[str, Any] = {"int": 0, "float": 0.0, "bool": False, "[": [], "{": {}}
    value = {} if written in load_structures() else empty.get(written, empty.get(written[0], words))
    return Node(value, tree.place)


def is_resolved(reference: re.Match[str]) -> bool:
    """Whether the CLI resolves it; the CLI leaves `${HOME}` and the like as they are."""
    return re.split(r"[.\[]", reference[1])[0] in ROOTS


def spell(value: Any) -> str:
    """Format a scalar inside a text as Go prints it: null is `<nil>`, a large number is 1e+06."""
    if isinstance(value, bool):
        return str(value).lower()
    if not isinstance(value, float) or not math.isfinite(value):
        return {"None": "<nil>", "inf": "+Inf", "-inf": "-Inf", "nan": "NaN"}.get(str(value), str(value))
    sign, digits, exponent = Decimal(repr(value)).normalize().as_tuple()
    power = len(digits) - 1 + int(exponent)
    if value and not -4 <= power < 6:
        mantissa = f"{digits[0]}.{''.join(map(str, digits[1:]))}".rstrip(".")
        return f"{'-' if sign else ''}{mantissa}e{power:+03d}"
    return format(Decimal(repr(value)).normalize(), "f")


def _workspace_value(resolver: _Resolver, path: tuple[str, ...]) -> str | None:
    """Return the laptop's value for a value that a workspace would provide; None if it is in the bundle."""
    match path:
        case ("workspace", "current_user", "userName" | "displayName"):
            return getpass.getuser()
        case ("workspace", "current_user", "short_name" | "domain_friendly_name" as form):
            return short_name() if form == "short_name" else _friendly_name()
        case ("workspace", name) if name.endswith("_path") and find_type(path):
            return str(resolver.root / {"artifact_path": "dist"}.get(name, ""))
        case ("bundle", "git", what) if what in _GIT and not resolver.tree.get(*path):  # what is written counts
            return _ask_git(resolver.root, *_GIT[what])
        case ("resources", group, key, field_) if resolver.tree.get("resources", group, key):
            return _resource_field(resolver, group, key, field_)
        case _:
            return None


def _resource_field(resolver: _Resolver, group: str, key: str, name: str) -> str | None:
    match group, name:
        case "volumes", "volume_path":
            here = f"${{resources.volumes.{key}"
            return f"/Volumes/{here}.catalog_name}}/{here}.schema_name}}/{here}.name}}"
        case "schemas", "id" | "full_name":
            return f"${{resources.schemas.{key}.catalog_name}}.${{resources.schemas.{key}.name}}"
        case "volumes" | "registered_models", "id" | "full_name":
            here = f"${{resources.{group}.{key}"
            return f"{here}.catalog_name}}.{here}.schema_name}}.{here}.name}}"
        case _, _ if name.endswith("id") and not resolver.tree.get("resources", group, key, name):
            return job_id(resolver.target, key)
        case _:
            return None


def forget_git() -> None:
    """Clear the cached answers of git, before the bundle is read again."""
    _ask_git.cache_clear()


_GIT = {
    "commit": ("rev-parse", "--verify", "HEAD"),
    "branch": ("branch", "--show-current"),
    "origin_url": ("config", "--get", "remote.origin.url"),
}


@cache
def _ask_git(root: Path, *options: str) -> str:
    """Ask git. The answer is cached for one reading of a bundle, which the linter resolves several times."""
    command = ["git", "-C", str(root), *options]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()  # noqa: S603
