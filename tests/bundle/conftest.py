"""The bundle as it is committed, and copies of it that a test may break."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from laptop.bundle import BundleSource, read_source
from laptop.lint.project import Project

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def source() -> BundleSource:
    return read_source(ROOT)


@pytest.fixture(scope="session")
def project() -> Project:
    return Project(ROOT)


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """All that the linter reads, copied."""
    for folder in ("resources", "src/mlops/jobs"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for file in ("databricks.yml", "laptop.yml", "pyproject.toml", "uv.lock", "src/mlops/config.py"):
        shutil.copy(ROOT / file, tmp_path / file)
    return tmp_path


@pytest.fixture
def written(tmp_path: Path) -> Callable[..., Path]:
    """Write a bundle of the test's own: the text of databricks.yml, then other files by path."""

    def write(text: str, files: dict[str, str] | None = None) -> Path:
        for path, content in {"databricks.yml": text, **(files or {})}.items():
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).write_text(content)
        return tmp_path

    return write
