"""Runs a notebook of a workspace on this machine, with its widgets and its `display`.

In Databricks' source format a notebook is a Python file whose magic lines are comments, so Python runs it unchanged.
(Rejected: a Jupyter kernel: five more packages and another file format, to run a script from top to bottom.)
"""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click

from laptop.home import LaptopError

_MARK = "# Databricks notebook source"


class _Widgets:
    """`dbutils.widgets`, filled in beforehand."""

    def __init__(self, given: Mapping[str, str]) -> None:
        self._given = given
        self._defaults: dict[str, str] = {}

    def text(self, name: str, default: str, label: str = "") -> None:  # noqa: ARG002 - Databricks' signature
        self._defaults[name] = default

    def get(self, name: str) -> str:
        value = self._given.get(name) or self._defaults.get(name)
        if not value:
            raise LaptopError(f"the notebook asks for {name}, which the target does not know: give -p {name}=...")
        return value


def run_notebook(notebook: Path, values: Mapping[str, str], pictures: Path) -> None:
    """Run a notebook from top to bottom.

    Args:
        notebook: in Databricks' source format.
        values: of the widgets that it asks for, by name.
        pictures: folder in which the figures that it displays are kept as PNG; made if need be.

    Raises:
        LaptopError: the file is no notebook, asks for a value that is not given, or raised: says where and what.
    """
    text = notebook.read_text()
    if not text.startswith(_MARK):
        raise LaptopError(f"{notebook} is no notebook in source format: its first line is not {_MARK!r}")
    shown = 0

    def display(value: Any) -> None:
        nonlocal shown
        if hasattr(value, "toPandas"):
            click.echo(value.toPandas().to_string())
        elif hasattr(value, "savefig"):
            shown += 1
            pictures.mkdir(parents=True, exist_ok=True)
            picture = pictures / f"{notebook.stem}-{shown}.png"
            value.savefig(picture, dpi=120, bbox_inches="tight")
            click.echo(f"figure: {picture}")
        else:
            click.echo(str(value))

    names = {"__name__": "__main__", "display": display, "dbutils": SimpleNamespace(widgets=_Widgets(values))}
    try:
        exec(compile(text, str(notebook), "exec"), names)  # noqa: S102 - the user's own notebook, as they asked
    except LaptopError:
        raise
    except Exception as error:  # noqa: BLE001 - any error of the notebook becomes one sentence
        frames = [
            frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(notebook)
        ]
        line = frames[-1] if frames else getattr(error, "lineno", 1)
        raise LaptopError(f"{notebook}:{line}: {type(error).__name__}: {error}") from None
