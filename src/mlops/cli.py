"""`mlops`: what ML engineers and pipelines do with versions. Every change goes through a job of the bundle."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from mlops.adapters import bundle, platform
from mlops.adapters.bundle import TARGETS, Deployed
from mlops.adapters.inspection import artifact_digest
from mlops.adapters.registry import Registry, Version
from mlops.ci import ci
from mlops.contract import MlopsError, ModelError
from mlops.workspace.commands import COMMANDS

_EXITS = "Exit codes: 0 done, 1 refused or failed, 2 wrong arguments."
_ALIASES = ("champion", "challenger", "previous_champion")

_home = click.option(
    "--home",
    type=click.Path(file_okay=False, path_type=Path, exists=True),
    help="A laptop's home folder. Without it: the workspace that the Databricks CLI is logged in to.",
)
_target = click.option("--target", "-t", required=True, type=click.Choice(TARGETS), help="Which target of the bundle.")
_version = click.argument("version", type=click.IntRange(min=1))
_parameter = click.option(
    "--param", "-p", multiple=True, metavar="KEY=VALUE", help="A further job parameter, as as_of."
)


@click.group(epilog=_EXITS)
@click.version_option(package_name="mlops-template")
def cli() -> None:
    """Promote, approve, roll back and look at model versions, in a workspace or in a laptop's home.

    Example: mlops status --home .laptop
    """


@cli.command(epilog=_EXITS)
@_home
@click.option("--target", "-t", "chosen", multiple=True, type=click.Choice(TARGETS), help="Default: all.")
@click.option("--output", type=click.Choice(["text", "json"]), default="text")
def status(home: Path | None, chosen: Sequence[str], output: str) -> None:
    """Which version holds which alias in which target; digests are recomputed from the files.

    Example: mlops status --home .laptop --output json
    """
    rows: list[dict[str, Any]] = []
    for target in chosen or TARGETS:
        place = _say_where(bundle.deployed(target, home))
        registry = Registry(place.home)
        for alias in _ALIASES:
            version = registry.holder(place.model, alias)
            if version is not None:
                rows.append(_status_row(registry, target, alias, version))
    if output == "json":
        click.echo(json.dumps(rows, indent=1))
        return
    for row in rows or [{}]:
        click.echo("  ".join(f"{value}" for value in row.values()) or "no version holds an alias yet")


def _status_row(registry: Registry, target: str, alias: str, version: Version) -> dict[str, Any]:
    with registry.fetch(version) as folder:
        digest = artifact_digest(folder)
    age = datetime.now(UTC) - version.created
    return {
        "target": target,
        "alias": alias,
        "model": version.model,
        "version": version.number,
        "digest": digest,
        "run": version.run_id,
        "age_hours": round(age.total_seconds() / 3600, 2),
    }


@cli.command(epilog=_EXITS)
@_version
@_target
@_home
@click.option("--approver", help="Who approves; in a home only, since a workspace knows who you are.")
def approve(version: int, target: str, home: Path | None, approver: str | None) -> None:
    """Approve a version that the gate accepted, and repair the run that waits for it.

    Example: mlops approve 1 --target prod --home .laptop --approver ada
    """
    if approver is not None and home is None:
        raise click.UsageError("--approver goes with --home only: in a workspace the approver is who is logged in")
    place = _say_where(bundle.deployed(target, home))
    registry = Registry(place.home)
    found = registry.version(place.model, version)
    by = approver or platform.identity()
    if found.tags.get("verdict") != "accepted":
        raise ModelError(f"{found} has no accepting verdict ({found.tags.get('verdict', 'none')}); nothing to approve")
    if by == found.tags.get("trained_by"):
        raise ModelError(f"{by} trained {found} and cannot approve it; somebody else has to")
    names = ("artifact_digest", "verdict_digest")
    bound = {f"approval_{name}": found.tags[name] for name in names}
    registry.tag(found, {"approval": "Approved", "approval_by": by, **bound})
    click.echo(f"{found} approved by {by}, for files {bound['approval_artifact_digest'][:12]}")
    place.repair("deployment", {"model_version": str(version)})


@cli.command(epilog=_EXITS)
@_version
@_target
@_home
@click.option("--reason", required=True, help="Why; kept with the version.")
def reject(version: int, target: str, home: Path | None, reason: str) -> None:
    """Close a version with a reason: its verdict becomes refused and an approval is taken back.

    Example: mlops reject 3 --target prod --reason "trained on the wrong feed"
    """
    place = _say_where(bundle.deployed(target, home))
    registry = Registry(place.home)
    found = registry.version(place.model, version)
    if "champion" in found.aliases:
        raise ModelError(f"{found} is champion; roll back first: mlops rollback --target {target}")
    registry.tag(found, {"verdict": "rejected", "rejected_reason": reason, "approval": None})
    if "challenger" in found.aliases:
        registry.drop_alias(found.model, "challenger")
    click.echo(f"{found} rejected: {reason}")


@cli.command(epilog=_EXITS)
@_target
@_home
@click.option("--version", type=click.IntRange(min=1), help="Of the source model. Default: its champion.")
@_parameter
def promote(target: str, home: Path | None, version: int | None, param: Sequence[str]) -> None:
    """Copy a version of the target below into this target, where gate and approval decide again.

    Example: mlops promote --target staging --home .laptop
    """
    place = _say_where(bundle.deployed(target, home))
    source = place.default("promotion", "source_model")
    if version is None:
        champion = Registry(place.home).holder(source, "champion")
        if champion is None:
            raise ModelError(f"{source} has no champion to promote; name a version with --version")
        version = champion.number
    place.run("promotion", {"source_version": str(version), **_pairs(param)})


@cli.command(epilog=_EXITS)
@_target
@_home
@click.option("--reason", required=True, help="Why; kept in the audit table.")
@_parameter
def rollback(target: str, home: Path | None, reason: str, param: Sequence[str]) -> None:
    """Put the previous champion back.

    Example: mlops rollback --target prod --reason "late rate doubled"
    """
    place = _say_where(bundle.deployed(target, home))
    place.run("rollback", {"reason": reason, **_pairs(param)})


for _command in (*COMMANDS, ci):
    cli.add_command(_command)


def _say_where(place: Deployed) -> Deployed:
    click.echo(f"{place}", err=True)
    return place


def _pairs(given: Sequence[str]) -> dict[str, str]:
    pairs = [text.partition("=") for text in given]
    wrong = [name for name, equals, _ in pairs if not equals]
    if wrong:
        raise click.UsageError(f"-p {wrong[0]}: write it as KEY=VALUE, as in -p as_of=2013-04-01T00:00:00Z")
    return {name: value for name, _, value in pairs}


def run_args(args: Sequence[str]) -> int:
    """Run one command in this process and return its exit code; a user's mistake is told in a sentence."""
    command: Callable[..., Any] = cli.main
    try:
        return int(command(args=list(args), prog_name="mlops", standalone_mode=False) or 0)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except MlopsError as error:
        click.echo(f"error: {error}", err=True)
        return 1


def main(argv: Sequence[str] | None = None) -> None:
    """Entry point of the command; ends with SystemExit, as every command."""
    sys.exit(run_args(sys.argv[1:] if argv is None else argv))
