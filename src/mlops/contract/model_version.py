"""One version of a registered model, and the facts about its files and its training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from typing import Any, Self

from mlops.contract.errors import ModelError
from mlops.contract.text import clean_text

REQUEST_ID = "endpoint_request_id"
"""Column of `predictions`: the request at which the endpoint answered; empty: a batch or a stream scored the row."""
CHECK = "mlops-check"
"""The `client_request_id` of the requests by which jobs check a version at an endpoint."""


@dataclass(frozen=True, kw_only=True)
class VersionFacts:
    """A version's files and training: training claims them as tags of its run, the audit table records them.

    A subclass may add fields of text.
    """

    artifact_digest: str = ""
    """Digest of the files (`mlops.platform.model_scan.artifact_digest`)."""
    trained_by: str = ""
    """Identity that the training ran as."""
    trained_until: datetime | None = None
    """End of the event times of the training rows, UTC; not included."""
    trained_as_of: datetime | None = None
    """Moment as of which the training ran, UTC."""

    def to_tags(self) -> dict[str, str]:
        """Return the fields that are not empty, as tags of a run."""
        known = ((name, value) for name, value in asdict(self).items() if value)
        return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in known}

    @classmethod
    def parse(cls, tags: Mapping[str, str]) -> Self:
        """Parse the tags of a run. A field stays empty if its tag is missing, or is no time where one is expected."""
        texts = {field.name: clean_text(tags.get(field.name, "")) for field in fields(cls)}
        given: dict[str, Any] = {
            field.name: _parse_moment(texts[field.name]) if field.default is None else texts[field.name]
            for field in fields(cls)
        }
        return cls(**given)


def _parse_moment(text: str) -> datetime | None:
    try:
        return to_utc(datetime.fromisoformat(text))
    except (ValueError, OverflowError):
        return None


def to_utc(moment: datetime) -> datetime:
    """Convert a moment to UTC; one without zone is UTC already."""
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


@dataclass(frozen=True)
class Version:
    """One version of one registered model."""

    model: str
    number: int
    run_id: str
    """Run of the training."""
    created: datetime
    tags: Mapping[str, str]
    """Tags that the registry shows to people (`mlops.release.version_record.ShownTags`). No decision reads them."""
    aliases: tuple[str, ...]
    description: str = ""
    """Markdown that the registry shows: what training and validation wrote about it."""
    ready: bool = True
    """False: the copy of its files is still running, or was interrupted."""
    created_by: str = ""
    """Identity that created the version, as the registry recorded it; empty on a laptop, which has no identities."""
    facts: VersionFacts = VersionFacts()
    """Facts from a place that the caller trusts. The registry fills in none, so that a caller must choose that place
    before it loads files."""

    def __str__(self) -> str:
        return f"{self.model} version {self.number}"


def require_fact[T](fact: T | None, version: Version) -> T:
    """Return a fact about a version, one of `version.facts`.

    Raises:
        ModelError: the fact is not known.
    """
    if not fact:
        raise ModelError(
            f"{version} lacks a fact about its files or its training: its training run cannot be read, or its audit "
            "row was written before there was such a column; train it again"
        )
    return fact
