"""Runs a notebook of a workspace on this machine, with its widgets and its `display`.

(Rejected: a Jupyter kernel: five more packages, and a process that knows neither task values nor the session.)
"""

from __future__ import annotations
import __future__

import shlex
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click

from laptop import runtime
from laptop.home import LaptopError
from laptop.notebook_cells import Cell, read_cells
from laptop.sql_text import bind_parameters, split_statements

_FUTURE = sum(getattr(__future__, name).compiler_flag for name in __future__.all_feature_names)
_NO_EFFECT = {"md", "html", "load_ext", "reload_ext", "autoreload", "matplotlib", "config"}
"""Magic commands that do not change the results of a notebook; they are skipped."""


class NotebookExit(BaseException):
    """Raised by `dbutils.notebook.exit`. Not an Exception, so that no cell catches it as an error."""


@dataclass
class Widgets:
    """`dbutils.widgets` with values that were given before the start."""

    given: dict[str, str]
    person: bool = False
    """Whether a person started the notebook: the error about a missing value then suggests `-p`."""
    _defaults: dict[str, str] = field(default_factory=dict)

    def text(self, name: str, defaultValue: str, label: str = "") -> None:  # noqa: N803, ARG002 - Databricks' signature
        """Declare a widget."""
        self._defaults[name] = defaultValue

    def dropdown(self, name: str, defaultValue: str, choices: object, label: str = "") -> None:  # noqa: N803, ARG002
        """Declare a widget with a list of choices."""
        self._defaults[name] = defaultValue

    combobox = multiselect = dropdown

    def get(self, name: str) -> str:
        """Return the given value of a widget, else its default.

        Raises:
            LaptopError: it has neither.
        """
        value = self.given[name] if self.given.get(name) else self._defaults.get(name, self.given.get(name))
        if value is None or (self.person and not value):
            cure = f"give -p {name}=..." if self.person else f"add {name} to base_parameters or to the job's parameters"
            raise LaptopError(f"the notebook asks for {name}, which the target does not know: {cure}")
        return value

    def getAll(self) -> dict[str, str]:  # noqa: N802 - Databricks' name
        """Every value."""
        return {name: self.get(name) for name in {*self._defaults, *self.given}}

    def list_values(self) -> dict[str, str]:
        """Return all values that are set, for SQL, which names a widget as `:name`."""
        return {**self._defaults, **{name: value for name, value in self.given.items() if value}}

    def remove(self, name: str) -> None:
        """Forget a widget."""
        self._defaults.pop(name, None)

    def removeAll(self) -> None:  # noqa: N802 - Databricks' name
        """Forget all widgets."""
        self._defaults.clear()


class _Utilities(SimpleNamespace):
    """`dbutils` of a notebook. An attribute that a laptop lacks raises an error that says so."""

    def __getattr__(self, name: str) -> Any:
        have = ", ".join(f"dbutils.{known}" for known in vars(self))
        raise LaptopError(f"dbutils.{name} is not on a laptop, which has {have}; keep it out of what the job runs")


def run_notebook(
    notebook: Path, widgets: Widgets, pictures: Path, *, session: Any = None, skip_pip: bool = False
) -> str | None:
    """Run a notebook from top to bottom.

    Args:
        notebook: file in Databricks' source format, or Jupyter's.
        widgets: the widgets, with the values that the notebook needs.
        pictures: folder for the displayed figures, as PNG; created if needed.
        session: Spark session, the notebook's variable `spark`.
        skip_pip: skip `%pip`, for a person whose environment has the packages.

    Returns:
        The argument of `dbutils.notebook.exit`; None if it ran to its end.

    Raises:
        LaptopError: the file is no notebook, needs a value that is not given, or raised; names place and error.
    """
    run = _NotebookRun(widgets, pictures, session, skip_pip=skip_pip)
    try:
        run.run_file(notebook)
    except NotebookExit as end:
        return str(end)
    return None


