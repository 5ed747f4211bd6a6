"""The audit table: who moved what, when, why, from which version and on which verdict. Rows are added, never changed.

It is also the arbiter that the registry lacks. Rows of a model are numbered without gaps, and of two writers with one
number only one gets it: the other one looks again, and gives way if what it wanted has been decided meanwhile.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from pyspark.sql import Row
from pyspark.sql import functions as F

from mlops.adapters import platform
from mlops.adapters.registry import Version
from mlops.config import DeploymentConfig, PromotionConfig, RollbackConfig
from mlops.contract import Conflict
from mlops.jobs import _layout
from mlops.jobs._launch import Context

MOVES = ("deployment", "rollback")
"""The rows that move the champion; `promotion` is the third kind."""
_TRIES = 50

Job = Context[DeploymentConfig] | Context[RollbackConfig] | Context[PromotionConfig]


@dataclass(frozen=True)
class Entry:
    """What a row says besides who and when."""

    move: str
    version: Version
    from_version: int | None
    source: str
    """model/number@digest of the version that it is a copy of; "" for one that was trained here."""
    reason: str


def rows(job: Job) -> list[Row]:
    """All rows about the job's model, oldest first."""
    _layout.create(job.own, "audit")
    about = job.own.read("audit").where(F.col("model_name") == job.config.model_name)
    found: list[Row] = about.orderBy("sequence").collect()
    return found


def newest_move(found: Sequence[Row]) -> Row | None:
    """The newest of the rows that move the champion."""
    return next((row for row in reversed(found) if row.move in MOVES), None)


def add(job: Job, entry: Entry, overtaken: Callable[[Sequence[Row]], bool]) -> Row | None:
    """Add a row under the next number.

    Args:
        job: whose model it is about.
        entry: the row.
        overtaken: whether the rows that are there by now make this one pointless; asked before every try.

    Returns:
        The row as it was committed; None: overtaken, and nothing was written.

    Raises:
        Conflict: every number was taken by others.
    """
    for _ in range(_TRIES):
        before = rows(job)
        if overtaken(before):
            return None
        row = _row(job, entry, 1 + (before[-1].sequence if before else 0))
        with suppress(Conflict):
            job.own.insert_new("audit", _layout.frame(job.own, "audit", [row]), ("model_name", "sequence"))
        mine = [each for each in rows(job) if each.move_id == row[2]]
        if mine:
            return mine[0]
    raise Conflict(f"the audit table of {job.config.model_name} is written by too many others: run again")


def _row(job: Job, entry: Entry, sequence: int) -> tuple[object, ...]:
    tags = entry.version.tags
    return (
        entry.version.model, sequence, uuid.uuid4().hex, entry.move, entry.from_version, entry.version.number,
        entry.source, tags.get("artifact_digest"), tags.get("verdict_digest"), tags.get("approval_by"),
        platform.identity(), entry.reason, job.config.run_id, platform.now(), job.config.as_of,
    )  # fmt: skip
