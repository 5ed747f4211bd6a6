"""`mlops history` shows the audit table of a target."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from pathlib import Path

import click

from mlops.contract import clean_text
from mlops.release.version_record import MOVES, AuditRow
from mlops_cli import audit_records, options

_DIGEST = re.compile(r"(@[0-9a-f]{12})[0-9a-f]+")


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
    """Format a row as one line: control characters are replaced, digests cut to 12 digits."""
    replaced = f" in place of {row.from_version}" if row.move in MOVES and row.from_version is not None else ""
    verdict, digest = row.verdict if row.move == "verdict" else None, (row.verdict_digest or "")[:12]
    named = {"approved by": row.approved_by, "verdict": None if digest in row.reason else digest, "copy of": row.source}
    details = [verdict, *(f"{name} {_DIGEST.sub(r'\1', text)}" for name, text in named.items() if text)]
    also = ", ".join(filter(None, details))
    move = f"{row.move} of version {row.to_version}{replaced} by {row.by}: {row.reason}"
    return f"{row.sequence}  {row.at:%Y-%m-%d %H:%M:%S}  {clean_text(f'{move} ({also})' if also else move)}"
