"""Metadata hook of the wheel: it needs what each of its packages needs, listed once, in its own pyproject.toml."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface


class WheelDependencies(MetadataHookInterface):
    """Fills in `dependencies` of the root project."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Set the sorted requirements of the wheel's packages; called by hatchling with the project's table."""
        project = tomllib.loads(Path(self.root, "pyproject.toml").read_text())
        packages = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
        files = (Path(self.root, package, "pyproject.toml") for package in packages)
        projects = (tomllib.loads(file.read_text())["project"] for file in files)
        metadata["dependencies"] = sorted({line for project in projects for line in project["dependencies"]})
