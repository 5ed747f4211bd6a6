"""Tests that a page names as `tests/FILE.py::FUNCTION`: whether pytest would collect each of them."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from mlops_cli.adopt import FLIGHTS

ROOT = Path(__file__).parents[1]


def list_named_tests(text: str) -> list[tuple[str, str]]:
    """File and function of every test that a text names."""
    return re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", text)


def find_missing_tests(text: str) -> list[str]:
    """The named tests that pytest would not collect: no such file of tests, or no such function in it."""
    functions: dict[str, set[str]] = {}
    for file, _ in list_named_tests(text):
        path = ROOT / file
        if path.exists():
            body = ast.parse(path.read_text()).body
            functions[file] = {node.name for node in body if isinstance(node, ast.FunctionDef)}
    return [
        f"{file}::{name}"
        for file, name in list_named_tests(text)
        # `mlops adopt --empty` takes the flights' own tests away, and the pages stay.
        if not (file.startswith(FLIGHTS) and not (ROOT / file).exists())
        and not (
            Path(file).name.startswith("test_") and name.startswith("test_") and name in functions.get(file, set())
        )
    ]
