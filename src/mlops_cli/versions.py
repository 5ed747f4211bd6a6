"""`mlops status`, `history` and `compare` show alias holders, the audit table, and two versions side by side."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from mlops.contract import ConfigError, MlopsError, ModelError, clean_text
from mlops.contract.model_version import Version
from mlops.platform import runtime
from mlops.platform.model_scan import artifact_digest
from mlops.platform.registry import Registry
from mlops.release.version_record import MOVES, AuditRow, TrainingRun, VersionRecord, read_record
from mlops_cli import audit_records, options
from mlops_cli.bundle_cli import DeployedBundle
from mlops_cli.bundle_targets import TARGET, list_targets

_DIGEST = re.compile(r"(@[0-9a-f]{12})[0-9a-f]+")


@click.command(epilog=options.EXITS)
@options.home
@click.option("--target", "-t", "chosen", multiple=True, type=TARGET, help="Default: all.")
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
        _print_rows([shown, *([_format_value(row[name]) for name in shown] for row in short)])
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
    """The quality of a version: of a validation the figures of its floors, else what monitoring logged."""
    floors = {name.removeprefix("floor_"): value for name, value in metrics.items() if name.startswith("floor_")}
    return floors or metrics


def _alias_holders(target: str, home: Path | None) -> list[dict[str, Any]]:
    """One row for each alias that a version of a target holds."""
    deployed = options.resolve_target(target, home)
    registry = Registry(deployed.home)
    held = [(alias, registry.find_alias_holder(deployed.model, alias)) for alias in options.ALIASES]
    if not any(version for _, version in held):
        return []
    unread = None
    try:
        rows = audit_records.read_rows(deployed)
    except MlopsError as error:  # aliases and digests are worth seeing without the record
        rows, unread = [], f"the audit table of {target} cannot be read, so its columns stay empty: {error}"
    shown = [_target_status(deployed, registry, rows, alias, version) for alias, version in held if version is not None]
    return [row | {"problem": row["problem"] or unread} for row in shown]


def _check_digest(registry: Registry, version: Version, record: VersionRecord) -> tuple[str | None, str | None]:
    """Compute the digest of a version's files; returns it, and what is wrong with the files."""
    try:
        with registry.fetch_files(version) as folder:
            digest = artifact_digest(folder)
    except MlopsError as error:
        return None, str(error)
    recorded = record.facts.artifact_digest if record.facts else digest  # nobody has judged it yet
    return digest, None if digest == recorded else (
        f"the files of {version} have digest {digest[:12]}, not the recorded {recorded[:12]}: they were changed"
    )


def _latest_figures(
    registry: Registry, version: Version, experiment: str, record: VersionRecord
) -> tuple[str | None, Mapping[str, float]]:
    """Read the newest figures of a version and the name of their run: monitoring, else validation."""
    for run in registry.search_runs(experiment, {"version": str(version)}):
        return run.info.run_name, dict(run.data.metrics)
    run_id = record.verdict.validation_run if record.verdict else ""
    return ("validation" if run_id else None), registry.read_metrics(run_id)


def _target_status(
    deployed: DeployedBundle, registry: Registry, rows: Sequence[AuditRow], alias: str, version: Version
) -> dict[str, Any]:
    record = read_record(rows, version.number)
    digest, problem = _check_digest(registry, version, record)
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


@click.command(epilog=options.EXITS)
@options.target
@options.home
@options.output
def history(target: str, home: Path | None, output: str) -> None:
    """Show a target's audit table, oldest row first.

    It holds verdicts, decisions, promotions and moves of aliases. In a workspace a SQL warehouse reads it.

    Example: mlops history --target prod --home .laptop
    """
    deployed = options.resolve_target(target, home)
    rows = audit_records.read_rows(deployed)
    if output == "json":
        click.echo(json.dumps([asdict(row) for row in rows], indent=1, default=str))
        return
    for row in rows:
        options.print_line(_history_line(row))
    if not rows:
        click.echo(f"nothing was validated, promoted or deployed in {target} yet")


