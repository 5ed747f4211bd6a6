"""`mlops ci targets` and `journal`: which targets a pipeline deploys, and how far a version's promotion is."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

import click

from mlops.contract import ConfigError
from mlops.contract.model_version import Version
from mlops.platform.model_scan import artifact_digest
from mlops.platform.registry import Registry
from mlops.release.version_record import ShownTags
from mlops_cli import bundle_cli, options
from mlops_cli.bundle_targets import list_deployed_targets
from mlops_cli.ci.deploy_targets import parse_deploy_targets
from mlops_cli.ci.options import EXITS, out_option, stop_if
from mlops_cli.ci.plan_pages import escape_html
from mlops_cli.ci.promotion_status import Copy, promotion_status


@click.command(epilog=EXITS)
@click.option("--on", default="", help="Targets that have a workspace, as in variable DEPLOY_TARGETS: staging, prod.")
@out_option
def targets(on: str, out: TextIO) -> None:
    """Print the targets that a pipeline may deploy.

    The line is for GITHUB_OUTPUT; the Markdown says which targets are skipped.

    Example: mlops ci targets --on staging --out targets.md
    """
    deployed = list_deployed_targets()
    if not deployed:
        raise ConfigError("no target is known: run this in a checkout whose targets are not all in development")
    chosen = parse_deploy_targets(on, deployed)
    for target in deployed:
        skipped = "skipped, since variable `DEPLOY_TARGETS` does not name it: see docs/how-to/switch-on.md"
        out.write(f"- {target}: {'on' if target in chosen else skipped}\n")
    click.echo(f"targets={json.dumps(chosen)}")


@click.command(epilog=EXITS)
@click.option("--version", required=True, type=click.IntRange(min=1), help="Of the source model.")
@options.target
@options.home
@options.parameter
@out_option
def journal(version: int, target: str, home: Path | None, param: Sequence[str], out: TextIO) -> None:
    """Print the steps of a version's promotion into a target.

    Stop if it was refused.

    Example: mlops ci journal --version 3 --target prod --home .laptop
    """
    given = options.parse_pairs(param)  # the name of the source as `mlops promote` prints it
    deployed = bundle_cli.load_deployed(target, home)
    registry = Registry(deployed.home)
    source = registry.get_version(deployed.source_model(given), version)
    champion = registry.find_alias_holder(deployed.model, "champion")
    begins = f"{source.model}/{source.number}@"
    copies = [
        Copy(version.number, ShownTags.of(version), _digest_of(registry, version))
        for version in registry.list_versions(deployed.model)
        if ShownTags.of(version).promoted_from.startswith(begins)
    ]
    target_options = ["--target", deployed.target, *(["--home", str(deployed.home)] if deployed.home else [])]
    steps = promotion_status(
        ShownTags.of(source),
        copies,
        digest=_digest_of(registry, source),
        champion=champion.number if champion else None,
        target_options=target_options,
    )
    out.writelines(f"- {step.name}: {step.state}, {escape_html(step.what)}\n" for step in steps)
    stop_if(f"{source} was refused on its way to {target}", [s.what for s in steps if s.state == "refused"])


def _digest_of(registry: Registry, version: Version) -> str:
    with registry.fetch_files(version) as folder:
        return artifact_digest(folder)


COMMANDS = (targets, journal)
