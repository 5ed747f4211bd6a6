"""Read the record of a version from the rows of the audit table. The record decides; tags of the registry show it.

Facts about a version are kept in three places. The training run's tags hold the claims of training (`TrainingRun`). The
audit table holds every decision and the facts behind it (`AuditRow`, `VersionRecord`). The version's own tags repeat
six texts of the record for people (`ShownTags`).

The identity that trains may set any tag of any version, but may not write the audit table
(docs/explanation/decisions/0006).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime
from typing import Any, Literal, Self, get_args

from mlops.contract import DataError, ModelError, clean_text
from mlops.contract.model_version import Version, VersionFacts, to_utc

Kind = Literal["promotion", "verdict", "approval", "rejection", "deployment", "rollback", "endpoint"]
MOVES = ("deployment", "rollback")
"""Kinds of rows that move the champion."""
FACTS = tuple(field.name for field in fields(VersionFacts))
"""Names of the facts that validation copies into its row. From then on the row is read and never the run."""
BUTTON = "approval"
"""Tag that the platform's approval button sets to Approved; the platform names it after the task."""
PAGE = "verdict.html"
"""File of a validation's run: the report of the verdict."""
_LONGEST_TAG = 1000
"""Largest number of characters of a tag's value in Unity Catalog."""
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
    """accepted or refused; of an endpoint: serves or failed."""
    judged_against: int | None = None
    """Champion that the verdict compared with."""
    verdict_case: str = ""
    """Digest of everything that the verdict depends on; empty: the next validation judges the case again."""
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
    def facts(self) -> VersionFacts:
        """The facts that the row records about files and training."""
        return VersionFacts(**{name: getattr(self, name) for name in FACTS})

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
        except (TypeError, ValueError, OverflowError) as error:
            raise DataError(f"row {row.get('sequence')} of the audit table cannot be read: {error}") from None


def _is_null(value: object) -> bool:
    return value is None or value != value  # noqa: PLR0124 (NaN and NaT are how pandas holds null)


def _parse_value(name: str, value: Any) -> object:
    if name in _NUMBERS:
        return int(value)
    if name not in _MOMENTS:
        return str(value)
    return to_utc(datetime.fromisoformat(value) if isinstance(value, str) else value)


@dataclass(frozen=True, kw_only=True)
class TrainingRun(VersionFacts):
    """The tags of a training's MLflow run: claims about the version, and what trains the same model again."""

    trained_in: str = ""
    """Job run; a repeat of it finds the version that it has registered."""
    table_versions: str = ""
    training_sample: str = ""
    """Which of the labelled rows were read; empty: all."""
    search_trials: str = ""
    seed: str = ""
    git_commit: str = ""
    wheel_version: str = ""
    environment_digest: str = ""
    model_digest: str = ""
    """Digest of the fitted state."""
    use_case: str = ""
    """Name of the use case; another one cannot add versions to the same model."""


@dataclass(frozen=True, kw_only=True)
class ShownTags:
    """The tags of a version, which show its record to people. No decision reads them. An empty text is no tag."""

    verdict: str = ""
    """accepted, refused or rejected; empty: not judged in this target."""
    trained_until: str = ""
    approved_by: str = ""
    promoted_from: str = ""
    """model/number@digest of the version that it is a copy of."""
    report: str = ""
    """Page of the newest verdict."""
    record: str = ""
    """Number of the newest row about the version in the audit table."""

    @classmethod
    def of(cls, version: Version) -> Self:
        """Read the tags of a version."""
        return cls(**{field.name: clean_text(version.tags.get(field.name, "")) for field in fields(cls)})

    def to_tags(self) -> dict[str, str]:
        """Return the texts that are not empty, within Unity Catalog's limit."""
        shown = {name: clean_text(text)[:_LONGEST_TAG].rstrip() for name, text in asdict(self).items()}
        return {name: text for name, text in shown.items() if text}

    def changes(self, version: Version) -> dict[str, str | None]:
        """Return the tags to set and, with None, the tags to delete, so that a version shows these texts."""
        shown = self.to_tags()
        return {
            field.name: shown.get(field.name)
            for field in fields(self)
            if version.tags.get(field.name) != shown.get(field.name)
        }


def has_pressed_button(version: Version) -> bool:
    """Whether somebody approved the version by the platform's button."""
    return version.tags.get(BUTTON, "").lower() == "approved"


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
    endpoint: AuditRow | None = None
    """The newest row about the version at the endpoint: whether it serves."""
    newest: AuditRow | None = None
    """The newest row about the version."""

    def __str__(self) -> str:
        return f"{self.model_name} version {self.number}"

    @property
    def facts(self) -> VersionFacts | None:
        """The facts of the newest verdict, else of the promotion; None: nothing was recorded."""
        row = self.verdict or self.promotion
        return None if row is None else row.facts

    @property
    def display_tags(self) -> ShownTags:
        """The texts of the record that the version's tags show."""
        verdict, facts = self.verdict, self.facts
        until = facts.trained_until if facts else None
        return ShownTags(
            verdict="rejected" if self.rejection else verdict.verdict if verdict else "",
            trained_until=f"{until:%Y-%m-%d}" if until else "",
            approved_by=self._approver(),
            promoted_from=self.promotion.source if self.promotion else "",
            report=f"runs:/{verdict.validation_run}/{PAGE}" if verdict and verdict.validation_run else "",
            record=str(self.newest.sequence) if self.newest else "",
        )

    def _approver(self) -> str:
        """Person who approved the newest verdict. The name stays after a deployment has ended the approval."""
        if self.approval or self.rejection:
            return self.approval.by if self.approval and not self.rejection else ""
        newer = self.move and (self.verdict is None or self.move.sequence > self.verdict.sequence)
        return self.move.approved_by if self.move and newer else ""

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
            record = replace(record, newest=row, **changes)
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


def version_to_restore(last: AuditRow | None, model: str, command: Callable[..., str]) -> int:
    """Find the version that a rollback makes champion again.

    Args:
        last: the newest move.
        model: for the message.
        command: writes a command for a person, which acts on the target.

    Raises:
        ModelError: there is none; says what to run instead.
    """
    if last is None or last.from_version is None:
        raise ModelError(f"{model} has no previous champion to go back to; see: {command('mlops', 'history')}")
    if last.move == "rollback":
        raise ModelError(
            f"{model} was rolled back from version {last.from_version} to {last.to_version} already; a second time "
            f"would bring version {last.from_version} back: deploy the version that you want instead, as in: "
            f"{command('mlops', 'deploy', 'N')}"
        )
    return last.from_version
