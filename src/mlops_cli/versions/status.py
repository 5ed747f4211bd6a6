"""`mlops status` shows which version holds which alias in each target."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from mlops.contract import ConfigError, MlopsError
from mlops.contract.model_version import Version
from mlops.platform import runtime
from mlops.platform.registry import Registry
from mlops.release.version_record import AuditRow, VersionRecord, read_record
from mlops_cli import audit_records, options
from mlops_cli.bundle_cli import DeployedBundle
from mlops_cli.bundle_targets import TARGET, list_targets
from mlops_cli.home_registry import HomeRegistry, open_registry
from mlops_cli.versions.comparison import check_digest
from mlops_cli.versions.text_tables import format_value, print_rows


@click.command(epilog=options.EXITS)
@options.home
@click.option("--target", "-t", "chosen", multiple=True, type=TARGET, help="Default: all targets.")
@options.output
def status(home: Path | None, chosen: Sequence[str], output: str) -> None:
    """Show which version holds which alias in each target.

    Digests are recomputed from the files. A target that cannot be read is an error beside the others, exit code 1.

    Example: mlops status --home .laptop --output json
    """
    rows: list[dict[str, Any]] = []
    unread: dict[str, str] = {}
    targets = chosen or list_targets(home)
    if not targets:
        raise ConfigError("no target is known: run this in a checkout of the bundle, or name a home where a job ran")
    for target in targets:
        try:
            rows += _alias_holders(target, home)
        except Exception as error:
            sentence = options.describe_error(error)
            if sentence is None:
                raise
            unread[target] = sentence
    if output == "json":
        click.echo(json.dumps([*rows, *({"target": name, "error": text} for name, text in unread.items())], indent=1))
    elif rows:
        shown = ("target", "alias", "version", "digest", "age_hours", "since", "by", "measured", "metrics")
        short = [{**row, "digest": (row["digest"] or "")[:12], "metrics": _quality(row["metrics"])} for row in rows]
        print_rows([shown, *([format_value(row[name]) for name in shown] for row in short)])
    elif not unread:
        click.echo("no version holds an alias yet")
    for name, text in unread.items():
        options.print_line(*f"error: target {name}: {text}".split("\n"), err=True)
    problems = dict.fromkeys(str(row["problem"]) for row in rows if row["problem"])
    for text in problems:
        options.print_line(f"error: {text}", err=True)
    if unread or problems:
        raise click.exceptions.Exit(1)


def _quality(metrics: Mapping[str, float]) -> Mapping[str, float]:
    """Return the figures of a version's floors if a validation logged them, else all figures of monitoring."""
    floors = {name.removeprefix("floor_"): value for name, value in metrics.items() if name.startswith("floor_")}
    return floors or metrics


def _alias_holders(target: str, home: Path | None) -> list[dict[str, Any]]:
    """List the alias holders of a target, one row for each alias."""
    deployed = options.resolve_target(target, home)
    registry = open_registry(deployed.home)
    held = [(alias, registry.find_alias_holder(deployed.model, alias)) for alias in options.ALIASES]
    if not any(version for _, version in held):
        return []
    unread = None
    try:
        rows = audit_records.read_rows(deployed)
    except MlopsError as error:  # aliases and digests are shown even if the record cannot be read
        rows, unread = [], f"the audit table of {target} cannot be read, so its columns stay empty: {error}"
    shown = [_target_status(deployed, registry, rows, alias, version) for alias, version in held if version is not None]
    return [row | {"problem": row["problem"] or unread} for row in shown]


def _latest_figures(
    registry: Registry | HomeRegistry, version: Version, experiment: str, record: VersionRecord
) -> tuple[str | None, Mapping[str, float]]:
    """Read the newest figures of a version and the name of their run: monitoring, else validation."""
    if newest := registry.find_newest_run(experiment, "version", str(version)):
        return newest
    run_id = record.verdict.validation_run if record.verdict else ""
    return ("validation" if run_id else None), registry.read_metrics(run_id)


def _target_status(
    deployed: DeployedBundle,
    registry: Registry | HomeRegistry,
    rows: Sequence[AuditRow],
    alias: str,
    version: Version,
) -> dict[str, Any]:
    record = read_record(rows, version.number)
    digest, problem = check_digest(registry, version, record)
    age = runtime.now() - version.created
    experiment = deployed.parameter_default("deployment", "experiment")
    measured, metrics = _latest_figures(registry, version, experiment, record)
    move = record.move if alias == "champion" else None
    trained_by = record.facts.trained_by if record.facts else None
    return {
        "target": deployed.target,
        "alias": alias,
        "model": version.model,
        "version": version.number,
        "digest": digest,
        "problem": problem,
        "run": version.run_id,
        "age_hours": round(age.total_seconds() / 3600, 2),
        "since": f"{move.at:%Y-%m-%dT%H:%M:%SZ}" if move else None,
        "by": move.by if move else record.promotion.by if record.promotion else trained_by,
        "verdict": record.display_tags.verdict or None,
        "measured": measured,
        "metrics": metrics,
    }
