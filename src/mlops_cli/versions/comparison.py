"""`mlops compare` shows all that is known of two versions, side by side."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from mlops.contract import MlopsError, ModelError
from mlops.contract.model_version import Version
from mlops.platform.model_scan import artifact_digest
from mlops.platform.registry import Registry
from mlops.release.version_record import AuditRow, TrainingRun, VersionRecord, read_record
from mlops_cli import audit_records, options
from mlops_cli.home_registry import HomeRegistry, open_registry
from mlops_cli.versions.text_tables import format_value, print_rows


def check_digest(
    registry: Registry | HomeRegistry, version: Version, record: VersionRecord
) -> tuple[str | None, str | None]:
    """Compute the digest of a version's files; returns it, and what is wrong with the files."""
    try:
        with registry.fetch_files(version) as folder:
            digest = artifact_digest(folder)
    except MlopsError as error:
        return None, str(error)
    recorded = record.facts.artifact_digest if record.facts else digest  # it has no verdict yet
    return digest, None if digest == recorded else (
        f"the files of {version} have digest {digest[:12]}, not the recorded {recorded[:12]}: they were changed"
    )


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
    registry = open_registry(deployed.home)
    rows_of_model = audit_records.read_rows(deployed)
    pages = [_version_facts(registry, rows_of_model, _find_version(registry, deployed.model, name)) for name in (a, b)]
    names = list(dict.fromkeys(name for page in pages for name in page))
    rows = [(name, *(page.get(name) for page in pages)) for name in names]
    if output == "json":
        click.echo(json.dumps([dict(zip(("what", "a", "b"), row, strict=True)) for row in rows], indent=1))
    else:
        print_rows(
            [("", a, b, ""), *((*map(format_value, row), "" if row[1] == row[2] else "differs") for row in rows)]
        )


def _find_version(registry: Registry | HomeRegistry, model: str, name: str) -> Version:
    if name.isdigit():
        return registry.get_version(model, int(name))
    holder = registry.find_alias_holder(model, name)
    if holder is None:
        raise ModelError(f"no version of {model} is {name!r}: give a number, or one of {', '.join(options.ALIASES)}")
    return holder


def _version_facts(registry: Registry | HomeRegistry, rows: Sequence[AuditRow], version: Version) -> dict[str, Any]:
    """Return everything that is known about a version, by name."""
    record = read_record(rows, version.number)
    digest, problem = check_digest(registry, version, record)
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
