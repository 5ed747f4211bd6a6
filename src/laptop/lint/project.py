"""Facts about the code that the linter checks, read from its text: the laptop imports neither mlops nor usecase."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from laptop.document import Diagnostic, Location, suggest_name
from laptop.includes import read_laptop
from laptop.settings import LaptopSettings

SETTER = "set_task_value"
"""The function whose first argument, or `key`, names a task value; so does taskValues.set."""

_WHOLE_NUMBER = r"[+-]?[0-9]+(_[0-9]+)*(\.0+)?"
"""Pattern of texts that pydantic accepts as whole numbers."""


@dataclass(frozen=True)
class Parameter:
    """One field of a job's configuration."""

    required: bool
    allowed: frozenset[str]
    """The values that it may have; empty for any."""
    form: str | None = None
    """Regular expression that every value contains; None: any text."""
    least: int | None = None
    most: int | None = None

    def explain_refusal(self, value: str) -> str | None:
        """Say how to correct a value that the configuration refuses; None: it is accepted, or only a run knows it."""
        if value == "" or "{{" in value or "${" in value:
            return None
        if self.allowed and value not in self.allowed:
            return suggest_name(value, self.allowed)
        if self.form == _WHOLE_NUMBER and not _is_between(value, self.least, self.most):
            limits = [
                f"{word} {limit}" for word, limit in (("from", self.least), ("to", self.most)) if limit is not None
            ]
            return " ".join(["write a whole number", *limits])
        if self.form and not re.search(self.form, value):
            return f"write a value of the form {self.form}"
        return None


def _is_between(value: str, least: int | None, most: int | None) -> bool:
    if not re.fullmatch(_WHOLE_NUMBER, value.strip()):
        return False
    number = int(value.partition(".")[0])
    return (least is None or number >= least) and (most is None or number <= most)


@dataclass(frozen=True)
class Project:
    """pyproject.toml and the sources that it packs into the wheel."""

    root: Path

    @cached_property
    def settings(self) -> LaptopSettings:
        """The settings in laptop.yml beside it."""
        return LaptopSettings(read_laptop(self.root, []))

    @cached_property
    def _read_pyproject(self) -> tuple[dict[str, Any], Diagnostic | None]:
        file = Path("pyproject.toml")
        try:
            return tomllib.loads(self._text(file)), None
        except (tomllib.TOMLDecodeError, RecursionError) as error:
            what, why = f"{file} cannot be read: {error}", "it says what the wheel holds"
            return {}, Diagnostic("project", Location(file, 1), what, why, "mend the syntax")

    @property
    def pyproject(self) -> dict[str, Any]:
        """The file; empty if there is none."""
        return self._read_pyproject[0]

    @property
    def problems(self) -> tuple[Diagnostic, ...]:
        """Problems: the file cannot be read, or the named module of configurations does not exist."""
        return tuple(filter(None, (self._read_pyproject[1], self._check_configurations())))

    def _check_configurations(self) -> Diagnostic | None:
        module = self.settings.configurations
        if not module or module in self.modules:
            return None
        what = f"configurations is {module!r}, and {self.file(module)} cannot be read"
        why = "no job is held against the parameters that its code takes"
        return Diagnostic("project", self.settings.tree.locate("configurations"), what, why, "name the module")

    def _table(self, *path: str) -> dict[str, Any]:
        """A table of pyproject.toml; empty if it is none."""
        table: Any = self.pyproject
        for step in path:
            table = table.get(step) if isinstance(table, dict) else None
        return table if isinstance(table, dict) else {}

    def _text(self, file: Path) -> str:
        """A file's text; empty if there is none."""
        try:
            return (self.root / file).read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""

    @cached_property
    def name(self) -> str:
        """Name of the distribution, empty if there is no project."""
        return str(self._table("project").get("name", ""))

    @cached_property
    def lock_versions(self) -> dict[str, str]:
        """The version of each package in uv.lock; empty if there is none."""
        text = self._text(Path("uv.lock"))
        return dict(re.findall(r'^name = "(.+)"\nversion = "(.+)"$', text, re.MULTILINE))

    @cached_property
    def entry_points(self) -> dict[str, str]:
        """The commands of the wheel, as `module:function`."""
        return {name: str(target) for name, target in self._table("project", "scripts").items()}

    def place(self, start: str, file: Path = Path("pyproject.toml")) -> Location:
        """The first line of a file that begins so, else its first line."""
        lines = self._text(file).splitlines()
        return Location(file, next((number for number, line in enumerate(lines, 1) if line.startswith(start)), 1))

    @cached_property
    def modules(self) -> dict[str, ast.Module]:
        """The syntax trees of the modules that entry points name, and of the configuration, as far as they parse."""
        wanted = {target.partition(":")[0] for target in self.entry_points.values()} | {self.settings.configurations}
        trees = {name: _parse_module(self.root / self.file(name)) for name in wanted - {""}}
        return {name: tree for name, tree in trees.items() if tree}

    def file(self, module: str) -> Path:
        """Where the source of a module is, as far as pyproject.toml says."""
        packages = self._table("tool", "hatch", "build", "targets", "wheel").get("packages", ())
        folders = {Path(package).name: Path(package).parent for package in packages if isinstance(package, str)}
        return Path(folders.get(module.partition(".")[0], "src"), *module.split(".")).with_suffix(".py")

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
        """The string constants in the module of each entry point, for those whose module can be read."""
        return {name: frozenset(_texts(tree)) for name, tree in self._entry_modules.items()}

    @cached_property
    def configs(self) -> dict[str, dict[str, Parameter]] | None:
        """For each job its parameters, by name; None if there is no module of configurations."""
        return (
            _read_configs(self.modules[self.settings.configurations])
            if self.settings.configurations in self.modules
            else None
        )


