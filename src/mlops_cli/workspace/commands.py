"""`mlops bootstrap`, `doctor`, `copy-dbfs`, `copy-tables` and `link` set up a workspace and check it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path

import click

from mlops.contract import MlopsError
from mlops.platform.registry import Registry
from mlops_cli import options, resolved, storage
from mlops_cli.bundle_targets import list_deployed_targets
from mlops_cli.copy_tables import copy_tables
from mlops_cli.forge import GitHub
from mlops_cli.workspace import account, doctor_facts
from mlops_cli.workspace.bootstrap import MissingSteps, list_missing_steps
from mlops_cli.workspace.doctor import Check, Facts, run_checks
from mlops_cli.workspace.identities import pipeline_from_options
from mlops_cli.workspace.protection import Environment
from mlops_cli.workspace.requirements import TargetRequirements
from mlops_cli.workspace.state import Unreadable

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
@click.option("--account-id", help="Id of the Databricks account. Default: ask the workspace.")
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
    needs = TargetRequirements(resolved.load_resolved_bundle(target, file))
    state = account.read_state(needs, account_id)
    pipeline = pipeline_from_options(github, azure_devops, state.account_id)
    environments = None if pipeline is None else _read_environments(pipeline.repository, forge_token)
    answer = list_missing_steps(needs, state, pipeline, environments, list_deployed_targets())
    if output == "json":
        click.echo(json.dumps(asdict(answer), indent=1))
    else:
        _print_steps(target, state.host, answer)
    if answer.steps or answer.later:
        raise click.exceptions.Exit(1)


def _print_steps(target: str, host: str, answer: MissingSteps) -> None:
    click.echo(f"# Target {target} in {host}: {len(answer.steps)} commands are missing. Nothing was changed.")
    language = ""
    for number, step in enumerate(answer.steps, 1):
        mark, where = ("--", "in the SQL editor") if step.language == "sql" else ("#", "in a shell")
        if step.language != language:
            language = step.language
            click.echo(f"\n{mark} --- {where} ---")
        click.echo(f"{mark} {number}. {step.what}")
        if step.unsure:
            click.echo(f"{mark}    perhaps not needed, it could not be read: {step.unsure}")
        click.echo(f"{mark}    needs: {step.right}\n{mark}    undo:  {step.undo}\n{step.command}")
    for line in answer.later:
        click.echo(f"# later: {line}")
    if answer.later:
        click.echo("# Run this again after these commands, and after the first `databricks bundle deploy`.")


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
    # The form of bootstrap, OWNER@ID/REPO@ID, is accepted here, too.
    environments = _read_environments(github and re.sub(r"@\d+", "", github), forge_token)
    facts, deployed = _gather_facts(target, file), list_deployed_targets()
    checks = run_checks(replace(facts, environments_of_repository=environments, deployed=deployed))
    if output == "json":
        click.echo(json.dumps([asdict(check) for check in checks], indent=1))
    else:
        click.echo("\n".join(map(_format_check, checks)))
    if any(check.state == "bad" for check in checks):
        raise click.exceptions.Exit(1)


def _read_environments(repository: str | None, token: str | None) -> Mapping[str, Environment] | Unreadable | None:
    """Read the environments of a repository on GitHub; None: no repository is given."""
    if not repository:
        return None
    if not token:
        return Unreadable("no token was given to read it with: export GH_TOKEN=$(gh auth token)")
    try:
        return GitHub("https://api.github.com", repository, token).environments()
    except MlopsError as error:
        return Unreadable(str(error))


def _format_check(check: Check) -> str:
    mark = {"good": "ok  ", "bad": "MEND", "unknown": "?   "}[check.state]
    cure = "" if check.state == "good" else f"\n     -> {check.cure}"
    return f"{mark} {check.check}: {check.what}{cure}"


def _gather_facts(target: str, file: Path | None) -> Facts:
    """Read the facts for the checks, and stop at the first one that cannot be read."""
    facts = Facts(target=target, cli=resolved.cli_version())
    try:
        facts = replace(facts, login=doctor_facts.read_login())
        needs = TargetRequirements(resolved.load_resolved_bundle(target, file))
        state = account.read_state(needs)
    except MlopsError as error:
        return replace(facts, trouble=str(error))
    return replace(
        facts,
        needs=needs,
        state=state,
        missing=list_missing_steps(needs, state, None),
        metastore=doctor_facts.has_metastore(),
        environments=doctor_facts.list_environments(),
        secrets=doctor_facts.list_secrets(state),
    )


@click.command("copy-dbfs", epilog="Exit codes: 0 all is there and verified, 1 a file is not, 2 wrong arguments.")
@click.argument("source")
@click.argument("target")
@options.output
def copy_dbfs(source: str, target: str, output: str) -> None:
    """Copy a folder of DBFS root into a volume.

    Every file's checksum is verified; a second run continues an interrupted one. The source stays as it is.

    Example: mlops copy-dbfs dbfs:/FileStore/FOLDER /Volumes/CATALOG/SCHEMA/landing/old
    """
    with options.only_result(output):
        done = storage.copy_folder(source, target, click.echo)
    if output == "json":
        click.echo(json.dumps(asdict(done)))
        return
    click.echo(f"{done.copied} files copied, {done.there} were there; {done.size:,} bytes verified by sha256")


@click.command(epilog=options.EXITS)
@options.target
@click.option("--undo", is_flag=True, help="Remove the link.")
@options.output
def link(target: str, *, undo: bool, output: str) -> None:
    """Let Databricks start job deployment for a new version.

    A second run changes nothing.

    Example: mlops link --target prod
    """
    deployed = options.resolve_target(target, None)
    job = "" if undo else deployed.job_id("deployment")
    changed = Registry(None).link_job(deployed.model, job)
    if output == "json":
        click.echo(json.dumps({"model": deployed.model, "job": job or None, "changed": changed}))
        return
    now = f"starts job {job} for each new version" if job else "starts no job"
    click.echo(f"{deployed.model} {now}{'' if changed else ', as before'}")


COMMANDS: tuple[click.Command, ...] = (bootstrap, doctor, copy_dbfs, copy_tables, link)
