"""Rules about files that the bundle names: the CLI checks that they exist, and whether they are notebooks.

A path is relative to the file in which it is written. The CLI takes absolute paths and paths with a scheme for files of
the workspace. In a job with `git_source` it takes all paths for files of that repository.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from laptop.document import Diagnostic, Node
from laptop.go_glob import BadPatternError, find_files
from laptop.lint.model import LintTarget, Rule, list_items, text_at
from laptop.resolution import REFERENCE

NOTEBOOK, FILE, FOLDER, ARTIFACT = "notebook", "file", "folder", "artifact"
PATTERN, REQUIREMENTS, ANY = "pattern", "requirements", "any"
TASK_PATHS = {
    "notebook_task.notebook_path": NOTEBOOK,
    "spark_python_task.python_file": FILE,
    "dbt_task.project_directory": FOLDER,
    "sql_task.file.path": FILE,
    "alert_task.workspace_path": FILE,
    "libraries.*.requirements": FILE,
    "ai_runtime_task.deployments.*.command_path": FILE,
}
RESOURCE_PATHS = {
    "jobs": {"environments.*.spec.dependencies.*": REQUIREMENTS},
    "pipelines": {
        "libraries.*.notebook.path": NOTEBOOK,
        "libraries.*.file.path": FILE,
        "libraries.*.glob.include": PATTERN,
        "root_path": FOLDER,
        "environment.dependencies.*": REQUIREMENTS,
    },
    "apps": {"source_code_path": FOLDER},
    "dashboards": {"file_path": ANY},
    "genie_spaces": {"file_path": ANY},
    "alerts": {"file_path": ANY},
}
"""Where paths are written; `*` stands for each key or item."""
PIP_FLAG = re.compile(r"-[re] ")
"""Option before a requirements file in the dependencies of an environment."""
HEADS = {".py": "#", ".r": "#", ".scala": "//", ".sql": "--"}
"""Comment sign by file ending, for notebooks in source format."""
ENDINGS = (".py", ".ipynb", ".sql", ".scala", ".r", ".R")


def check_named_files(view: LintTarget) -> Iterator[Diagnostic]:
    """A file that a resource names exists, is of the right kind, and is deployed."""
    root = view.source.root.absolute()
    folders = _sync_folders(view)
    top = Path(os.path.commonpath([root, *(folders or ())]))
    for node, path, kind in _paths(view):
        if not path or path.startswith("/") or re.match(r"[A-Za-z][A-Za-z0-9+.-]*:", path) or REFERENCE.search(path):
            continue
        file = Path(os.path.normpath(root / node.place.file.parent / path))
        inside = kind == ARTIFACT or file.is_relative_to(top)
        wrong = _wrong_file(file, kind, path) if inside else _wrong_place(top, path)
        if wrong:
            yield Diagnostic("file", node.place, wrong[0], "the deployment stops", wrong[1])
        elif (
            kind in {NOTEBOOK, FILE, FOLDER}
            and folders is not None
            and not any(file.is_relative_to(folder) for folder in folders)
        ):
            what = f"{path!r} lies in no folder of sync.paths"
            yield Diagnostic("file", node.place, what, "it is not uploaded, and the task fails", "add its folder there")


def _paths(view: LintTarget) -> Iterator[tuple[Node, str, str]]:
    """Yield every path: its node, its text, and the kind of file that it must name."""
    jobs = [job for job in view.jobs.values() if not job.node.get("git_source")]
    trees = [(task.node, TASK_PATHS) for job in jobs for task in job.tasks]
    trees += [(job.node, RESOURCE_PATHS["jobs"]) for job in jobs]
    trees += [
        (item, paths) for kind, paths in RESOURCE_PATHS.items() if kind != "jobs" for _, item in view.resources(kind)
    ]
    artifacts = view.tree.get("artifacts")
    trees += [(item, {"path": ARTIFACT}) for _, item in (artifacts.items() if artifacts else ())]
    for tree, patterns in trees:
        for pattern, kind in patterns.items():
            for node in _nodes_at(tree, pattern.split(".")):
                path = text_at(node)
                if kind != REQUIREMENTS:
                    expanded = (
                        _expand(view, node) if pattern.startswith("libraries.*.") and kind in {NOTEBOOK, FILE} else []
                    )
                    yield from ((node, name, kind) for name in expanded or [path])
                elif flag := PIP_FLAG.match(path):
                    yield node, path[flag.end() :].strip(), FILE


def _nodes_at(node: Node, pattern: Sequence[str]) -> Iterator[Node]:
    if not pattern:
        yield node
        return
    child = node.get(pattern[0])
    items = node.value if isinstance(node.value, list) else []
    for below in items if pattern[0] == "*" else [child] if child else []:
        yield from _nodes_at(below, pattern[1:])


def _expand(view: LintTarget, node: Node) -> list[str]:
    """List the files that match the pattern of a pipeline's library, as the CLI expands it."""
    try:
        return find_files(view.source.root.absolute() / node.place.file.parent, text_at(node))
    except BadPatternError:
        return []


