"""Move the champion: commit a row to the audit table, which decides, then move the aliases, which show it.

A run that stops between the two leaves aliases that differ from the table; the next run reconciles them first.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

from mlops.config import DeploymentConfig, ModelConfig
from mlops.context import Context
from mlops.contract import ApprovalPending, Conflict, Forbidden, ModelError
from mlops.contract.model_version import Version
from mlops.platform import runtime
from mlops.platform.registry import Registry
from mlops.release import approvals, audit_log
from mlops.release.version_record import FACTS, AuditRow, Kind, VersionRecord, champion_of, newest_move, read_record

CHAMPION = "champion"
CHALLENGER = "challenger"
PREVIOUS = "previous_champion"
MOVING = "moving"
"""Alias that is set before the row is written: an identity without the right to set aliases fails before it writes."""


def load_serving[C: ModelConfig](job: Context[C]) -> Version | None:
    """Load the champion of the audit table, as `find_serving`."""
    return find_serving(job.registry, job.config.model_name, audit_log.load_rows(job), job.config.target)


def find_serving(registry: Registry, model: str, rows: Sequence[AuditRow], target: str) -> Version | None:
    """Find the champion of the audit table, with the facts that were recorded of it; None: there is no champion.

    Args:
        registry: where the model is.
        model: catalog.schema.model.
        rows: the audit rows of the model, oldest first.
        target: name of the bundle's target, for commands in messages.

    Raises:
        ModelError: the alias shows another version, or the version was deleted.
    """
    last, holder = newest_move(rows), registry.find_alias_holder(model, CHAMPION)
    if last is None:
        if holder is not None:
            raise ModelError(
                f"alias champion of {model} points at version {holder.number}, which the audit table never made "
                "champion: somebody moved the alias by hand. Delete the alias, and start the deployment job for the "
                "version"
            )
        return None
    if holder is None or holder.number != last.to_version:
        shown = "no version" if holder is None else f"version {holder.number}"
        cure = runtime.command("mlops", "deploy", str(last.to_version), "--target", target)
        raise ModelError(
            f"alias champion of {model} points at {shown}, and the audit table says version {last.to_version} "
            f"({last.move} by {last.by}): the move was interrupted, or somebody moved the alias by hand; nothing was "
            f"done, run: {cure}"
        )
    return as_recorded(holder, last)


def as_recorded(version: Version, row: AuditRow) -> Version:
    """Return the version with the facts that a row of the audit table records."""
    return replace(version, facts=row.facts)


def reconcile_aliases[C: ModelConfig](job: Context[C], rows: Sequence[AuditRow] | None = None) -> Sequence[AuditRow]:
    """Set the aliases to match the newest move in the audit table; returns the rows of the model.

    After moving an alias the table is read again: another run may have moved the champion in between.

    Args:
        job: any job that writes the audit table.
        rows: the rows of the model, if the job has read them just now.
    """
    rows = audit_log.load_rows(job) if rows is None else rows
    while (last := newest_move(rows)) is not None and _apply_move(job, last, rows):
        rows = audit_log.load_rows(job)
    return rows


def require_approval(job: Context[DeploymentConfig], rows: Sequence[AuditRow]) -> VersionRecord:
    """Return the record of the job's version if it may become champion; approval and deployment call it.

    Args:
        job: approval or deployment.
        rows: the rows of the model.

    Raises:
        MlopsError: it may not; names every reason and the command to run.
    """
    number = job.config.model_version
    record = replace(read_record(rows, number), model_name=job.config.model_name)
    objections = approvals.object_to_deployment(record, champion_of(rows), job.config.approval, runtime.now())
    text, target = str(number), job.config.target
    if objections and objections[0].error is ApprovalPending:
        cure = f"have somebody else run: {runtime.command('mlops', 'approve', text, '--target', target)}"
    else:
        command = runtime.command("mlops", "deploy", text, "--target", target)
        cure = f"nothing was changed: to have it judged again, run: {command}"
    approvals.raise_first(objections, cure)
    return record


def row_of_move[C: ModelConfig](
    job: Context[C], kind: Kind, version: Version, record: VersionRecord, reason: str
) -> AuditRow:
    """Make the row that makes a version champion, with the facts of its record about files and training."""
    # A rollback brings back the files that served, even if the version was judged again since.
    known = record.verdict if kind == "deployment" else record.move or record.verdict
    return audit_log.new_row(
        job, kind, version, reason=reason,
        source=record.promotion.source if record.promotion else "",
        approved_by=record.approval.by if record.approval else "",
        **({name: getattr(known, name) for name in (*FACTS, "verdict_digest")} if known else {}),
    )  # fmt: skip


def move_champion[C: ModelConfig](job: Context[C], version: Version, row: AuditRow, last: AuditRow | None) -> None:
    """Make a version champion.

    Args:
        job: deployment or rollback.
        version: the new champion.
        row: the row of `row_of_move`.
        last: the newest move at the time of the decision, among the rows that `reconcile_aliases` returned.

    Raises:
        Conflict: another run moved the champion since; nothing was changed.
    """

    def is_overtaken(rows: Sequence[AuditRow]) -> bool:
        newest = newest_move(rows)
        return (newest and newest.move_id) != (last and last.move_id)

    with suppress(ModelError):  # another move took the alias; the audit table decides between the two
        job.registry.set_alias(version, MOVING)
    added = audit_log.add_row(job, replace(row, from_version=last.to_version if last else None), is_overtaken)
    reconcile_aliases(job, added)
    if added is None:
        _drop_alias(job, MOVING, version.number)
        raise Conflict(
            f"another run moved the champion of {version.model} first; nothing was changed: see "
            f"{runtime.command('mlops', 'history', '--target', job.config.target)}"
        )


def show_record[C: ModelConfig](
    job: Context[C], version: Version, rows: Sequence[AuditRow], dropped: Sequence[str] = ()
) -> None:
    """Show the version's record as its tags. No decision reads them, so a refused tag is only logged.

    Args:
        job: any job that writes the audit table.
        version: the version, with the tags that it has now.
        rows: the rows of its model.
        dropped: further tags to delete.
    """
    changes = read_record(rows, version.number).display_tags.changes(version)
    changes |= dict.fromkeys(name for name in dropped if name in version.tags)
    try:
        job.registry.set_tags(version, changes)
    except (ModelError, Forbidden) as error:
        job.log.warning("%s does not show its tags %s: %s", version, ", ".join(sorted(changes)), error)


def _apply_move[C: ModelConfig](job: Context[C], row: AuditRow, rows: Sequence[AuditRow]) -> bool:
    """Set aliases and tags to match a row; returns whether an alias was moved."""
    version = find_version(job, row.to_version)
    if version is None:
        job.log.warning("version %d was made champion of %s and then deleted", row.to_version, row.model_name)
        return False
    moved = row.from_version != row.to_version and _point_alias(job, PREVIOUS, row.from_version)
    if _point_alias(job, CHAMPION, row.to_version):
        moved = True
        job.log.info("%s is champion", version)
    for alias in (CHALLENGER, MOVING):
        _drop_alias(job, alias, row.to_version)
    show_record(job, version, rows)
    return moved


def _point_alias[C: ModelConfig](job: Context[C], alias: str, number: int | None) -> bool:
    """Point an alias at a version; returns False if the alias was right already, or the version is gone."""
    holder = job.registry.find_alias_holder(job.config.model_name, alias)
    if number is None or (holder is not None and holder.number == number):
        return False
    version = find_version(job, number)
    if version is not None:
        job.registry.set_alias(version, alias)
    return version is not None


def _drop_alias[C: ModelConfig](job: Context[C], alias: str, number: int) -> None:
    holder = job.registry.find_alias_holder(job.config.model_name, alias)
    if holder is not None and holder.number == number:
        job.registry.drop_alias(holder.model, alias)


def find_version[C: ModelConfig](job: Context[C], number: int) -> Version | None:
    """Find a version by its number; None: it was deleted."""
    try:
        return job.registry.get_version(job.config.model_name, number)
    except ModelError:
        return None
