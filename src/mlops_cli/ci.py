"""`mlops ci`: what GitHub's workflows and Azure's pipelines call. They hold no logic of their own."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TextIO

import click

from mlops.contract import ConfigError, MlopsError
from mlops.contract.model_version import Version
from mlops.platform.model_scan import artifact_digest
from mlops.platform.registry import Registry
from mlops.release.version_record import ShownTags
from mlops_cli import bundle_cli, checkout, delivery, options, plans
from mlops_cli.bundle_targets import list_deployed_targets
from mlops_cli.ci_notices import NOTICES

_EXITS = "Exit codes: 0 go on, 1 stop, 2 wrong arguments."
_file = click.Path(exists=True, dir_okay=False, path_type=Path)
_planner = click.option("--planner", help="Principal that made the plan; its own right is taken as it was deployed.")
_out = click.option("--out", type=click.File("w"), default="-", help="Where the Markdown goes.")
_folder = click.option("--folder", type=click.Path(file_okay=False, path_type=Path), default="dist", show_default=True)


@click.group(epilog=_EXITS)
def ci() -> None:
    """Run the checks of a pipeline: plan, drift, release, audit.

    Example: mlops ci plan plan.json --target prod
    """


@ci.command(epilog=_EXITS)
@_folder
def build(folder: Path) -> None:
    """Build the wheel, its bill of materials and release.json.

    Every target gets this one wheel.

    Example: mlops ci build
    """
    made = delivery.Release(
        checkout.head_commit(), checkout.project_version(), checkout.lock_digest(), checkout.build_release(folder)
    )
    (folder / checkout.RECORD).write_text(json.dumps(asdict(made), indent=1) + "\n")
    for name, digest in made.files.items():
        click.echo(f"{digest}  {name}")


@ci.command(epilog=_EXITS)
@_folder
@click.option("--commit", help="That has to have been built. Default: the one that is checked out.")
@click.option("--attestations", type=_file, help="What `gh attestation verify --format json` printed.")
def verify(folder: Path, commit: str | None, attestations: Path | None) -> None:
    """Stop unless a folder holds what this commit built.

    Example: mlops ci verify --attestations attestations.json
    """
    record = folder / checkout.RECORD
    if not record.is_file():
        raise ConfigError(f"{folder} has no {checkout.RECORD}: download what `mlops ci build` made")
    attested = None if attestations is None else _parse_attestations(checkout.read_file(attestations))
    errors = delivery.release_errors(
        delivery.parse_release(checkout.read_file(record)),
        files=checkout.file_digests(folder),
        commit=commit or checkout.head_commit(),
        lock=checkout.lock_digest(),
        attested=attested,
    )
    _stop_if("not what was built", errors)
    click.echo(f"{folder} holds what was built from {(commit or checkout.head_commit())[:12]}")


def _parse_attestations(text: str) -> list[dict[str, object]]:
    try:
        statements = json.loads(text)
    except ValueError:
        statements = None
    if not isinstance(statements, list) or not all(isinstance(statement, dict) for statement in statements):
        raise ConfigError("this is no list of attestations: give what `gh attestation verify --format json` printed")
    return statements


@ci.command(epilog=_EXITS)
@click.argument("plan", type=_file)
@options.target
@_planner
@_out
def plan(plan: Path, target: str, planner: str | None, out: TextIO) -> None:
    """Write a plan as Markdown for its reviewers.

    Costs, rights and what is destroyed come first, then every action.

    Example: mlops ci plan plan.json --target prod --out plan.md
    """
    out.write(plans.summarise_plan(_as_deployer(plan, planner), target))


def _as_deployer(file: Path, planner: str | None) -> plans.Plan:
    parsed = plans.parse_plan(checkout.read_file(file))
    return plans.as_deployer(parsed, planner) if planner else parsed


@ci.command("same-plan", epilog=_EXITS)
@click.argument("approved", type=_file)
@click.argument("now", type=_file)
@click.option("--planner", "planners", multiple=True, help="Who made the approved plan; then who made the other one.")
def same_plan(approved: Path, now: Path, planners: tuple[str, ...]) -> None:
    """Stop unless this plan does what the approved one does.

    Example: mlops ci same-plan approved/plan.json plan.json --planner PLANNER --planner DEPLOYER
    """
    if len(planners) not in (0, 2):
        raise click.UsageError("give --planner twice: who made the approved plan, then who made the other one")
    before, after = (plans.parse_plan(checkout.read_file(file)) for file in (approved, now))
    planner, deployer = planners or (None, None)
    differences = plans.plan_differences(before, after, planner=planner, deployer=deployer)
    _stop_if("not the plan that was approved; plan again and have it approved", differences)
    click.echo(f"{len(after.actions)} actions, each as approved")


@ci.command("settled", epilog=_EXITS)
@click.argument("plan", type=_file)
@_planner
def check_settled(plan: Path, planner: str | None) -> None:
    """Stop unless the plan after a deployment is empty.

    Example: mlops ci settled after.json
    """
    pending = [f"{entry.action} {entry.key}" for entry in _as_deployer(plan, planner).actions]
    _stop_if("deployed, and the next plan is not empty", pending)
    click.echo("the next plan is empty")


@ci.command(epilog=_EXITS)
@click.argument("plan", type=_file)
@options.target
@_planner
@_out
def drift(plan: Path, target: str, planner: str | None, out: TextIO) -> None:
    """Stop if a deployed resource was changed by hand.

    A change of the bundle that waits for its deployment is no drift.

    Example: mlops ci drift plan.json --target prod --out drift.md
    """
    config_drift = plans.config_drift(_as_deployer(plan, planner))
    out.write(plans.report_drift(config_drift, target))
    _stop_if(f"target {target} has drifted", [f"{key} {change.path}" for key, change in config_drift.drifted])


@ci.command(epilog=_EXITS)
@click.option("--on", default="", help="Targets that have a workspace, as in variable DEPLOY_TARGETS: staging, prod.")
@_out
def targets(on: str, out: TextIO) -> None:
    """Print the targets that a pipeline may deploy.

    The line is for GITHUB_OUTPUT; the Markdown says which targets are skipped.

    Example: mlops ci targets --on staging --out targets.md
    """
    deployed = list_deployed_targets()
    if not deployed:
        raise ConfigError("no target is known: run this in a checkout whose targets are not all in development")
    chosen = delivery.parse_deploy_targets(on, deployed)
    for target in deployed:
        skipped = "skipped, since variable `DEPLOY_TARGETS` does not name it: see docs/how-to/switch-on.md"
        out.write(f"- {target}: {'on' if target in chosen else skipped}\n")
    click.echo(f"targets={json.dumps(chosen)}")


@ci.command(epilog=_EXITS)
@click.option("--version", required=True, type=click.IntRange(min=1), help="Of the source model.")
@options.target
@options.home
@options.parameter
@_out
def journal(version: int, target: str, home: Path | None, param: Sequence[str], out: TextIO) -> None:
    """Print the steps of a version's promotion into a target.

    Stop if it was refused.

    Example: mlops ci journal --version 3 --target prod --home .laptop
    """
    given = options.parse_pairs(param)  # the words of `mlops promote`, so that both speak of one source
    deployed = bundle_cli.load_deployed(target, home)
    registry = Registry(deployed.home)
    source = registry.get_version(deployed.source_model(given), version)
    champion = registry.find_alias_holder(deployed.model, "champion")
    begins = f"{source.model}/{source.number}@"
    copies = [
        delivery.Copy(version.number, ShownTags.of(version), _digest_of(registry, version))
        for version in registry.list_versions(deployed.model)
        if ShownTags.of(version).promoted_from.startswith(begins)
    ]
    target_options = ["--target", deployed.target, *(["--home", str(deployed.home)] if deployed.home else [])]
    steps = delivery.promotion_status(
        ShownTags.of(source),
        copies,
        digest=_digest_of(registry, source),
        champion=champion.number if champion else None,
        target_options=target_options,
    )
    out.writelines(f"- {step.name}: {step.state}, {plans.escape_html(step.what)}\n" for step in steps)
    _stop_if(f"{source} was refused on its way to {target}", [s.what for s in steps if s.state == "refused"])


def _digest_of(registry: Registry, version: Version) -> str:
    with registry.fetch_files(version) as folder:
        return artifact_digest(folder)


@ci.command(epilog=_EXITS)
@click.option("--exceptions", type=_file, default=".ci/vulnerabilities.toml", show_default=True)
@click.option("--report", type=_file, help="What `uv audit --output-format json` printed. Default: ask it.")
@click.option("--today", type=click.DateTime(["%Y-%m-%d"]), help="Default: today, UTC.")
def audit(exceptions: Path, report: Path | None, today: datetime | None) -> None:
    """Stop if a locked package has an open vulnerability.

    Open is what no exception accepts, or whose exception has expired.

    Example: mlops ci audit
    """
    vulnerabilities = delivery.parse_vulnerabilities(checkout.read_file(report) if report else checkout.audit_lock())
    accepted = delivery.parse_exceptions(checkout.read_file(exceptions))
    day: date = (today or datetime.now(UTC)).date()
    _stop_if("the lock has open vulnerabilities", delivery.open_vulnerabilities(vulnerabilities, accepted, day))
    click.echo(f"{len(vulnerabilities)} known vulnerabilities, {len(accepted)} accepted")


@ci.command(epilog=_EXITS)
@click.option("--history/--no-history", default=False, help="Every commit, too.")
def secrets(*, history: bool) -> None:
    """Stop if a tracked file holds a credential.

    The place is printed, the credential is not.

    Example: mlops ci secrets --history
    """
    places = [
        f"{name}:{n}: {kind}"
        for name, text in checkout.read_texts(history=history)
        for n, kind in delivery.find_secrets(text)
    ]
    _stop_if("credentials in the repository: revoke them first, then remove them", places)
    click.echo("no credential found")


@ci.command(epilog=_EXITS)
@click.option("--tag", required=True, help="As v0.1.0.")
@_out
def notes(tag: str, out: TextIO) -> None:
    """Write what CHANGELOG.md says about a release.

    Stop unless its tag is the project's version.

    Example: mlops ci notes --tag v0.1.0
    """
    version = delivery.check_tag(tag, checkout.project_version()).removeprefix("v")
    out.write(delivery.release_notes(Path("CHANGELOG.md").read_text(), version) + "\n")


@ci.command(epilog=_EXITS)
@click.option("--known", type=_file, default=".ci/licences.toml", show_default=True, help="What packages do not say.")
@_out
def licences(known: Path, out: TextIO) -> None:
    """Write the licence of each package that the wheel needs.

    Stop if one is unknown or not allowed.

    Example: mlops ci licences --out licences.md
    """
    licence_of = {**checkout.read_licences(), **tomllib.loads(checkout.read_file(known))}
    out.write("| package | licence |\n|---|---|\n")
    out.writelines(
        f"| {name} | {plans.escape_html(text.partition(chr(10))[0])} |\n" for name, text in sorted(licence_of.items())
    )
    _stop_if("licences to look at", delivery.licence_errors(licence_of))


@ci.command(epilog=_EXITS)
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option("--platform", "platforms", multiple=True, default=("manylinux_2_28_x86_64", "manylinux_2_17_x86_64"))
def wheelhouse(folder: Path, platforms: tuple[str, ...]) -> None:
    """Download wheels of all that the wheel needs.

    For a workspace that reaches no package index.

    Example: mlops ci wheelhouse wheels
    """
    click.echo(f"{checkout.download_wheels(folder, platforms)} wheels in {folder}, each as the lock has it")


for _command in NOTICES:
    ci.add_command(_command)


def _stop_if(what: str, reasons: object) -> None:
    """Stop with each reason on its own line; no reason can be read as a command of the pipeline that prints it."""
    lines = [str(reason) for reason in (reasons if isinstance(reasons, list | tuple) else ())]
    if lines:
        raise MlopsError("\n  ".join([f"{what}:", *(options.escape_control(line) for line in lines)]))
