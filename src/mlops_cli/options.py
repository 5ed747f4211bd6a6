"""Options that the commands of `mlops` share, and the lines that they print."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

import click

from mlops.contract import MlopsError, clean_text
from mlops.platform import runtime, sdk
from mlops_cli import bundle_cli
from mlops_cli.bundle_cli import DeployedBundle
from mlops_cli.bundle_targets import TARGET

EXITS = "Exit codes: 0 done, 1 refused or failed, 2 wrong arguments, 130 interrupted."
ALIASES = ("champion", "challenger", "previous_champion")


class _HomeFolder(click.Path):
    """Type of an option that names a laptop's home; says how a home is made where there is none."""

    def convert(self, value: str | os.PathLike[str], param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the folder's path; fail if there is none."""
        if not Path(value).exists():
            cure = runtime.command_line(("laptop", "demo"), Path(value))
            self.fail(f"there is no folder {value}: run a job first, as in: {cure}", param, ctx)
        return super().convert(value, param, ctx)


HOME_FOLDER = _HomeFolder(file_okay=False, path_type=Path)
home = click.option(
    "--home",
    is_eager=True,  # click reads it before --target, since a home may have further targets
    type=HOME_FOLDER,
    help="A laptop's home folder. Without it: the workspace that the Databricks CLI is logged in to.",
)
target = click.option("--target", "-t", required=True, type=TARGET, help="Which target of the bundle.")
parameter = click.option("--param", "-p", multiple=True, metavar="KEY=VALUE", help="A further job parameter, as as_of.")
output = click.option("--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
dry_run = click.option("--dry-run", is_flag=True, help="Say what would be done, and start nothing.")


class _Reason(click.ParamType[str]):
    """Type of an option that needs a text; it is checked before anything starts."""

    name = "text"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Clean the text; fail if nothing or too much is left."""
        text = clean_text(value)
        if not text:
            self.fail("it is blank: say why in a few words", param, ctx)
        if len(text) > 500:
            self.fail(f"it has {len(text)} characters, and 500 at most are kept: say it shorter", param, ctx)
        return text


REASON = _Reason()


def describe_error(error: Exception) -> str | None:
    """Describe an error in one sentence; None if it is a bug of this code."""
    if isinstance(error, MlopsError):
        return str(error)
    # By its name, since importing MLflow takes seconds.
    if any(kind.__name__ == "MlflowException" for kind in type(error).__mro__):
        return f"the registry answered: {' '.join(sdk.redact_secrets(str(error)).split())}"
    return None


def resolve_target(name: str, folder: Path | None) -> DeployedBundle:
    """Load what is deployed for a target, and print where that is to stderr.

    Args:
        name: of the target.
        folder: a laptop's home; None: a workspace.
    """
    deployed = bundle_cli.load_deployed(name, folder)
    print_line(f"{deployed}", err=True)
    return deployed


@contextmanager
def only_result(output: str) -> Iterator[None]:
    """While a command prints JSON, send everything else that is printed to stderr."""
    if output == "json":
        with redirect_stdout(sys.stderr):
            yield
    else:
        yield


def parse_pairs(given: Sequence[str]) -> dict[str, str]:
    """Parse parameters of the form KEY=VALUE."""
    parts = [text.partition("=") for text in given]
    wrong = [name for name, equals, _ in parts if not equals]
    if wrong:
        raise click.UsageError(f"-p {wrong[0]}: write it as KEY=VALUE, as in -p as_of=2013-04-01T00:00:00Z")
    return {name: value for name, _, value in parts}


def print_line(*lines: str, err: bool = False) -> None:
    """Print texts of tags, people or a workspace, one argument on one line.

    No text can be read as another line, or as a command of the pipeline that prints it.
    """
    click.echo("\n".join(map(escape_control, lines)), err=err)


def escape_control(line: str) -> str:
    """Escape a line so that it contains no logging command of GitHub (::) or Azure DevOps (##)."""
    shown = "".join(c if c.isprintable() or c == "\t" else "?" for c in line)
    return shown.replace("::", ": :").replace("##", "# #")