def _sync_folders(view: LintTarget) -> list[str] | None:
    """List the folders that `sync.paths` uploads; None, without the list: everything; empty: nothing."""
    paths = view.tree.get("sync", "paths")
    if not paths or not isinstance(paths.value, list):
        return None
    return [os.path.normpath(_resolve_sync_path(view, node)) for node in paths.value]


def _resolve_sync_path(view: LintTarget, node: Node) -> str:
    """Return a path of `sync`, which is relative to its file even if it begins with a slash."""
    return f"{view.source.root.absolute() / node.place.file.parent}/{text_at(node)}"


def _wrong_place(root: Path, path: str) -> tuple[str, str]:
    what = f"{path!r} lies outside of {root.name}/"
    return what, "the CLI deploys what lies below it: move the file, or add sync.paths"


def _wrong_file(file: Path, kind: str, path: str) -> tuple[str, str] | None:
    """Return what is wrong with a file and the fix; None if nothing is."""
    if kind == PATTERN:
        return None
    if kind in {FOLDER, ARTIFACT}:
        return None if file.is_dir() else (f"there is no folder {path!r}", "mend the path")
    if not file.is_file():
        longer = [path + ending for ending in ENDINGS if file.with_name(file.name + ending).is_file()]
        return f"there is no file {path!r}", f"write {longer[0]}" if longer else "mend the path"
    notebook = is_notebook(file)
    if kind == NOTEBOOK and not notebook:
        head = HEADS.get(file.suffix.lower())
        cure = f"begin it with `{head} Databricks notebook source`" if head else "save it as a notebook"
        return f"{path!r} is no notebook", cure
    if kind == FILE and notebook:
        return f"{path!r} is a notebook and has to be another file", "use notebook_task, or remove its first line"
    return None


def is_notebook(file: Path) -> bool:
    """Whether the CLI takes a file for a notebook, by its first line or as JSON with cells."""
    try:
        if file.suffix.lower() == ".ipynb":
            document = json.loads(file.read_text(encoding="utf-8"))
            return (
                isinstance(document, dict)
                and {"cells", "metadata"} <= document.keys()
                and document.get("nbformat", 0) >= 4
            )
        head = HEADS.get(file.suffix.lower())
        with file.open("rb") as stream:
            first = stream.read(32).splitlines()[:1]
    except (OSError, ValueError, TypeError, RecursionError):
        return False
    return bool(head) and first == [f"{head} Databricks notebook source".encode()]


def check_sync_patterns(view: LintTarget) -> Iterator[Diagnostic]:
    """Every path of `sync` exists, and every pattern matches a file."""
    for node in list_items(sync, "paths") if (sync := view.tree.get("sync")) else ():
        if not Path(_resolve_sync_path(view, node)).exists():
            what = f"there is no folder {text_at(node)!r}"
            yield Diagnostic("sync", node.place, what, "the deployment stops", "mend the path or remove it")
    for key in ("include", "exclude"):
        sync = view.tree.get("sync")
        for node in list_items(sync, key) if sync else ():
            pattern = os.path.normpath(node.place.file.parent / text_at(node).removeprefix("!"))
            if not _matches_some(view.source.root, pattern):
                what = f"sync.{key} {text_at(node)!r} matches no file"
                yield Diagnostic("sync", node.place, what, "it changes nothing", "mend the pattern or remove it")


def _matches_some(root: Path, pattern: str) -> bool:
    """Whether a pattern with the syntax of .gitignore matches a file below a folder."""
    anchored = pattern.startswith("/") or re.search(r"[^/]/.*\*\.", pattern)
    steps = re.split(r"(\*\*/?|\*)", pattern.lstrip("/"))
    regex = "".join({"**": ".*", "**/": "(?:.*/)?", "*": "[^/]*"}.get(step) or re.escape(step) for step in steps)
    whole = re.compile(f"{'' if anchored else '(?:.*/)?'}{regex}(?:/.*)?")
    if (root / pattern).is_file():
        return True
    start = pattern.partition("*")[0].rpartition("/")[0] if anchored else ""
    for folder, below, names in os.walk(root / start):
        below[:] = [name for name in below if name not in {".git", ".venv", "node_modules", "__pycache__"}]
        if any(whole.fullmatch(Path(folder, name).relative_to(root).as_posix()) for name in names):
            return True
    return False


RULES: tuple[Rule, ...] = (check_named_files, check_sync_patterns)
