"""Options and exit codes of the commands of `mlops ci`, and the function that stops a pipeline."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from mlops.contract import MlopsError
from mlops_cli import options

EXITS = "Exit codes: 0 go on, 1 stop, 2 wrong arguments."
FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
out_option = click.option("--out", type=click.File("w"), default="-", help="File for the Markdown.")


def stop_if(what: str, reasons: Sequence[str]) -> None:
    """Stop with each reason on its own line, escaped so that no pipeline reads a command in it.

    Raises:
        MlopsError: there is a reason.
    """
    if reasons:
        raise MlopsError("\n  ".join([f"{what}:", *(options.escape_control(line) for line in reasons)]))