class _NotebookRun:
    """One run of a notebook, with its namespace."""

    def __init__(self, widgets: Widgets, pictures: Path, session: Any, *, skip_pip: bool) -> None:
        self._widgets, self._pictures, self._session, self._skip_pip = widgets, pictures, session, skip_pip
        self._shown, self._flags, self._files = 0, 0, [Path()]
        dbutils = _Utilities(
            widgets=widgets,
            notebook=SimpleNamespace(exit=_exit_notebook, run=self._run_other),
            jobs=runtime.dbutils.jobs,
            library=SimpleNamespace(restartPython=lambda: None),
        )
        self._names = {"__name__": "__main__", "display": self._display, "dbutils": dbutils}
        if session is not None:
            self._names |= {"spark": session, "sql": session.sql}

    def run_file(self, file: Path) -> None:
        """Run the cells of a file in this namespace."""
        self._files.append(file)
        for cell in read_cells(file):
            try:
                self._run_cell(cell)
            except LaptopError:
                raise
            except Exception as error:
                raise LaptopError(f"{_locate_error(error, cell)}: {describe_exception(error)}") from error
        self._files.pop()

    def _run_cell(self, cell: Cell) -> None:
        match cell.kind:
            case "python":
                padded = "\n" * (cell.line - 1) + cell.text
                code = compile(padded, cell.name, "exec", self._flags, dont_inherit=True)
                self._flags |= code.co_flags & _FUTURE
                exec(code, self._names)  # noqa: S102 - the user's own notebook, as they asked
            case "sql" if self._session is not None:
                for statement in split_statements(cell.text):
                    bound = bind_parameters(statement, self._widgets.list_values())
                    self._names["_sqldf"] = frame = self._session.sql(bound)
                    self._display(frame)
            case "run":
                words = shlex.split(cell.text)
                self._widgets.given |= dict(_parse_argument(word, cell) for word in words[1:])
                self.run_file(_find_notebook(self._files[-1].parent, words[0] if words else ""))
            case "pip" if self._skip_pip:
                pass
            case kind if kind not in _NO_EFFECT:
                cures = {"pip": "add the package to pyproject.toml and run `uv sync`", "sql": "run it as a task"}
                cure = cures.get(kind, "keep it out of what the job runs")
                raise LaptopError(f"{cell.name}:{cell.line}: %{kind} does not run on a laptop; {cure}")

    def _run_other(self, path: str, timeout_seconds: int = 0, arguments: Mapping[str, str] | None = None) -> str | None:  # noqa: ARG002
        """Run another notebook in a separate namespace, as `dbutils.notebook.run`."""
        other = _find_notebook(self._files[-1].parent, path)
        given = Widgets({name: str(value) for name, value in (arguments or {}).items()})
        return run_notebook(other, given, self._pictures, session=self._session, skip_pip=self._skip_pip)

    def _display(self, value: Any) -> None:
        if hasattr(value, "toPandas"):
            click.echo(value.toPandas().to_string())
        elif hasattr(value, "savefig"):
            self._shown += 1
            self._pictures.mkdir(parents=True, exist_ok=True)
            picture = self._pictures / f"{self._files[1].stem}-{self._shown}.png"
            value.savefig(picture, dpi=120, bbox_inches="tight")
            click.echo(f"figure: {picture}")
        else:
            click.echo(str(value))


def _exit_notebook(value: object = "") -> None:
    raise NotebookExit(str(value))


def describe_exception(error: BaseException) -> str:
    """Describe an error of a notebook or a script in one sentence."""
    cure = ""
    if isinstance(error, ModuleNotFoundError):
        cure = "; a laptop installs nothing for a task: add the package that has it, and run `uv sync`"
    return f"{type(error).__name__}: {error}{cure}"


def _locate_error(error: Exception, cell: Cell) -> str:
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == cell.name]
    return f"{cell.name}:{lines[-1] if lines else getattr(error, 'lineno', None) or cell.line}"


def _parse_argument(word: str, cell: Cell) -> tuple[str, str]:
    name, equals, value = word.removeprefix("$").partition("=")
    if not equals:
        raise LaptopError(f"{cell.name}:{cell.line}: %run takes arguments of the form $name=value, not {word!r}")
    return name, value


def _find_notebook(folder: Path, path: str) -> Path:
    for ending in ("", ".py", ".ipynb", ".sql"):
        file = folder / f"{path}{ending}"
        if path and file.is_file():
            return file
    raise LaptopError(f"there is no notebook {path!r} in {folder}; the path is relative to the notebook that runs it")
