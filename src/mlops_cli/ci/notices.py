"""`mlops ci comment`, `issue` and `nightly` write a pipeline's result into one comment or issue, and update it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click

from mlops.contract import ConfigError
from mlops_cli import checkout, options
from mlops_cli.ci import plans
from mlops_cli.ci.options import FILE
from mlops_cli.ci.plan_differences import config_drift
from mlops_cli.ci.plan_pages import escape_html, report_drift, truncate_markdown
from mlops_cli.forge import AzureDevOps, GitHub

_EXITS = "Exit codes: 0 written, 1 refused or failed, 2 wrong arguments."
_PLAN_MARK = "<!-- mlops: plan of {} -->"
_DRIFT_MARK = "<!-- mlops: drift of {} -->"
_NIGHTLY_MARK = "<!-- mlops: nightly tests -->"
_MAX_CHARACTERS = 65_000
"""Largest number of characters of a comment or an issue: GitHub refuses more than 65,536, Azure DevOps accepts more."""
_SUCCESS = ("success", "succeeded")
"""The result of a successful job, as GitHub and as Azure DevOps name it."""


def _forge_options(command: Callable[..., None]) -> Callable[..., None]:
    """Options that say where to write."""
    for option in (
        click.option("--token", envvar="FORGE_TOKEN", help="Token of the run. Default: FORGE_TOKEN."),
        click.option(
            "--azure-devops", nargs=3, metavar="COLLECTION PROJECT REPOSITORY", help="The repository in Azure Repos."
        ),
        click.option("--api", default="https://api.github.com", show_default=True, help="Address of GitHub's API."),
        click.option("--github", metavar="OWNER/NAME", help="The repository on GitHub."),
    ):
        command = option(command)
    return command


def _open_forge(
    *, github: str | None, api: str, azure_devops: tuple[str, str, str] | None, token: str | None
) -> GitHub | AzureDevOps:
    if (github is None) == (azure_devops is None) or not token:
        raise click.UsageError("give a token, and one of --github and --azure-devops")
    return GitHub(api, github, token) if github is not None else AzureDevOps(*(azure_devops or ("", "", "")), token)


@click.command(epilog=_EXITS)
@click.argument("body", type=FILE)
@options.target
@click.option("--pull-request", required=True, type=click.IntRange(min=1))
@_forge_options
def comment(*, body: Path, target: str, pull_request: int, **where: Any) -> None:
    """Write a target's plan into a pull request.

    The pull request has one comment for each target, which is replaced.

    Example: mlops ci comment plan.md --target prod --pull-request 7 --github OWNER/NAME
    """
    text = truncate_markdown(checkout.read_file(body), _MAX_CHARACTERS)
    click.echo(_open_forge(**where).write_comment(pull_request, _PLAN_MARK.format(target), text))


@click.command(epilog=_EXITS)
@click.argument("plan", type=FILE)
@options.target
@_forge_options
def issue(*, plan: Path, target: str, **where: Any) -> None:
    """Keep one issue about a target's drift.

    It is opened or updated if the plan shows drift, else closed.

    Example: mlops ci issue plan.json --target prod --github OWNER/NAME
    """
    forge = _open_forge(**where)
    drift = config_drift(plans.parse_plan(checkout.read_file(plan)))
    body = truncate_markdown(report_drift(drift, target), _MAX_CHARACTERS) if drift.drifted else None
    click.echo(forge.keep_issue(_DRIFT_MARK.format(target), f"Drift in target {target}", body))


@click.command(epilog=_EXITS)
@click.option("--result", required=True, help="How the tests' job ended, in GitHub's or Azure's word.")
@click.option("--run", required=True, help="Address of the run.")
@_forge_options
def nightly(*, result: str, run: str, **where: Any) -> None:
    """Keep one issue about the nightly tests.

    It is closed if they succeeded, else opened or updated.

    Example: mlops ci nightly --result failure --run https://example.com/runs/1 --github OWNER/NAME
    """
    forge = _open_forge(**where)
    if not run.startswith("https://"):
        raise ConfigError(f"{run[:100]!r} is no address of a run: it begins with https://")
    failed = f"The job of the nightly tests ended with {escape_html(result)}: {quote(run, safe=':/?=&%')}\n"
    body = None if result.lower() in _SUCCESS else failed
    click.echo(forge.keep_issue(_NIGHTLY_MARK, "The nightly tests fail", body))


COMMANDS = (comment, issue, nightly)
