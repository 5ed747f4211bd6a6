"""Finds the files of the bundle: those that `include` names, as the CLI finds them, and laptop.yml."""

from __future__ import annotations

import os
from pathlib import Path

from laptop.document import Diagnostic, Location, Node, describe_kind, suggest_name
from laptop.go_glob import BadPatternError, find_files
from laptop.yaml_loader import parse_yaml

LAPTOP = Path("laptop.yml")
"""Settings that only a laptop needs; the CLI does not read this file."""
LAPTOP_KEYS = ("variables", "house_rules", "configurations", "repeatable", "tables", "check", "demo", "serve", "docs")
ROOTS = ("databricks.yml", "databricks.yaml", "bundle.yml", "bundle.yaml")
"""Names of the root file; the CLI never includes them."""
ENDINGS = (".yml", ".yaml", ".json")


def find_root(start: Path) -> Path | None:
    """The bundle's folder: the nearest one, from `start` up, that has a root file; None if there is none."""
    folders = (start, *start.parents)
    return next((folder for folder in folders if any((folder / name).is_file() for name in ROOTS)), None)


def root_file(root: Path) -> Path:
    """The root file of a bundle, relative to its folder."""
    return next((Path(name) for name in ROOTS if (root / name).is_file()), Path(ROOTS[0]))


def list_included_files(root: Path, main: Node, problems: list[Diagnostic]) -> list[Path]:
    """List the files that the root file includes, each once and in the CLI's order.

    Args:
        root: folder of the bundle.
        main: the tree of its root file.
        problems: where to note what the CLI refuses.
    """
    names: dict[str, None] = {}
    include = main.get("include")
    if odd := set("*?[]^") & set(str(root.absolute())):
        what, why = f"the folder of the bundle has {' '.join(sorted(odd))} in its path", "the CLI reads it as a pattern"
        problems.append(Diagnostic("include", main.place, what, why, "rename the folder"))
    for entry in include.value if include and isinstance(include.value, list) else []:
        names |= dict.fromkeys(_matches(root, entry, problems))
    return [Path(name) for name in names if name not in ROOTS]


def _matches(root: Path, entry: Node, problems: list[Diagnostic]) -> list[str]:
    def refuse(what: str, why: str, cure: str) -> list[str]:
        problems.append(Diagnostic("include", entry.place, what, why, cure))
        return []

    pattern = entry.value
    if not isinstance(pattern, str | int | float) or str(pattern).startswith("/"):
        cure = "write a path relative to databricks.yml"
        return refuse(f"include cannot be {describe_kind(entry)}", "the CLI reads files by relative paths", cure)
    try:
        # As the CLI names files, relative to the bundle: the root file is never included, whatever leads to it.
        names = [os.path.relpath(root / name, root) for name in find_files(root, str(pattern))]
    except BadPatternError:
        return refuse(f"include {pattern!r} is no pattern", "the CLI stops at it", "close its brackets")
    unreadable = [name for name in names if not name.endswith(ENDINGS) and name not in ROOTS]
    if unreadable:
        what = f"include {pattern!r} matches {unreadable[0]!r}"
        return refuse(what, "the CLI includes YAML and JSON files only", "end the pattern in .yml")
    if not names and not set("*?[") & set(str(pattern)):
        why = "what it should bring is missing"
        return refuse(f"include {pattern!r} matches no file", why, "mend the path or remove it")
    return names


def read_laptop(root: Path, problems: list[Diagnostic]) -> Node:
    """Read laptop.yml as a tree; empty if there is no such file.

    Args:
        root: folder of the bundle.
        problems: receives the problems of the file.
    """
    if not (root / LAPTOP).exists():
        return Node({}, Location(LAPTOP, 1))
    node, file_problems = parse_yaml(root, LAPTOP)
    problems += file_problems
    for key, child in node.items():
        if key not in LAPTOP_KEYS:
            what, why = f"{LAPTOP} has no key {key!r}", "nothing reads it"
            problems.append(Diagnostic("unknown", child.place, what, why, suggest_name(key, LAPTOP_KEYS)))
    return node
