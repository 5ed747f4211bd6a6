"""`mlops bootstrap`, `doctor`, `copy-dbfs` and `link`: for whoever sets an account up, and for whoever joins."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path

import click

from mlops.contract import MlopsError
from mlops.platform import storage
from mlops.platform.registry import Registry
from mlops_cli import account, options, resolved
from mlops_cli.bundle_targets import list_deployed_targets
from mlops_cli.forge import GitHub
from mlops_cli.workspace.bootstrap import MissingSteps, list_missing_steps
from mlops_cli.workspace.doctor import Check, Facts, run_checks
from mlops_cli.workspace.identities import pipeline_from_options
from mlops_cli.workspace.protection import Environment
from mlops_cli.workspace.requirements import TargetRequirements
from mlops_cli.workspace.state import Unreadable
from mlops_cli.workspace.steps import SetupStep

_EXITS = "Exit codes: 0 nothing is missing, 1 something is, or cannot be read, 2 wrong arguments."
_bundle = click.option(
    "--bundle",
    "file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="What `databricks bundle validate -o json` printed. Default: ask the Databricks CLI.",
)
_output = click.option("--output", type=click.Choice(["text", "json"]), default="text")
_forge_token = click.option(
    "--forge-token",
    envvar=["FORGE_TOKEN", "GH_TOKEN"],
    help="To read the repository's environments. Default: GH_TOKEN.",
)


@click.command(epilog=_EXITS)
@options.target
@_bundle
@_output
@click.option("--github", metavar="OWNER@ID/REPO@ID", help="The repository whose workflows deploy.")
@click.option("--azure-devops", metavar="ORG_ID/ORG/PROJECT/PIPELINE", help="The pipeline that deploys.")
@_forge_token
@click.option("--account-id", help="Of Databricks. Default: as the workspace says.")
def bootstrap(
    *,
    target: str,
    file: Path | None,
    output: str,
    github: str | None,
    azure_devops: str | None,
    forge_token: str | None,
    account_id: str | None,
) -> None:
    """Print the setup commands that a target still needs.

    Changes nothing.

    Example: mlops bootstrap --target staging --github OWNER@ID/REPO@ID
    """
    if github is not None and azure_devops is not None:
        raise click.UsageError("--github and --azure-devops exclude each other: run it once for each")
    wanted = TargetRequirements(resolved.load_resolved_bundle(target, file))
    found = account.read_state(wanted, account_id)
    source = pipeline_from_options(github, azure_devops, found.account_id)
    environments = None if source is None else _read_environments(source.repository, forge_token)
    answer = list_missing_steps(wanted, found, source, environments, list_deployed_targets())
    if output == "json":
        click.echo(json.dumps(asdict(answer), indent=1))
    else:
        _print_steps(target, found.host, answer)
    if answer.steps or answer.later:
        raise click.exceptions.Exit(1)


def _print_steps(target: str, host: str, answer: MissingSteps) -> None:
    click.echo(f"# Target {target} in {host}: {len(answer.steps)} commands are missing. Nothing was changed.")
    language = ""
    for number, step in enumerate(answer.steps, 1):
        if step.language != language:
            language = step.language
            click.echo(f"\n{_comment_mark(step)} --- {'in the SQL editor' if language == 'sql' else 'in a shell'} ---")
        click.echo(f"{_comment_mark(step)} {number}. {step.what}")
        if step.unsure:
            click.echo(f"{_comment_mark(step)}    perhaps not needed, it could not be read: {step.unsure}")
        click.echo(f"{_comment_mark(step)}    needs: {step.right}")
        click.echo(f"{_comment_mark(step)}    undo:  {step.undo}")
        click.echo(step.command)
    for line in answer.later:
        click.echo(f"# later: {line}")
    if answer.later:
        click.echo("# Run this again after these commands, and after the first `databricks bundle deploy`.")


def _comment_mark(step: SetupStep) -> str:
    return "--" if step.language == "sql" else "#"


@click.command(epilog=_EXITS)
@options.target
@_bundle
@_output
@click.option("--github", metavar="OWNER/NAME", help="The repository whose environments protect the target.")
@_forge_token
def doctor(*, target: str, file: Path | None, output: str, github: str | None, forge_token: str | None) -> None:
    """Check what you need to work with a target.

    Checks stand in the order in which to correct them. Changes nothing.

    Example: mlops doctor --target dev
    """
    # OWNER@ID/REPO@ID, as bootstrap takes it, does as well.
    environments = _read_environments(github and re.sub(r"@\d+", "", github), forge_token)
    facts = replace(
        _gather_facts(target, file), environments_of_repository=environments, deployed=list_deployed_targets()
    )
    findings = run_checks(facts)
    if output == "json":
        click.echo(json.dumps([asdict(finding) for finding in findings], indent=1))
    else:
        for finding in findings:
            click.echo(_format_check(finding))
    if any(finding.state == "bad" for finding in findings):
        raise click.exceptions.Exit(1)


def _read_environments(repository: str | None, token: str | None) -> Mapping[str, Environment] | Unreadable | None:
    """What protects a repository on GitHub; None: nobody said which one it is."""
    if not repository:
        return None
    if not token:
        return Unreadable("no token was given to read it with: export GH_TOKEN=$(gh auth token)")
    try:
        return GitHub("https://api.github.com", repository, token).environments()
    except MlopsError as error:
        return Unreadable(str(error))


def _format_check(finding: Check) -> str:
    mark = {"good": "ok  ", "bad": "MEND", "unknown": "?   "}[finding.state]
    cure = "" if finding.state == "good" else f"\n     -> {finding.cure}"
    return f"{mark} {finding.check}: {finding.what}{cure}"


def _gather_facts(target: str, file: Path | None) -> Facts:
    """As much as can be read: the first thing that cannot be is told, and nothing behind it is asked."""
    facts = Facts(target=target, cli=resolved.cli_version())
    try:
        facts = replace(facts, login=account.read_login())
        wanted = TargetRequirements(resolved.load_resolved_bundle(target, file))
        found = account.read_state(wanted)
    except MlopsError as error:
        return replace(facts, trouble=str(error))
    return replace(
        facts,
        wanted=wanted,
        found=found,
        missing=list_missing_steps(wanted, found, None),
        metastore=account.has_metastore(),
        environments=account.list_environments(),
        secrets=account.list_secrets(found),
    )


@click.command("copy-dbfs", epilog="Exit codes: 0 all is there and verified, 1 a file is not, 2 wrong arguments.")
@click.argument("source")
@click.argument("target")
def copy_dbfs(source: str, target: str) -> None:
    """Copy a folder of DBFS root into a volume.

    Every file's checksum is verified; a second run continues an interrupted one. The source stays as it is.

    Example: mlops copy-dbfs dbfs:/FileStore/FOLDER /Volumes/CATALOG/SCHEMA/landing/old
    """
    done = storage.copy_folder(source, target, click.echo)
    click.echo(f"{done.copied} files copied, {done.there} were there; {done.size:,} bytes verified by sha256")


@click.command(epilog=options.EXITS)
@options.target
@click.option("--undo", is_flag=True, help="Take the link away.")
def link(target: str, *, undo: bool) -> None:
    """Let Databricks start job deployment for a new version.

    A second run changes nothing.

    Example: mlops link --target prod
    """
    place = options.resolve_target(target, None)
    job = "" if undo else place.job_id("deployment")
    changed = Registry(None).link_job(place.model, job)
    now = f"starts job {job} for each new version" if job else "starts no job"
    click.echo(f"{place.model} {now}{'' if changed else ', as before'}")


COMMANDS: tuple[click.Command, ...] = (bootstrap, doctor, copy_dbfs, link)