def _parse_module(file: Path) -> ast.Module | None:
    try:
        return ast.parse(file.read_text(encoding="utf-8"))
    except (OSError, SyntaxError, ValueError, RecursionError):
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


def _read_configs(tree: ast.Module) -> dict[str, dict[str, Parameter]]:
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    named = {
        ast.unparse(node.target): node.value for node in tree.body if isinstance(node, ast.AnnAssign) and node.value
    }
    named |= {ast.unparse(node.targets[0]): node.value for node in tree.body if isinstance(node, ast.Assign)}
    listed = named.get("CONFIGS")
    if not isinstance(listed, ast.Dict):
        return {}
    pairs = zip(listed.keys, listed.values, strict=True)
    return {ast.literal_eval(key): _read_parameters(ast.unparse(cls), classes, named) for key, cls in pairs if key}


def _read_parameters(name: str, classes: dict[str, ast.ClassDef], named: dict[str, ast.expr]) -> dict[str, Parameter]:
    """The fields of a class and of its bases in that module, by name or alias."""
    parameters: dict[str, Parameter] = {}
    for base in classes[name].bases if name in classes else ():
        parameters |= _read_parameters(ast.unparse(base), classes, named)
    for node in classes[name].body if name in classes else ():
        if isinstance(node, ast.AnnAssign):
            options = {word.arg: word.value for word in _field_options(node)}
            alias = options.get("alias")
            label = ast.literal_eval(alias) if alias else ast.unparse(node.target)
            required = node.value is None and not {"default", "default_factory"} & options.keys()
            parameters[label] = replace(_read_type(node.annotation, named), required=required)
    return parameters


def _read_type(annotation: ast.expr, named: dict[str, ast.expr]) -> Parameter:
    """Read the allowed values from a type: a list of words, a text pattern, or a whole number with limits."""
    parts = list(_expand(annotation, named))
    options = {
        (ast.unparse(part.func), word.arg): word.value
        for part in parts
        if isinstance(part, ast.Call)
        for word in part.keywords
    }
    pattern = options.get(("StringConstraints", "pattern"))
    is_whole = any(isinstance(part, ast.Name) and part.id == "int" for part in parts)
    form = _WHOLE_NUMBER if is_whole else _read_text(pattern, named) if pattern else None
    least, most = (ast.literal_eval(limit) if (limit := options.get(("Field", key))) else None for key in ("ge", "le"))
    words = frozenset(word for part in parts for word in _literal_values(part))
    return Parameter(required=True, allowed=words, form=form, least=least, most=most)


def _expand(annotation: ast.expr, named: dict[str, ast.expr]) -> Iterator[ast.AST]:
    """Yield every node of an annotation, and of the types in the same module that it names."""
    for node in ast.walk(annotation):
        yield node
        if isinstance(node, ast.Name) and node.id in named:
            yield from _expand(named[node.id], {name: value for name, value in named.items() if name != node.id})


def _read_text(node: ast.expr, named: dict[str, ast.expr]) -> str | None:
    """Return the text of a constant, or of an f-string of the module's constants; None if it must be run."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.Name(id=name) if name in named:
            return _read_text(named[name], {})
        case ast.JoinedStr(values=values):
            texts = [_read_text(part.value if isinstance(part, ast.FormattedValue) else part, named) for part in values]
            return None if None in texts else "".join(filter(None, texts))
        case _:
            return None


def _field_options(node: ast.AnnAssign) -> list[ast.keyword]:
    calls = [call for call in ast.walk(node) if isinstance(call, ast.Call) and ast.unparse(call.func) == "Field"]
    return [word for call in calls for word in call.keywords]


def _literal_values(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Subscript) and ast.unparse(node.value) == "Literal":
        yield from _texts(node.slice)
