"""Splits a notebook into cells: source format with `COMMAND` lines in Python or SQL, or Jupyter's JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from laptop.home import LaptopError

_COMMENTS = {".py": "#", ".sql": "--"}
_WHOLE_CELL = {"md", "sql", "sh", "scala", "r", "fs", "html", "javascript"}
"""Magic commands that apply to the rest of the cell; the others apply to one line."""
_LEADING_COMMENT = re.compile(r"(?:#|--) DBTITLE .*")


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell, or the part of a cell that belongs to a magic command."""

    kind: str
    """python, sql, or the magic command: md, run, pip, …"""
    text: str
    """The code, or the text after the magic command."""
    name: str
    """File, and cell number where the file has no lines of its own."""
    line: int
    """Number of the text's first line in the file, or in its cell; 1-based."""


def read_cells(file: Path) -> list[Cell]:
    """Read the cells of a notebook.

    Raises:
        LaptopError: the file is no notebook that a laptop can read.
    """
    text = file.read_text(encoding="utf-8")
    if file.suffix == ".ipynb":
        return list(_read_jupyter(file, text))
    comment = _COMMENTS.get(file.suffix)
    if comment is None:
        raise LaptopError(f"{file} cannot run on a laptop; write the notebook in Python or SQL")
    mark = f"{comment} Databricks notebook source"
    lines = text.splitlines()
    if lines[:1] != [mark]:
        raise LaptopError(f"{file} is no notebook in source format: its first line is not {mark!r}")
    language = "python" if file.suffix == ".py" else "sql"
    return list(_read_source(lines, comment, language, str(file)))


def _read_source(lines: Sequence[str], comment: str, language: str, name: str) -> Iterator[Cell]:
    start, magic = 1, re.compile(rf"{comment} MAGIC ?")
    for number in range(1, len(lines) + 1):
        if number == len(lines) or re.fullmatch(rf"{comment} COMMAND -+", lines[number]):
            cell = [_LEADING_COMMENT.sub("", line) for line in lines[start:number]]
            first = next((line for line in cell if line.strip()), "")
            # Magic lines below Python stay what they are, comments.
            if magic.match(first):
                cell = [magic.sub("", line, count=1) for line in cell]
            yield from _split_cell(cell, language, name, start + 1)
            start = number + 1


def _read_jupyter(file: Path, text: str) -> Iterator[Cell]:
    document = json.loads(text)
    databricks = document["metadata"].get("application/vnd.databricks.v1+notebook", {})
    for number, cell in enumerate(document["cells"], 1):
        if cell["cell_type"] == "code":
            source = cell["source"]
            lines = (source if isinstance(source, str) else "".join(source)).splitlines()
            yield from _split_cell(lines, databricks.get("language", "python"), f"{file}, cell {number}", 1)


def _split_cell(lines: Sequence[str], language: str, name: str, start: int) -> Iterator[Cell]:
    """Yield the magic lines at the start of a cell, then the rest in the notebook's language."""
    for number, line in enumerate(lines):
        words = line.strip()
        if not words:
            continue
        if words[0] not in "%!":
            yield Cell(language, "\n".join(lines[number:]), name, start + number)
            return
        kind, _, rest = words.lstrip("%").partition(" ")
        if words[0] == "!":
            kind = "sh"
        if kind in {*_WHOLE_CELL, "python", "py"}:
            below = "\n".join([rest, *lines[number + 1 :]])
            yield Cell("python" if kind == "py" else kind, below, name, start + number)
            return
        yield Cell(kind, rest.strip(), name, start + number)
