"""`mlops`: what ML engineers and pipelines do with versions. Every change goes through a job of the bundle."""

from __future__ import annotations

import getpass
import io
import sys
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import click

from mlops import config, options
from mlops.adapters import platform, sdk
from mlops.adapters.inspection import artifact_digest
from mlops.adapters.registry import Registry, Version, number_of
from mlops.ci import ci
from mlops.contract import ModelError, UntrustedModel
from mlops.looks import compare, history, status
from mlops.workspace.commands import COMMANDS

_VALID = timedelta(days=7)
"""How long an approval counts."""

_version = click.argument("version", type=click.IntRange(min=1))
_parameter = click.option(
    "--param", "-p", multiple=True, metavar="KEY=VALUE", help="A further job parameter, as as_of."
)


@click.group(epilog=options.EXITS)
@click.version_option(package_name="mlops-template")
def cli() -> None:
    """Promote, approve, roll back and look at model versions, in a workspace or in a laptop's home.

    Example: mlops status --home .laptop
    """


@cli.command(epilog=options.EXITS)
@_version
@options.target
@options.home
@click.option("--approver", help="Who approves; in a home only, since a workspace knows who you are.")
def approve(version: int, target: str, home: Path | None, approver: str | None) -> None:
    """Approve a version that the gate accepted, and repair the run that waits for it.

    Example: mlops approve 1 --target prod --home .laptop --approver ada
    """
    if approver is not None and home is None:
        raise click.UsageError("--approver goes with --home only: in a workspace the approver is who is logged in")
    place = options.place(target, home)
    registry = Registry(place.home)
    found = registry.version(place.model, version)
    by = approver or _who(home)
    _approvable(registry, found, by)
    until = f"{platform.now() + _VALID:%Y-%m-%dT%H:%M:%SZ}"
    bound = {f"approval_{name}": found.tags[name] for name in ("artifact_digest", "verdict_digest")}
    registry.tag(found, {**bound, "approval_by": by, "approval_expires": until, "approval": "Approved"})
    options.say(f"{found} approved by {by} until {until}, for files {bound['approval_artifact_digest'][:12]}")
    place.repair("deployment", {"model_version": str(version)})


def _who(home: Path | None) -> str:
    if home is not None:
        return getpass.getuser()
    with sdk.told("asking the workspace who you are"):
        return platform.identity()


def _approvable(registry: Registry, found: Version, by: str) -> None:
    """Refuse what the approval task would refuse, before anything is written."""
    tags = found.tags
    if tags.get("verdict") != "accepted":
        raise ModelError(f"{found} has no accepting verdict ({tags.get('verdict', 'none')}); nothing to approve")
    if "trained_by" not in tags:
        raise ModelError(f"{found} does not say who trained it, so nobody can be held apart; train it again")
    if by == tags["trained_by"]:
        raise ModelError(f"{by} trained {found} and cannot approve it; somebody else has to")
    now = number_of(registry.holder(found.model, "champion"))
    if tags.get("judged_against") != now:
        raise ModelError(
            f"{found} was judged against champion {tags.get('judged_against')}, and champion is {now} by now: "
            "start the deployment job for it again, which judges it anew"
        )
    with registry.fetch(found) as folder:
        digest = artifact_digest(folder)
    if digest != tags["artifact_digest"]:
        raise UntrustedModel(f"the files of {found} were changed since they were judged: train or promote again")


@cli.command(epilog=options.EXITS)
@_version
@options.target
@options.home
@click.option("--reason", required=True, type=options.REASON, help="Why; kept with the version.")
def reject(version: int, target: str, home: Path | None, reason: str) -> None:
    """Close a version with a reason: its verdict becomes refused and an approval is taken back.

    Example: mlops reject 3 --target prod --reason "trained on the wrong feed"
    """
    place = options.place(target, home)
    registry = Registry(place.home)
    found = registry.version(place.model, version)
    if "champion" in found.aliases:
        raise ModelError(f"{found} is champion; roll back first: mlops rollback --target {target}")
    closed = {"verdict": "rejected", "rejected_reason": reason, "rejected_by": _who(home)}
    registry.tag(found, {**closed, **{name: None for name in found.tags if name.startswith("approval")}})
    if "challenger" in found.aliases:
        registry.drop_alias(found.model, "challenger")
    options.say(f"{found} rejected: {reason}")


@cli.command(epilog=options.EXITS)
@options.target
@options.home
@click.option("--version", type=click.IntRange(min=1), help="Of the source model. Default: its champion.")
@_parameter
def promote(target: str, home: Path | None, version: int | None, param: Sequence[str]) -> None:
    """Copy a version of the target below into this target, where gate and approval decide again.

    Example: mlops promote --target staging --home .laptop
    """
    given = _pairs(param)
    config.check_given("promotion", given)
    place = options.place(target, home)
    source = place.default("promotion", "source_model")
    registry = Registry(place.home)
    chosen = registry.holder(source, "champion") if version is None else registry.version(source, version)
    if chosen is None:
        raise ModelError(f"{source} has no champion to promote; name a version with --version")
    options.say(f"promoting {chosen} to {place.model}", err=True)
    place.run("promotion", {"source_version": str(chosen.number), **given})
    for copy in registry.versions(place.model):
        if copy.tags.get("promoted_from", "").startswith(f"{source}/{chosen.number}@"):
            options.say(f"{copy} is the copy of {chosen}; verdict: {copy.tags.get('verdict', 'open')}")


@cli.command(epilog=options.EXITS)
@options.target
@options.home
@click.option("--reason", required=True, type=options.REASON, help="Why; kept in the audit table.")
@_parameter
def rollback(target: str, home: Path | None, reason: str, param: Sequence[str]) -> None:
    """Put the previous champion back.

    Example: mlops rollback --target prod --reason "late rate doubled"
    """
    given = {"reason": reason, **_pairs(param)}
    config.check_given("rollback", given)
    options.place(target, home).run("rollback", given)


for _command in (status, history, compare, *COMMANDS, ci):
    cli.add_command(_command)


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
        told = io.StringIO()
        error.show(told)
        options.say(*told.getvalue().rstrip().split("\n"), err=True)
        return error.exit_code
    except click.Abort:
        return 130
    except Exception as error:
        sentence = options.explain(error)
        if sentence is None:
            raise
        options.say(*f"error: {sentence}".split("\n"), err=True)
        return 1


def main(argv: Sequence[str] | None = None) -> None:
    """Entry point of the command; ends with SystemExit, as every command."""
    sys.exit(run_args(sys.argv[1:] if argv is None else argv))
