"""The audit table: every verdict, approval, rejection, promotion and move of a champion. Rows are added, never changed.

It decides what may serve, since only the identity that the deciding jobs run as may write it. It is also the arbiter
that the registry lacks. Rows of a model are numbered without gaps, and of two writers with one number only one gets it:
the other one looks again, and gives way if what it wanted has been decided meanwhile.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from typing import Any

from pyspark.sql import functions as F

from mlops.config import ModelConfig
from mlops.context import Context
from mlops.contract import Conflict
from mlops.data import table_schemas
from mlops.platform import runtime
from mlops.platform.registry import Version
from mlops.platform.tables import Schema
from mlops.release.version_record import AuditRow, Kind, VersionRecord, read_record

_TRIES = 50


def read_rows(own: Schema, model_name: str) -> list[AuditRow]:
    """All rows about a model, oldest first; none where the table is not there."""
    if not own.exists("audit"):
        return []
    about = own.read_table("audit").where(F.col("model_name") == model_name).orderBy("sequence")
    return [AuditRow.parse(_utc(row.asDict())) for row in about.collect()]


def _utc(row: dict[str, Any]) -> dict[str, Any]:
    return {name: table_schemas.to_utc(value) if isinstance(value, datetime) else value for name, value in row.items()}


def load_rows[C: ModelConfig](job: Context[C]) -> list[AuditRow]:
    """All rows about the job's model, oldest first."""
    return read_rows(job.own, job.config.model_name)


def record_of[C: ModelConfig](job: Context[C], number: int) -> VersionRecord:
    """What the audit table says of a version of the job's model now."""
    return replace(read_record(load_rows(job), number), model_name=job.config.model_name)


def new_row[C: ModelConfig](job: Context[C], kind: Kind, version: Version, **given: Any) -> AuditRow:
    """A row that is not in the table yet; what is not given says who, when and in which run."""
    known: dict[str, Any] = {
        "model_name": version.model, "move": kind, "to_version": version.number, "by": runtime.identity(),
        "run_id": job.config.run_id, "at": runtime.now(), "as_of": job.config.as_of,
    }  # fmt: skip
    return AuditRow(**known | given)


def add_row[C: ModelConfig](
    job: Context[C], row: AuditRow, is_overtaken: Callable[[Sequence[AuditRow]], bool]
) -> AuditRow | None:
    """Add a row under the next number.

    Args:
        job: whose model it is about.
        row: the row; its number and id are given here.
        is_overtaken: whether the rows that are there by now make this one pointless; asked before every try.

    Returns:
        The row as it was committed; None: overtaken, and nothing was written.

    Raises:
        Conflict: every number was taken by others.
    """
    table_schemas.create_tables(job.own, "audit")
    for _ in range(_TRIES):
        before = load_rows(job)
        if is_overtaken(before):
            return None
        mine = replace(row, sequence=1 + (before[-1].sequence if before else 0), move_id=uuid.uuid4().hex)
        with suppress(Conflict):
            frame = table_schemas.make_frame(job.own, "audit", [mine.values()])
            job.own.insert_new("audit", frame, ("model_name", "sequence"))
        if any(each.move_id == mine.move_id for each in load_rows(job)):
            return mine
    raise Conflict(f"the audit table of {row.model_name} is written by too many others: run again")
