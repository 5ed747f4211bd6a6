"""`mlops ci build`, `verify` and `notes`: build a release, check it, and write its notes."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TextIO

import click

from mlops.contract import ConfigError
from mlops_cli import checkout
from mlops_cli.ci.options import EXITS, FILE, out_option, stop_if
from mlops_cli.ci.release_files import Release, check_tag, parse_release, release_errors, release_notes
from mlops_cli.release_build import RECORD, build_release, file_digests

_folder = click.option("--folder", type=click.Path(file_okay=False, path_type=Path), default="dist", show_default=True)


@click.command(epilog=EXITS)
@_folder
def build(folder: Path) -> None:
    """Build the wheel, its bill of materials and release.json.

    Every target gets this one wheel.

    Example: mlops ci build
    """
    made = Release(checkout.head_commit(), checkout.project_version(), checkout.lock_digest(), build_release(folder))
    (folder / RECORD).write_text(json.dumps(asdict(made), indent=1) + "\n")
    for name, digest in made.files.items():
        click.echo(f"{digest}  {name}")


@click.command(epilog=EXITS)
@_folder
@click.option("--commit", help="Commit that must have been built. Default: the one that is checked out.")
@click.option("--attestations", type=FILE, help="What `gh attestation verify --format json` printed.")
def verify(folder: Path, commit: str | None, attestations: Path | None) -> None:
    """Stop unless a folder holds what this commit built.

    Example: mlops ci verify --attestations attestations.json
    """
    record = folder / RECORD
    if not record.is_file():
        raise ConfigError(f"{folder} has no {RECORD}: download what `mlops ci build` made")
    attested = None if attestations is None else _parse_attestations(checkout.read_file(attestations))
    errors = release_errors(
        parse_release(checkout.read_file(record)),
        files=file_digests(folder),
        commit=commit or checkout.head_commit(),
        lock=checkout.lock_digest(),
        attested=attested,
    )
    stop_if("not what was built", errors)
    click.echo(f"{folder} holds what was built from {(commit or checkout.head_commit())[:12]}")


def _parse_attestations(text: str) -> list[dict[str, object]]:
    try:
        statements = json.loads(text)
    except ValueError:
        statements = None
    if not isinstance(statements, list) or not all(isinstance(statement, dict) for statement in statements):
        raise ConfigError("this is no list of attestations: give what `gh attestation verify --format json` printed")
    return statements


@click.command(epilog=EXITS)
@click.option("--tag", required=True, help="Tag of the release, such as v0.1.0.")
@out_option
def notes(tag: str, out: TextIO) -> None:
    """Write what CHANGELOG.md says about a release.

    Stop unless its tag is the project's version.

    Example: mlops ci notes --tag v0.1.0
    """
    version = check_tag(tag, checkout.project_version()).removeprefix("v")
    out.write(release_notes(Path("CHANGELOG.md").read_text(), version) + "\n")


COMMANDS = (build, verify, notes)
