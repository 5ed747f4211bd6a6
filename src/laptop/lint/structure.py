"""Checks every key of the bundle against the keys of the CLI (laptop.cli_keys); laptop.normalize checks types."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator

from laptop.cli_keys import Structure, load_root, load_structures
from laptop.document import Diagnostic, Node, describe_kind, suggest_name
from laptop.normalize import Path, spell_path, type_below


def find_unknown_keys(file: Node) -> Iterator[tuple[Path, Diagnostic]]:
    """Yield the keys of a file that the CLI drops, since it does not know them."""
    for path, node, expected in _walk(load_root(), file, ()):
        for key, child in node.items():
            if key not in expected.keys and not _is_spare(path, key, child, expected.keys):
                what = f"{spell_path(path)} has no key {key!r}"
                why = "the CLI drops it with no more than a warning"
                cure = suggest_name(key, expected.keys)
                cure = cure if cure.startswith("did you") else "remove it, or look its name up"
                yield (*path, key), Diagnostic("unknown", child.place, what, why, cure)


def find_missing_keys(tree: Node) -> Iterator[tuple[Path, Diagnostic]]:
    """Yield the required keys that a resolved bundle lacks, and the keys that only the CLI may set."""
    for path, node, expected in _walk(load_root(), tree, ()):
        if node.value is None and (path[:1], len(path)) in {(("resources",), 3), (("artifacts",), 2)}:
            yield path, _wrong_kind(path, node, "a mapping", "write it or remove its key")
            continue
        for key in (*expected.required, *expected.needed):
            given = node.get(key)
            empty = (None, "") if key not in expected.required else (None,)
            if (given is None or given.value in empty) and not node.get(expected.elsewhere):
                what, why = f"{spell_path(path)} has no {key!r}", "it cannot be deployed without"
                yield (*path, key), Diagnostic("required", node.place, what, why, f"add {key}")
        for key in expected.reserved:
            if given := node.get(key):
                what, why = f"{spell_path(path)} has {key!r}", "the CLI sets it itself and refuses another"
                yield path, Diagnostic("unknown", given.place, what, why, "remove it")


def find_wrong_words(tree: Node) -> Iterator[tuple[Path, Diagnostic]]:
    """Yield the texts that are not among the allowed words of their key, in a file or a resolved bundle."""
    for path, node, expected in _walk(load_root(), tree, ()):
        for key, child in node.items():
            written = expected.keys.get(key, "any")
            names = written.strip("[]{}=").split("|")
            for step, text in _texts(written, child):
                value = str(text.value)
                if value not in {"", *names} and "${" not in value:
                    some = names if len(names) <= 12 else [*names[:5], f"{len(names) - 5} others"]
                    wanted = f"one of {', '.join(some)}"
                    yield (*path, key), _wrong_kind((*path, key, *step), text, wanted, suggest_name(value, names))


def _texts(written: str, node: Node) -> Iterator[tuple[Path, Node]]:
    """Yield the texts that have a list of allowed words: the node itself, or its items."""
    if written.startswith("=") and node.value is not None:
        yield (), node
    elif written.startswith("[=") and isinstance(node.value, list):
        yield from (((number,), child) for number, child in enumerate(node.value))


def _walk(expected: Structure, node: Node, path: Path) -> Iterator[tuple[Path, Node, Structure]]:
    """Yield every structure of a tree, with its path."""
    if isinstance(node.value, dict | None):
        yield path, node, expected
    for key, child in node.items():
        yield from _below(type_below(expected.name, key, child), child, (*path, key))


def _below(written: str, node: Node, path: Path) -> Iterator[tuple[Path, Node, Structure]]:
    if written in load_structures():
        yield from _walk(load_structures()[written], node, path)
    elif written[0] == "[" and isinstance(node.value, list):
        for number, child in enumerate(node.value):
            yield from _below(written[1:-1], child, (*path, number))
    elif written[0] == "{":
        for key, child in node.items():
            yield from _below(type_below(written, key, child), child, (*path, key))


def _is_spare(path: Path, key: str, node: Node, known: Iterable[str]) -> bool:
    """Whether a key may be dropped on purpose: it holds only anchors, and is no misspelt key below the root."""
    slip = path and difflib.get_close_matches(key, known, n=1, cutoff=0.85)
    return _holds_anchors(node) and not slip


def _holds_anchors(node: Node) -> bool:
    """Whether a node only declares anchors: the CLI accepts such keys anywhere."""
    below = [child for _, child in node.items()] or (node.value if isinstance(node.value, list) else [])
    return node.anchor or (bool(below) and all(map(_holds_anchors, below)))


def _wrong_kind(path: Iterable[str | int], node: Node, wanted: str, cure: str) -> Diagnostic:
    what = f"{spell_path(tuple(path))} is {describe_kind(node)} and has to be {wanted}"
    return Diagnostic("type", node.place, what, "the deployment refuses or drops it", cure)
