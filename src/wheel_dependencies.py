"""Metadata hook of the wheel: it needs what `mlops` and `usecase` need, each listed once, in its own pyproject.toml."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

PACKAGES = ("mlops", "usecase")


class WheelDependencies(MetadataHookInterface):
    """Fills in `dependencies` of the root project."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Set the sorted requirements of both packages; called by hatchling with the project's table."""
        files = (Path(self.root, "src", package, "pyproject.toml") for package in PACKAGES)
        projects = (tomllib.loads(file.read_text())["project"] for file in files)
        metadata["dependencies"] = sorted({line for project in projects for line in project["dependencies"]})
