"""One cause, one message: what follows from another problem is left out."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Sequence

from laptop.bundle import BundleSource
from laptop.cli_keys import resource_kinds
from laptop.document import Diagnostic, Node
from laptop.normalize import Path

Wrong = tuple[Path, Diagnostic]


def drop_consequences(unresolved: Sequence[Diagnostic], known: Sequence[Wrong]) -> Iterator[Diagnostic]:
    """References that do not fail merely because the CLI drops the kind of resource that they name."""
    missing = find_missing_kinds(known)
    for problem in dict.fromkeys(unresolved):
        named = re.match(r"\$\{resources\.(\w+)", problem.summary)
        if not (problem.rule == "reference" and named and named[1] in missing):
            yield problem


def find_missing_kinds(known: Sequence[Wrong]) -> set[str]:
    """The kinds of resources whose key a file misspells, so that the CLI drops what stands under it."""
    dropped = [path[-1] for path, problem in known if problem.rule == "unknown" and path[-2:-1] == ("resources",)]
    return {near for kind in dropped if (near := _is_near(str(kind), resource_kinds()))}


def without_consequences(source: BundleSource, target: str, wrong: Sequence[Wrong]) -> list[Wrong]:
    """The problems of a resolved bundle; those of a resource whose key a target misspells become one."""
    kept: list[Wrong] = []
    misspelled = dict(_find_misspelled_keys(source, target))
    for path, problem in wrong:
        if path[:3] not in misspelled:
            kept.append((path, problem))
    return [*kept, *((path, problem) for path, problem in misspelled.items())]


def _find_misspelled_keys(source: BundleSource, target: str) -> Iterator[Wrong]:
    """Resources that only a target has, incomplete, and under a key that is near one of all targets."""
    resources = source.tree.get("targets", target, "resources")
    for kind, group in resources.items() if resources else ():
        base = source.tree.get("resources", kind)
        keys = [key for key, _ in base.items()] if base else []
        for key, node in group.items():
            if key not in keys and not _is_whole(kind, node) and (near := _is_near(key, keys)):
                what = f"{kind}.{key} is changed, and nothing declares it"
                why = "it would be one more resource, and not whole"
                yield ("resources", kind, key), Diagnostic("keys", node.place, what, why, f"did you mean {near!r}?")


def _is_whole(kind: str, node: Node) -> bool:
    return bool(node.get("tasks") if kind == "jobs" else node.get("name"))


def _is_near(name: str, known: Sequence[str]) -> str:
    return next(iter(difflib.get_close_matches(name, known, n=1)), "")
