"""The command `mlops`, for ML engineers and pipelines. Every change of a version goes through a job of the bundle."""

from __future__ import annotations

import getpass
import io
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from mlops.contract import ModelError, clean_text
from mlops.platform.registry import Registry
from mlops.release import approvals
from mlops.release.version_record import ShownTags, champion_of, newest_move, read_record, version_to_restore
from mlops_cli import audit_records, options
from mlops_cli.adopt import adopt
from mlops_cli.bundle_cli import DeployedBundle
from mlops_cli.ci import ci
from mlops_cli.container import export
from mlops_cli.explain import explain
from mlops_cli.update import update
from mlops_cli.versions.comparison import compare
from mlops_cli.versions.history import history
from mlops_cli.versions.status import status
from mlops_cli.workspace.commands import COMMANDS

_version = click.argument("version", type=click.IntRange(min=1))
_approver = click.option("--approver", help="Who decides; in a home only, since a workspace knows who you are.")


@click.group(epilog=options.EXITS)
@click.version_option(package_name="mlops-cli")
def cli() -> None:
    """Promote, approve, roll back and inspect model versions.

    In a workspace, or with --home in a laptop's home.

    Example: mlops status --home .laptop
    """


@cli.command(epilog=options.EXITS)
@_version
@options.target
@options.home
@_approver
@click.option(
    "--reason", default="approved", show_default=True, type=options.REASON, help="Why; kept in the audit table."
)
@options.output
def approve(*, version: int, target: str, home: Path | None, approver: str | None, reason: str, output: str) -> None:
    """Approve a validated version and repair its waiting run.

    Example: mlops approve 1 --target prod --home .laptop --approver ada
    """
    with options.only_result(output):
        deployed, result = _start_review(version, target, home, approver, {"decision": "approved", "reason": reason})
        deployed.repair_job("deployment", {"model_version": str(version)})
    _print_result(output, deployed, result)


@cli.command(epilog=options.EXITS)
@_version
@options.target
@options.home
@_approver
@click.option("--reason", required=True, type=options.REASON, help="Why; kept in the audit table.")
@options.output
def reject(*, version: int, target: str, home: Path | None, approver: str | None, reason: str, output: str) -> None:
    """Reject a version for good, with a reason.

    It is not deployed, and no validation opens it again.

    Example: mlops reject 3 --target prod --reason "trained on the wrong source"
    """
    with options.only_result(output):
        deployed, result = _start_review(version, target, home, approver, {"decision": "rejected", "reason": reason})
    _print_result(output, deployed, result)


def _start_review(
    version: int, target: str, home: Path | None, approver: str | None, given: dict[str, str]
) -> tuple[DeployedBundle, dict[str, Any]]:
    """Start the job that records a person's decision; the platform tells it who that is.

    Returns:
        The facts of the decision.

    Raises:
        MlopsError: the decision is refused, before the job starts or by the job.
    """
    if approver is not None and home is None:
        raise click.UsageError("--approver goes with --home only: in a workspace you are who is logged in")
    deployed = options.resolve_target(target, home)
    by = None if home is None else clean_text(approver or getpass.getuser())
    reviewed = Registry(deployed.home).get_version(deployed.model, version)
    if by is not None:
        _check_version(deployed, reviewed.number, by, given["decision"])
    deployed.run_job("review", {"model_version": str(version), **given}, by)
    options.print_line(f"{reviewed} {given['decision']}{f' by {by}' if by else ''}: {given['reason']}")
    return deployed, {"version": reviewed.number, "by": by, **given}


def _print_result(output: str, deployed: DeployedBundle, facts: Mapping[str, Any]) -> None:
    """Print what a command did as JSON, with the champion that the target has now."""
    if output == "json":
        champion = Registry(deployed.home).find_alias_holder(deployed.model, "champion")
        number = champion.number if champion else None
        click.echo(json.dumps({"target": deployed.target, "model": deployed.model, **facts, "champion": number}))


def _check_version(deployed: DeployedBundle, number: int, by: str, decision: str) -> None:
    """Refuse at once what the job would refuse later; the audit table of a home can be read without Spark."""
    rows = audit_records.read_rows(deployed)
    record = replace(read_record(rows, number), model_name=deployed.model)
    champion = champion_of(rows)
    if decision == "rejected" and champion == number:
        cure = deployed.command("mlops", "rollback", "--reason", "REASON")
        raise ModelError(f"{record} is champion; roll back first: {cure}")
    if decision == "approved":
        objections = [
            *approvals.object_to_verdict(record, champion), *approvals.object_to_approver(record, by, person=True)
        ]  # fmt: skip
        cure = deployed.command("mlops", "deploy", str(number))
        approvals.raise_first(objections, f"nothing was approved; to validate it again: {cure}")


