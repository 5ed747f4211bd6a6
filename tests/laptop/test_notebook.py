"""Notebooks run from top to bottom, with the widgets and the display of a workspace."""

from __future__ import annotations

from pathlib import Path

import pytest

from laptop import notebook
from laptop.home import LaptopError

HEAD = "# Databricks notebook source\n# MAGIC %md\n# MAGIC # Title\n# COMMAND ----------\n# MAGIC %pip install x\n"


def _run(folder: Path, text: str, **values: str) -> None:
    file = folder / "look.py"
    file.write_text(text)
    notebook.run_notebook(file, notebook.Widgets(values, person=True), folder / "pictures", skip_pip=True)


def test_widgets_give_the_targets_value_before_their_own_default(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cells = "for n in ('a', 'b'):\n    dbutils.widgets.text(n, 'default')\n    print(n, dbutils.widgets.get(n))\n"
    _run(tmp_path, HEAD + cells, a="given")
    assert capsys.readouterr().out == "a given\nb default\n"


def test_a_value_that_nobody_knows_is_asked_for_by_name(tmp_path: Path) -> None:
    with pytest.raises(LaptopError, match=r"asks for as_of.*-p as_of="):
        _run(tmp_path, HEAD + "dbutils.widgets.text('as_of', '')\ndbutils.widgets.get('as_of')\n")


def test_a_displayed_figure_becomes_a_picture_and_everything_else_text(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cells = "from matplotlib.figure import Figure\ndisplay(Figure())\ndisplay(Figure())\ndisplay([1, 2])\n"
    _run(tmp_path, HEAD + cells)
    pictures = sorted((tmp_path / "pictures").iterdir())
    assert [p.name for p in pictures] == ["look-1.png", "look-2.png"]
    assert all(p.read_bytes().startswith(b"\x89PNG") for p in pictures)
    assert capsys.readouterr().out == f"figure: {pictures[0]}\nfigure: {pictures[1]}\n[1, 2]\n"


def test_a_file_that_is_no_notebook_is_not_run(tmp_path: Path) -> None:
    with pytest.raises(LaptopError, match="no notebook in source format"):
        _run(tmp_path, "raise SystemExit(1)\n")


@pytest.mark.parametrize(("cell", "error"), [("1 / 0", "ZeroDivisionError"), ("1 +", "SyntaxError")])
def test_what_a_notebook_raises_is_told_with_its_line(tmp_path: Path, cell: str, error: str) -> None:
    with pytest.raises(LaptopError, match=rf"look\.py:6: {error}"):
        _run(tmp_path, f"{HEAD}{cell}\n")
