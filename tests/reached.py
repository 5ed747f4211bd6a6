"""The code of the runtime that a task reaches: read from the sources, since types cannot say it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

SRC = Path(__file__).parents[1] / "src"
TOOLS = ("mlops.platform", "mlops.context", "mlops.config", "mlops.contract")
"""What the stages call: nobody looks into these."""


def _file(module: str) -> Path:
    return (SRC / module.replace(".", "/")).with_suffix(".py")


@cache
def _module(name: str) -> tuple[dict[str, ast.AST], dict[str, str]]:
    """What a module defines, by name, and the full name of everything of ours that it imports."""
    defined: dict[str, ast.AST] = {}
    imported: dict[str, str] = {}
    for node in ast.parse(_file(name).read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            defined[node.name] = node
        elif isinstance(node, ast.Assign | ast.AnnAssign):  # a constant may hold functions
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            defined |= {target.id: node for target in targets if isinstance(target, ast.Name)}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("mlops"):
            imported |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    return defined, imported


def _named_in(module: str, node: ast.AST) -> Iterator[tuple[str, str]]:
    """Module and name of everything of ours that a piece of code names: what is named may be called."""
    defined, imported = _module(module)
    for part in ast.walk(node):
        if isinstance(part, ast.Name) and part.id in defined:
            yield module, part.id
        elif isinstance(part, ast.Name) and part.id in imported:
            owner, _, name = imported[part.id].rpartition(".")
            yield owner, name
        elif isinstance(part, ast.Attribute) and isinstance(part.value, ast.Name) and part.value.id in imported:
            yield imported[part.value.id], part.attr


@cache
def code_reached(task: str) -> tuple[ast.AST, ...]:
    """The definitions that a task reaches from its `run`, through the modules that jobs share, too."""
    seen: dict[tuple[str, str], ast.AST] = {}
    left = [(f"mlops.jobs.{task}", "run")]
    while left:
        module, name = left.pop()
        if (module, name) in seen or module.startswith(TOOLS) or not _file(module).is_file():
            continue
        if node := _module(module)[0].get(name):
            seen[module, name] = node
            left += _named_in(module, node)
    return tuple(seen.values())