@cli.command(epilog=options.EXITS)
@_version
@options.target
@options.home
@options.parameter
@options.output
def deploy(version: int, target: str, home: Path | None, param: Sequence[str], output: str) -> None:
    """Validate a version and make it champion.

    For the champion itself: point the aliases where the audit table says.

    Example: mlops deploy 3 --target prod --home .laptop
    """
    deployed = options.resolve_target(target, home)
    candidate = Registry(deployed.home).get_version(deployed.model, version)
    with options.only_result(output):
        deployed.run_job("deployment", {"model_version": str(candidate.number), **options.parse_pairs(param)})
    _print_result(output, deployed, {"version": candidate.number})


@cli.command(epilog=options.EXITS)
@options.target
@options.home
@click.option("--version", type=click.IntRange(min=1), help="Of the source model. Default: its champion.")
@options.parameter
@options.dry_run
@options.output
def promote(
    *, target: str, home: Path | None, version: int | None, param: Sequence[str], dry_run: bool, output: str
) -> None:
    """Copy a version of the target below into this target.

    Validation and approval decide there again.

    Example: mlops promote --target staging -p source_model=CATALOG.SCHEMA.MODEL
    """
    given = _parse_given("promotion", param)
    deployed = options.resolve_target(target, home)
    source = deployed.source_model(given)
    registry = Registry(deployed.home)
    chosen = (
        registry.find_alias_holder(source, "champion") if version is None else registry.get_version(source, version)
    )
    if chosen is None:
        raise ModelError(f"{source} has no champion to promote; name a version with --version")
    parameters = {"source_version": str(chosen.number), **given}
    facts: dict[str, Any] = {"source": source, "source_version": chosen.number}
    if dry_run:
        options.print_line(f"would promote {chosen} to {deployed.model}; nothing was started", err=output == "json")
        _print_result(output, deployed, {"dry_run": True, **facts, "job": "promotion", "parameters": parameters})
        return
    options.print_line(f"promoting {chosen} to {deployed.model}", err=True)
    with options.only_result(output):
        deployed.run_job("promotion", parameters)
        shown = [(copy, ShownTags.of(copy)) for copy in registry.list_versions(deployed.model)]
        copies = [(c, tags) for c, tags in shown if tags.promoted_from.startswith(f"{source}/{chosen.number}@")]
        for copy, tags in copies:
            options.print_line(f"{copy} is the copy of {chosen}; verdict: {tags.verdict or 'open'}")
    made = [{"version": copy.number, "verdict": tags.verdict or None} for copy, tags in copies]
    _print_result(output, deployed, {**facts, "copies": made})


def _parse_given(job: str, param: Sequence[str]) -> dict[str, str]:
    """Parse the parameters of a job and refuse malformed ones before anything is read."""
    from mlops import config  # importing pydantic and the classes of all jobs takes half of the time of `mlops --help`

    given = options.parse_pairs(param)
    config.check_given(job, given)
    return given


@cli.command(epilog=options.EXITS)
@options.target
@options.home
@click.option("--reason", required=True, type=options.REASON, help="Why; kept in the audit table.")
@options.parameter
@options.dry_run
@options.output
def rollback(*, target: str, home: Path | None, reason: str, param: Sequence[str], dry_run: bool, output: str) -> None:
    """Put the previous champion back.

    Example: mlops rollback --target prod --reason "late rate doubled"
    """
    parameters = _parse_given("rollback", [f"reason={reason}", *param])
    deployed = options.resolve_target(target, home)
    if dry_run:
        last = newest_move(audit_records.read_rows(deployed))
        number = version_to_restore(last, deployed.model, deployed.command)
        options.print_line(f"would make version {number} champion again; nothing was started", err=output == "json")
        facts = {"dry_run": True, "version": number, "job": "rollback", "parameters": parameters}
        _print_result(output, deployed, facts)
        return
    with options.only_result(output):
        deployed.run_job("rollback", parameters)
    _print_result(output, deployed, {"reason": reason})


for _command in (status, history, compare, explain, export, adopt, update, *COMMANDS, ci):
    cli.add_command(_command)


def run_args(args: Sequence[str], entry: click.Command = cli, name: str = "mlops") -> int:
    """Run one command in this process and return its exit code; print a user's mistake as a sentence."""
    command: Callable[..., Any] = entry.main
    try:
        return int(command(args=list(args), prog_name=name, standalone_mode=False) or 0)
    except click.ClickException as error:
        message = io.StringIO()
        error.show(message)
        options.print_line(*message.getvalue().rstrip().split("\n"), err=True)
        return error.exit_code
    except click.Abort:
        return 130
    except Exception as error:
        sentence = options.describe_error(error)
        if sentence is None:
            raise
        options.print_line(*f"error: {sentence}".split("\n"), err=True)
        return 1


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command, and end with SystemExit."""
    sys.exit(run_args(sys.argv[1:] if argv is None else argv))
