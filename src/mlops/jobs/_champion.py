"""The champion alias and its audit table: the table is the arbiter, the alias follows it.

A move first commits its row under the next sequence number, which two writers cannot both get, and then moves the
aliases. A run that was killed in between leaves a row whose aliases are behind; the next move finishes it first.
"""

from __future__ import annotations

from pyspark.sql import Row
from pyspark.sql import functions as F

from mlops.adapters import platform
from mlops.adapters.registry import Version
from mlops.config import DeploymentConfig, RollbackConfig
from mlops.contract import Conflict
from mlops.jobs import _layout
from mlops.jobs._launch import Context

CHAMPION = "champion"
CHALLENGER = "challenger"
PREVIOUS = "previous_champion"
APPROVAL = "approval"
"""Tag of an approved version, as Databricks' own button sets it: the approval task's name, value Approved."""
APPROVAL_TAGS = (APPROVAL, "approval_by", "approval_artifact_digest", "approval_verdict_digest")

Job = Context[DeploymentConfig | RollbackConfig]


def settle(job: Job) -> int | None:
    """Finish the last move of the audit table, if its aliases are behind; returns the version that it made champion."""
    last = _last(job)
    if last is None:
        return None
    _follow(job, last)
    return int(last.to_version)


def move(job: Job, version: Version, kind: str, reason: str) -> None:
    """Make a version champion.

    Raises:
        Conflict: another run moved the champion first; nothing was changed.
    """
    champion = job.registry.holder(version.model, CHAMPION)
    last = _last(job)
    sequence = 1 + (last.sequence if last else 0)
    row = (
        version.model, sequence, kind, champion and champion.number, version.number,
        version.tags.get("artifact_digest"), version.tags.get("verdict_digest"), platform.identity(), reason,
        job.config.run_id, job.config.as_of,
    )  # fmt: skip
    job.own.insert_new("audit", _layout.frame(job.own, "audit", [row]), ("model_name", "sequence"))
    committed = _last(job)
    if committed is None or (committed.sequence, committed.run_id) != (sequence, job.config.run_id):
        raise Conflict(
            f"another run moved the champion of {version.model} first; nothing was changed: look, then run again"
        )
    _follow(job, committed)


def _last(job: Job) -> Row | None:
    _layout.create(job.own, "audit")
    moves = job.own.read("audit").where(F.col("model_name") == job.config.model_name)
    newest = moves.orderBy(F.col("sequence").desc()).limit(1).collect()
    return newest[0] if newest else None


def _follow(job: Job, row: Row) -> None:
    champion = job.registry.holder(row.model_name, CHAMPION)
    if champion is not None and champion.number == row.to_version:
        return
    version = job.registry.version(row.model_name, row.to_version)
    if row.from_version is not None:
        job.registry.set_alias(job.registry.version(row.model_name, row.from_version), PREVIOUS)
    job.registry.set_alias(version, CHAMPION)
    challenger = job.registry.holder(row.model_name, CHALLENGER)
    if challenger is not None and challenger.number == row.to_version:
        job.registry.drop_alias(row.model_name, CHALLENGER)
    job.log.info("%s is champion", version)
