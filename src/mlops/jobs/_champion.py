"""The champion alias follows the audit table: a move commits its row, and then moves the aliases.

A run that was stopped in between leaves a row whose aliases are behind; whoever comes next finishes it first.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from pyspark.sql import Row

from mlops.adapters.registry import Version
from mlops.config import DeploymentConfig, RollbackConfig
from mlops.contract import Conflict, ModelError
from mlops.jobs import _audit, _layout
from mlops.jobs._audit import Entry, newest_move
from mlops.jobs._launch import Context

CHAMPION = "champion"
CHALLENGER = "challenger"
PREVIOUS = "previous_champion"
MOVING = "moving"
"""Held while a version is made champion. Whoever may not set aliases is refused here, before a row is written."""
APPROVAL = "approval"
"""Tag of an approved version, as Databricks' own button sets it: the approval task's name, value Approved."""
APPROVAL_TAGS = (APPROVAL, "approval_by", "approval_expires", "approval_artifact_digest", "approval_verdict_digest")

Job = Context[DeploymentConfig] | Context[RollbackConfig]


def settle(job: Job) -> Row | None:
    """Bring the aliases to what the newest move of the audit table says; returns that move.

    Who had to move one looks again: if he was overtaken meanwhile, his must not stay.
    """
    last = newest_move(_audit.rows(job))
    while last is not None and _follow(job, last):
        last = newest_move(_audit.rows(job))
    return last


def move(job: Job, version: Version, kind: str, reason: str, last: Row | None) -> None:
    """Make a version champion.

    Args:
        job: deployment or rollback.
        version: the new champion.
        kind: `deployment` or `rollback`.
        reason: why, for the audit table.
        last: the newest move when it was decided, as `settle` returned it.

    Raises:
        Conflict: another run moved the champion since; nothing was changed.
    """

    def overtaken(rows: Sequence[Row]) -> bool:
        newest = newest_move(rows)
        return (newest and newest.move_id) != (last and last.move_id)

    champion = job.registry.holder(version.model, CHAMPION)
    before = None if champion is None else champion.number
    with suppress(ModelError):  # another move took the alias in between: the table decides between the two
        job.registry.set_alias(version, MOVING)
    entry = Entry(kind, version, before, version.tags.get("promoted_from", ""), reason)
    row = _audit.add(job, entry, overtaken)
    settle(job)
    if row is None:
        _drop(job, MOVING, version.number)
        raise Conflict(
            f"another run moved the champion of {version.model} first; nothing was changed: see `mlops history`"
        )


def _follow(job: Job, row: Row) -> bool:
    """Bring tags and aliases to what a row says; returns whether an alias had to be moved."""
    version = _there(job, row.to_version)
    if version is None:
        job.log.warning("version %d was made champion of %s and then deleted", row.to_version, row.model_name)
        return False
    since = f"{_layout.utc(row.at):%Y-%m-%dT%H:%M:%SZ}"
    told = {"champion_by": row.by, "champion_since": since, "champion_reason": row.reason}
    job.registry.tag(version, {name: text for name, text in told.items() if version.tags.get(name) != text})
    moved = row.from_version != row.to_version and _point(job, PREVIOUS, row.from_version)
    if _point(job, CHAMPION, row.to_version):
        moved = True
        job.log.info("%s is champion", version)
    for alias in (CHALLENGER, MOVING):
        _drop(job, alias, row.to_version)
    return moved


def _point(job: Job, alias: str, number: int | None) -> bool:
    """Whether the alias had to be moved, and there was a version to move it to."""
    holder = job.registry.holder(job.config.model_name, alias)
    if number is None or (holder is not None and holder.number == number):
        return False
    version = _there(job, number)
    if version is not None:
        job.registry.set_alias(version, alias)
    return version is not None


def _drop(job: Job, alias: str, number: int) -> None:
    holder = job.registry.holder(job.config.model_name, alias)
    if holder is not None and holder.number == number:
        job.registry.drop_alias(holder.model, alias)


def _there(job: Job, number: int) -> Version | None:
    try:
        return job.registry.version(job.config.model_name, number)
    except ModelError:
        return None