def _history_line(row: AuditRow) -> str:
    """A row on one line; control characters of its texts are replaced, and digests are cut to 12 digits."""
    replaced = f" in place of {row.from_version}" if row.move in MOVES and row.from_version is not None else ""
    verdict, digest = row.verdict if row.move == "verdict" else None, (row.verdict_digest or "")[:12]
    named = {"approved by": row.approved_by, "verdict": None if digest in row.reason else digest, "copy of": row.source}
    details = [verdict, *(f"{name} {_DIGEST.sub(r'\1', text)}" for name, text in named.items() if text)]
    also = ", ".join(filter(None, details))
    move = f"{row.move} of version {row.to_version}{replaced} by {row.by}: {row.reason}"
    return f"{row.sequence}  {row.at:%Y-%m-%d %H:%M:%S}  {clean_text(f'{move} ({also})' if also else move)}"


@click.command(epilog=options.EXITS)
@click.argument("a")
@click.argument("b")
@options.target
@options.home
@options.output
def compare(a: str, b: str, target: str, home: Path | None, output: str) -> None:
    """Show two versions of a target's model side by side.

    A and B are numbers or aliases.

    Example: mlops compare champion challenger --target prod --home .laptop
    """
    deployed = options.resolve_target(target, home)
    registry = Registry(deployed.home)
    rows_of_model = audit_records.read_rows(deployed)
    pages = [_version_facts(registry, rows_of_model, _find_version(registry, deployed.model, name)) for name in (a, b)]
    names = list(dict.fromkeys(name for page in pages for name in page))
    rows = [(name, *(page.get(name) for page in pages)) for name in names]
    if output == "json":
        click.echo(json.dumps([dict(zip(("what", "a", "b"), row, strict=True)) for row in rows], indent=1))
    else:
        _print_rows(
            [("", a, b, ""), *((*map(_format_value, row), "" if row[1] == row[2] else "differs") for row in rows)]
        )


def _find_version(registry: Registry, model: str, name: str) -> Version:
    if name.isdigit():
        return registry.get_version(model, int(name))
    holder = registry.find_alias_holder(model, name)
    if holder is None:
        raise ModelError(f"no version of {model} is {name!r}: give a number, or one of {', '.join(options.ALIASES)}")
    return holder


def _version_facts(registry: Registry, rows: Sequence[AuditRow], version: Version) -> dict[str, Any]:
    """Return everything that is known about a version, by name."""
    record = read_record(rows, version.number)
    digest, problem = _check_digest(registry, version, record)
    claims = TrainingRun.parse(registry.read_run_tags(version.run_id))
    runs = {"training": version.run_id, "validation": record.verdict.validation_run if record.verdict else ""}
    figures = {
        f"{name} {key}": value for name, run in runs.items() for key, value in registry.read_metrics(run).items()
    }
    until = f"{facts.trained_until:%Y-%m-%d}" if (facts := record.facts or claims).trained_until else ""
    known = {
        "verdict": record.display_tags.verdict, "promoted from": record.display_tags.promoted_from,
        "trained until": until, "trained by": facts.trained_by, "model digest": claims.model_digest,
    }  # fmt: skip
    return {
        "version": version.number,
        "digest of files": digest or problem,
        "aliases": ", ".join(version.aliases),
        **{name: text for name, text in known.items() if text},
        **figures,
    }


def _format_value(value: object) -> str:
    match value:
        case None | "":
            return "-"
        case float():
            return f"{value:.0f}" if value.is_integer() else f"{value:.4g}"
        case Mapping():
            return " ".join(f"{name} {_format_value(figure)}" for name, figure in value.items()) or "-"
        case _:
            return str(value)[:40]


def _print_rows(rows: Sequence[Sequence[str]]) -> None:
    widths = [max(len(row[n]) for row in rows) for n in range(len(rows[0]))] if rows else []
    for row in rows:
        options.print_line("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())
