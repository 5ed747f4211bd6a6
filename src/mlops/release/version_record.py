"""Read the record of a version from the rows of the audit table. The record decides; tags of the registry show it.

The identity that trains may set any tag of any version, but may not write the audit table
(docs/explanation/decisions/0006).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, datetime
from typing import Any, Literal, Self, get_args

from mlops.contract import DataError, clean_text

Kind = Literal["promotion", "verdict", "approval", "rejection", "deployment", "rollback"]
MOVES = ("deployment", "rollback")
"""Kinds of rows that move the champion."""
FACTS = ("artifact_digest", "trained_by", "trained_until", "trained_as_of")
"""Tags of a version that validation copies into its row. After that the row counts, whatever the tags become."""
_NUMBERS = ("sequence", "from_version", "to_version", "judged_against")
_MOMENTS = ("at", "as_of", "trained_until", "trained_as_of", "expires")


@dataclass(frozen=True, kw_only=True)
class AuditRow:
    """One row of the audit table: one field per column, in the order of the columns. Rows are never changed."""

    model_name: str
    sequence: int = 0
    """Number of the row among those of the model, from 1."""
    move_id: str = ""
    move: Kind
    from_version: int | None = None
    """Of a move: the champion before."""
    to_version: int
    """The version that the row is about."""
    source: str = ""
    """model/number@digest of the version that it is a copy of."""
    artifact_digest: str = ""
    verdict_digest: str = ""
    approved_by: str = ""
    by: str = ""
    """Identity that the job ran as; of an approval or a rejection: the person who asked for it."""
    reason: str = ""
    run_id: str
    at: datetime
    as_of: datetime
    verdict: str = ""
    """accepted or refused."""
    judged_against: int | None = None
    """Champion that the verdict compared with."""
    verdict_case: str = ""
    """Digest of all that the verdict depends on; empty: the case is judged again when it is asked again."""
    judged_on: str = ""
    """catalog.schema of the features and labels."""
    validation_run: str = ""
    """Tracking run that holds the verdict's report."""
    trained_by: str = ""
    trained_until: datetime | None = None
    trained_as_of: datetime | None = None
    expires: datetime | None = None
    """Of an approval."""

    def values(self) -> tuple[object, ...]:
        """The values in the order of the table's columns; an empty text is null."""
        return tuple(None if value == "" else value for value in asdict(self).values())

    @property
    def facts(self) -> Mapping[str, str]:
        """The row's values of FACTS, by name, as texts like the tags; empty ones are left out."""
        moments = {"trained_until": self.trained_until, "trained_as_of": self.trained_as_of}
        texts = {"artifact_digest": self.artifact_digest, "trained_by": self.trained_by}
        dated = {name: moment.isoformat() for name, moment in moments.items() if moment is not None}
        return dated | {name: text for name, text in texts.items() if text}

    @classmethod
    def parse(cls, row: Mapping[str, Any]) -> Self:
        """Parse a row of the table. Numbers and moments may be text; columns that an older table lacks are empty.

        Raises:
            DataError: the row has a value that its column cannot have.
        """
        known = {field.name: row.get(field.name) for field in fields(cls)}
        if known["move"] not in get_args(Kind):
            raise DataError(f"row {row.get('sequence')} of the audit table has the unknown move {known['move']!r}")
        try:
            given: dict[str, Any] = {name: _parse_value(name, v) for name, v in known.items() if not _is_null(v)}
            return cls(**given)
        except (TypeError, ValueError) as error:
            raise DataError(f"row {row.get('sequence')} of the audit table cannot be read: {error}") from None


def parse_facts(tags: Mapping[str, str]) -> Mapping[str, Any]:
    """Parse the values of FACTS from a version's tags; a moment that cannot be parsed is None."""
    facts: dict[str, Any] = {}
    for name in FACTS:
        text = clean_text(tags.get(name, ""))
        try:
            facts[name] = _parse_value(name, text) if text else None if name in _MOMENTS else ""
        except ValueError:
            facts[name] = None
    return facts


def _is_null(value: object) -> bool:
    return value is None or value != value  # noqa: PLR0124 (NaN and NaT are how pandas holds null)


def _parse_value(name: str, value: Any) -> object:
    if name in _NUMBERS:
        return int(value)
    if name not in _MOMENTS:
        return str(value)
    moment = datetime.fromisoformat(value) if isinstance(value, str) else value
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


@dataclass(frozen=True)
class VersionRecord:
    """The current state of one version in the audit table. A part that is None does not exist or no longer counts."""

    model_name: str
    number: int
    promotion: AuditRow | None = None
    verdict: AuditRow | None = None
    """The newest verdict in this target; a promoted copy does not take its verdict along."""
    approval: AuditRow | None = None
    """The approval of the newest verdict; a deployment or a rollback of the version ends it."""
    rejection: AuditRow | None = None
    """A rejection is final."""
    move: AuditRow | None = None
    """The newest move that made the version champion."""

    def __str__(self) -> str:
        return f"{self.model_name} version {self.number}"

    @property
    def is_accepted(self) -> bool:
        """Whether the newest verdict accepts the version and nobody has rejected it."""
        return self.verdict is not None and self.verdict.verdict == "accepted" and self.rejection is None


def read_record(rows: Sequence[AuditRow], number: int) -> VersionRecord:
    """Read the record of version `number` from the rows of its model, oldest first."""
    record = VersionRecord(rows[0].model_name if rows else "", number)
    for row in rows:
        if row.move == "rollback" and row.from_version == number:
            record = replace(record, approval=None)
        if row.to_version == number:
            changes: dict[str, Any] = dict(_apply_row(row))
            record = replace(record, **changes)
    return record


def _apply_row(row: AuditRow) -> Iterator[tuple[str, AuditRow | None]]:
    """Yield the parts of a record that a row replaces, with their new values."""
    if row.move in MOVES:
        yield "move", row
        yield "approval", None
    else:
        yield row.move, row
    if row.move == "verdict":
        yield "approval", None


def newest_move(rows: Sequence[AuditRow]) -> AuditRow | None:
    """Find the newest row that moves the champion; None: there is none."""
    return next((row for row in reversed(rows) if row.move in MOVES), None)


def champion_of(rows: Sequence[AuditRow]) -> int | None:
    """Find the number of the champion; None: there is no champion."""
    last = newest_move(rows)
    return None if last is None else last.to_version
