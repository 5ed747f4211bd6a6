"""Every fenced block of every page: commands are checked without running them, Python is run or compiled."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import inspect
import re
import subprocess
from pathlib import Path

import pytest
import yaml
from shown_commands import ROOT, check_command, read_blocks, read_commands

PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "AGENTS.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
    *(
        page
        for page in sorted((ROOT / "examples").rglob("README.md"))
        if not any(part.startswith(".") for part in page.relative_to(ROOT).parts)  # an environment holds other pages
    ),
]
LANGUAGES = {"console", "python", "yaml", "sql", "text", "mermaid"}
BROUGHT = {"dbutils", "spark", "questions", "USE_CASE"}
"""Names that a reader has to bring."""
HAS_FLIGHTS = (ROOT / "tests/usecase/flights").is_dir()
"""Whether the use case is still that of the pages; in a fork without it their Python is compiled only."""

IMPORTS = """
from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import Any
import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OrdinalEncoder
"""


def name_page(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", [page for page in PAGES if "```console" in page.read_text()], ids=name_page)
def test_every_command_could_run(page):
    text = page.read_text()
    targets = set(re.findall(r"^\s*(\w+):$", "\n".join(read_blocks(text, "yaml")), re.MULTILINE))
    for words in read_commands(text):
        check_command(words, targets)


def test_bash_reads_every_block_of_commands():
    for page in PAGES:
        code = "\n".join(read_blocks(page.read_text(), "console"))
        done = subprocess.run(["bash", "-n"], input=code, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{name_page(page)}: {done.stderr}"


def test_every_block_has_a_language_that_a_test_knows():
    used = {
        (name_page(page), language)
        for page in PAGES
        for language in re.findall(r"^ *```(\S*)\n.*?^ *```$", page.read_text(), re.MULTILINE | re.DOTALL)
    }
    assert {(page, language) for page, language in used if language not in LANGUAGES} == set()


@pytest.mark.parametrize("page", [page for page in PAGES if "```yaml" in page.read_text()], ids=name_page)
def test_yaml_is_read(page):
    for block in read_blocks(page.read_text(), "yaml"):
        assert list(yaml.parse(block))  # an alias may be of the file that the block goes into


@pytest.mark.parametrize("page", [page for page in PAGES if "```python" in page.read_text()], ids=name_page)
def test_python_is_run_or_compiled(page):
    """Blocks that need a workspace, a stream or the reader's own model are compiled, and their arguments checked."""
    names = _names_of_a_use_case()
    for block in read_blocks(page.read_text(), "python"):
        code = ast.parse(block)
        if HAS_FLIGHTS and not {node.id for node in ast.walk(code) if isinstance(node, ast.Name)} & BROUGHT:
            exec(compile(code, name_page(page), "exec", dont_inherit=True), names)  # noqa: S102
        for call in ast.walk(code):
            made = names.get(call.func.id) if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) else None
            if dataclasses.is_dataclass(made):
                given = {keyword.arg: None for keyword in call.keywords if keyword.arg}
                inspect.signature(made).bind_partial(**given)


def _names_of_a_use_case() -> dict[str, object]:
    """What the modules of a use case import."""
    names: dict[str, object] = {"__file__": str(ROOT / "src/usecase/sample.py"), "__name__": "shown"}
    for module in ("contract", "contract.data"):
        names |= vars(importlib.import_module(f"mlops.{module}"))
    for module in ("features", "model", "policy", "sources"):
        names |= vars(importlib.import_module(f"usecase.{module}"))
    exec(IMPORTS, names)  # noqa: S102
    return names
