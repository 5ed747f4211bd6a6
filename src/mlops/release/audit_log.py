"""Read and append the audit table: every verdict, approval, rejection, promotion and move of a champion.

The table decides which version may serve, since only the identity of the deciding jobs may write it. Rows are added
and never changed. It also serialises concurrent writers, which the registry cannot do: rows of a model are numbered
without gaps, and only one of two writers gets a number. The other one reads the table again and retries with the next
number, or stops if another run has already decided.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from operator import attrgetter
from typing import Any

from pyspark.sql import functions as F

from mlops.config import ModelConfig
from mlops.context import Context
from mlops.contract import Conflict
from mlops.contract.model_version import Version
from mlops.data import table_schemas
from mlops.platform import runtime
from mlops.platform.tables import Schema, rows_of
from mlops.release.version_record import AuditRow, Kind, VersionRecord, read_record

_TRIES = 50


def read_rows(own: Schema, model_name: str) -> list[AuditRow]:
    """Read all rows of a model, oldest first; empty if there is no table."""
    if not own.exists("audit"):
        return []
    about = rows_of(own.read_table("audit").where(F.col("model_name") == model_name))
    # Sorted here: Spark would sample and shuffle a few rows.
    return sorted((AuditRow.parse(row) for row in about), key=attrgetter("sequence"))


def load_rows[C: ModelConfig](job: Context[C]) -> list[AuditRow]:
    """Read all rows of the job's model, oldest first."""
    return read_rows(job.own, job.config.model_name)


def record_of[C: ModelConfig](job: Context[C], number: int) -> VersionRecord:
    """Read the record of a version of the job's model."""
    return replace(read_record(load_rows(job), number), model_name=job.config.model_name)


def new_row[C: ModelConfig](job: Context[C], kind: Kind, version: Version, **given: Any) -> AuditRow:
    """Make a row that is not in the table yet; identity, clock, run and moment are filled in."""
    known: dict[str, Any] = {
        "model_name": version.model, "move": kind, "to_version": version.number, "by": runtime.identity(),
        "run_id": job.config.run_id, "at": runtime.now(), "as_of": job.config.as_of,
    }  # fmt: skip
    return AuditRow(**known | given)


def add_row[C: ModelConfig](
    job: Context[C], row: AuditRow, is_overtaken: Callable[[Sequence[AuditRow]], bool]
) -> list[AuditRow] | None:
    """Append a row with the next number.

    Args:
        job: the job whose model the row is about.
        row: the row; `sequence` and `move_id` are set here.
        is_overtaken: returns True if the rows in the table now make this row pointless; called before every try.

    Returns:
        All rows of the model, the new one among them; None: it was overtaken, and nothing was written.

    Raises:
        Conflict: other writers took every number that was tried.
    """
    table_schemas.create_tables(job.own, job.use_case, "audit")
    for _ in range(_TRIES):
        before = load_rows(job)
        if is_overtaken(before):
            return None
        numbered = replace(row, sequence=1 + (before[-1].sequence if before else 0), move_id=uuid.uuid4().hex)
        with suppress(Conflict):
            after = _append_row(job, numbered, before)
            # Of two writers of one number the second writes nothing: only the id shows whose row it is.
            if any(added.move_id == numbered.move_id for added in after):
                return after
    raise Conflict(f"{_TRIES} tries to write the audit table of {row.model_name} met other writers: run again")


def _append_row[C: ModelConfig](job: Context[C], row: AuditRow, before: Sequence[AuditRow]) -> list[AuditRow]:
    """Append a row, unless its number was taken since `before` was read; returns the rows of the model afterwards.

    An append takes a fifth of the time of a merge. A table whose rows were deleted begins with number 1 again, and
    Delta skips that, as a number that it knows: then a merge writes the row.
    """
    frame = table_schemas.make_frame(job.own, "audit", [row.values()])
    job.own.append_numbered("audit", frame, row.model_name, row.sequence)
    after = load_rows(job)
    if len(after) > len(before):
        return after
    job.own.insert_new("audit", frame, ("model_name", "sequence"))
    return load_rows(job)
