"""What the linter has to know of the code: read as text, since the laptop imports neither mlops nor usecase."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from laptop.document import Place

CONFIG = "mlops.config"
"""The module with one class per job, and CONFIGS from job to class."""
CONFIG_FILE = Path("src/mlops/config.py")
SETTER = "set_task_value"
"""The function whose first argument, or `key`, names a task value; so does taskValues.set."""


@dataclass(frozen=True)
class Parameter:
    """One field of a job's configuration."""

    required: bool
    allowed: frozenset[str]
    """The values that it may have; empty for any."""


@dataclass(frozen=True)
class Project:
    """pyproject.toml and the sources that it packs into the wheel."""

    root: Path

    @cached_property
    def pyproject(self) -> dict[str, Any]:
        """The file; empty if there is none."""
        file = self.root / "pyproject.toml"
        return tomllib.loads(file.read_text(encoding="utf-8")) if file.exists() else {}

    @cached_property
    def name(self) -> str:
        """Name of the distribution, empty if there is no project."""
        return str(self.pyproject.get("project", {}).get("name", ""))

    @cached_property
    def locked(self) -> dict[str, str]:
        """The version of each package in uv.lock; empty if there is none."""
        file = self.root / "uv.lock"
        text = file.read_text(encoding="utf-8") if file.exists() else ""
        return dict(re.findall(r'^name = "(.+)"\nversion = "(.+)"$', text, re.MULTILINE))

    @cached_property
    def entry_points(self) -> dict[str, str]:
        """The commands of the wheel, as `module:function`."""
        return dict(self.pyproject.get("project", {}).get("scripts", {}))

    def place(self, start: str, file: Path = Path("pyproject.toml")) -> Place:
        """The first line of a file that begins so, else its first line."""
        lines = (self.root / file).read_text(encoding="utf-8").splitlines()
        return Place(file, next((number for number, line in enumerate(lines, 1) if line.startswith(start)), 1))

    @cached_property
    def modules(self) -> dict[str, ast.Module]:
        """The syntax trees of the modules that entry points name, and of the configuration, as far as they parse."""
        packed = self.pyproject.get("tool", {}).get("hatch", {}).get("build", {}).get("targets", {}).get("wheel", {})
        folders = {Path(package).name: Path(package).parent for package in packed.get("packages", ())}
        wanted = {CONFIG, *(target.partition(":")[0] for target in self.entry_points.values())}
        files = {name: Path(folders.get(name.partition(".")[0], "src"), *name.split(".")) for name in wanted}
        found = {name: _parsed(self.root / file.with_suffix(".py")) for name, file in files.items()}
        return {name: tree for name, tree in found.items() if tree}

    @cached_property
    def _entry_modules(self) -> dict[str, ast.Module]:
        modules = {name: target.partition(":")[0] for name, target in self.entry_points.items()}
        return {name: self.modules[module] for name, module in modules.items() if module in self.modules}

    @cached_property
    def task_values(self) -> dict[str, frozenset[str]]:
        """The keys that each entry point sets, for those whose module can be read."""
        return {name: frozenset(_set_keys(tree)) for name, tree in self._entry_modules.items()}

    @cached_property
    def constants(self) -> dict[str, frozenset[str]]:
        """The texts that stand in the module of each entry point, for those whose module can be read."""
        return {name: frozenset(_texts(tree)) for name, tree in self._entry_modules.items()}

    @cached_property
    def configs(self) -> dict[str, dict[str, Parameter]] | None:
        """For each job its parameters, by name; None if there is no module of configurations."""
        return _configs(self.modules[CONFIG]) if CONFIG in self.modules else None


def _parsed(file: Path) -> ast.Module | None:
    try:
        return ast.parse(file.read_text(encoding="utf-8"))
    except (OSError, SyntaxError):
        return None


def _set_keys(tree: ast.Module) -> Iterator[str]:
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        name = ast.unparse(call.func)
        if name.rpartition(".")[2] == SETTER or name.endswith("taskValues.set"):
            keys = [*call.args[:1], *(keyword.value for keyword in call.keywords if keyword.arg == "key")]
            yield from (str(key.value) for key in keys if isinstance(key, ast.Constant))


def _texts(tree: ast.AST) -> Iterator[str]:
    constants = (node.value for node in ast.walk(tree) if isinstance(node, ast.Constant))
    yield from (value for value in constants if isinstance(value, str))


def _configs(tree: ast.Module) -> dict[str, dict[str, Parameter]]:
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    named = {ast.unparse(node.target): node.value for node in tree.body if isinstance(node, ast.AnnAssign)}
    listed = named.get("CONFIGS")
    if not isinstance(listed, ast.Dict):
        return {}
    pairs = zip(listed.keys, listed.values, strict=True)
    return {ast.literal_eval(key): _parameters(ast.unparse(cls), classes) for key, cls in pairs if key}


def _parameters(name: str, classes: dict[str, ast.ClassDef]) -> dict[str, Parameter]:
    """The fields of a class and of its bases in that module, by name or alias."""
    found: dict[str, Parameter] = {}
    for base in classes[name].bases if name in classes else ():
        found |= _parameters(ast.unparse(base), classes)
    for node in classes[name].body if name in classes else ():
        if isinstance(node, ast.AnnAssign):
            options = {keyword.arg: keyword.value for keyword in _field_options(node)}
            alias = options.get("alias")
            label = ast.literal_eval(alias) if alias else ast.unparse(node.target)
            required = node.value is None and not {"default", "default_factory"} & options.keys()
            found[label] = Parameter(required, frozenset(_literals(node.annotation)))
    return found


def _field_options(node: ast.AnnAssign) -> list[ast.keyword]:
    calls = [call for call in ast.walk(node) if isinstance(call, ast.Call) and ast.unparse(call.func) == "Field"]
    return [keyword for call in calls for keyword in call.keywords]


def _literals(annotation: ast.expr) -> Iterator[str]:
    for node in ast.walk(annotation):
        if isinstance(node, ast.Subscript) and ast.unparse(node.value) == "Literal":
            yield from _texts(node.slice)
