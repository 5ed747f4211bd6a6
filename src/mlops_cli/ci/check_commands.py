"""`mlops ci audit`, `secrets`, `licences` and `wheelhouse`: what the lock and the repository hold."""

from __future__ import annotations

import tomllib
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TextIO

import click

from mlops_cli import locked_packages
from mlops_cli.checkout import read_file, read_texts
from mlops_cli.ci import lock_audit
from mlops_cli.ci.options import EXITS, FILE, out_option, stop_if
from mlops_cli.ci.plan_pages import escape_html
from mlops_cli.ci.secret_scan import find_secrets


@click.command(epilog=EXITS)
@click.option("--exceptions", type=FILE, default=".ci/vulnerabilities.toml", show_default=True)
@click.option("--report", type=FILE, help="What `uv audit --output-format json` printed. Default: ask it.")
@click.option("--today", type=click.DateTime(["%Y-%m-%d"]), help="Default: today, UTC.")
def audit(exceptions: Path, report: Path | None, today: datetime | None) -> None:
    """Stop if a locked package has an open vulnerability.

    A vulnerability is open if no exception accepts it, or if its exception has expired.

    Example: mlops ci audit
    """
    vulnerabilities = lock_audit.parse_vulnerabilities(read_file(report) if report else locked_packages.audit_lock())
    accepted = lock_audit.parse_exceptions(read_file(exceptions))
    day: date = (today or datetime.now(UTC)).date()
    stop_if("the lock has open vulnerabilities", lock_audit.open_vulnerabilities(vulnerabilities, accepted, day))
    click.echo(f"{len(vulnerabilities)} known vulnerabilities, {len(accepted)} accepted")


@click.command(epilog=EXITS)
@click.option("--history/--no-history", default=False, help="Every commit, too.")
def secrets(*, history: bool) -> None:
    """Stop if a tracked file holds a credential.

    The place is printed, the credential is not.

    Example: mlops ci secrets --history
    """
    places = [f"{name}:{n}: {kind}" for name, text in read_texts(history=history) for n, kind in find_secrets(text)]
    stop_if("credentials in the repository: revoke them first, then remove them", places)
    click.echo("no credential found")


@click.command(epilog=EXITS)
@click.option("--known", type=FILE, default=".ci/licences.toml", show_default=True, help="What packages do not say.")
@out_option
def licences(known: Path, out: TextIO) -> None:
    """Write the licence of each package that the wheel needs.

    Stop if one is unknown or not allowed.

    Example: mlops ci licences --out licences.md
    """
    licence_of = {**locked_packages.read_licences(), **tomllib.loads(read_file(known))}
    out.write("| package | licence |\n|---|---|\n")
    out.writelines(
        f"| {name} | {escape_html(text.partition(chr(10))[0])} |\n" for name, text in sorted(licence_of.items())
    )
    stop_if("licences to look at", lock_audit.licence_errors(licence_of))


@click.command(epilog=EXITS)
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option("--platform", "platforms", multiple=True, default=("manylinux_2_28_x86_64", "manylinux_2_17_x86_64"))
def wheelhouse(folder: Path, platforms: tuple[str, ...]) -> None:
    """Download wheels of all that the wheel needs.

    For a workspace that reaches no package index.

    Example: mlops ci wheelhouse wheels
    """
    click.echo(f"{locked_packages.download_wheels(folder, platforms)} wheels in {folder}, each as the lock has it")


COMMANDS = (audit, secrets, licences, wheelhouse)
