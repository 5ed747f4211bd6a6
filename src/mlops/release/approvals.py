"""Whether a version may become champion: one set of rules for `mlops approve`, the approval task and deployment.

Each function answers with every objection; none: it may. What they look at is the version's record, never a tag.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from mlops.contract import ApprovalPending, Conflict, MlopsError, ModelError, UntrustedModel
from mlops.release.version_record import VersionRecord

APPROVAL_LASTS = timedelta(days=7)
Approval = Literal["required", "automatic"]


@dataclass(frozen=True)
class Objection:
    """One reason why not, and the error that it is."""

    error: type[MlopsError]
    reason: str


def object_to_verdict(record: VersionRecord, champion: int | None) -> Iterator[Objection]:
    """Why the verdict is not enough.

    Args:
        record: of the version.
        champion: as the audit table says now.
    """
    verdict = record.verdict
    if record.rejection is not None:
        by, why = record.rejection.by, record.rejection.reason
        yield Objection(ModelError, f"{record} was rejected by {by}: {why}; train or promote another version")
    if verdict is None:
        yield Objection(ModelError, f"{record} has no accepting verdict in the audit table (none)")
    elif verdict.verdict != "accepted":
        yield Objection(ModelError, f"{record} has no accepting verdict ({verdict.verdict})")
    elif verdict.judged_against != champion:
        then, now = verdict.judged_against or "none", champion or "none"
        yield Objection(Conflict, f"{record} was judged against champion {then}, and champion is {now} by now")
    if verdict is not None and not verdict.artifact_digest:
        yield Objection(ModelError, f"the verdict on {record} names no files")


def object_to_approver(record: VersionRecord, by: str, *, person: bool) -> Iterator[Objection]:
    """Why this identity may not approve the version.

    Args:
        record: of the version.
        by: who wants to approve.
        person: whether the platform knows `by` as a person; a service principal is none.
    """
    trained_by = record.verdict.trained_by if record.verdict else ""
    if not person:
        yield Objection(ModelError, f"{by} is a service principal, and a person has to approve {record}")
    if record.verdict is not None and not trained_by:
        yield Objection(
            ModelError, f"{record} does not say who trained it, so nobody can be held apart; train it again"
        )
    if by == trained_by:
        yield Objection(ModelError, f"{by} trained {record} and cannot approve it; somebody else has to")


def object_to_approval(record: VersionRecord, now: datetime) -> Iterator[Objection]:
    """Why a person's approval is missing, or does not count."""
    verdict, approval = record.verdict, record.approval
    if verdict is None or record.rejection is not None:
        return  # `object_to_verdict` says so
    if approval is None:
        yield Objection(ApprovalPending, f"{record} waits for approval")
        return
    for name, given, wanted in (
        ("artifact digest", approval.artifact_digest, verdict.artifact_digest),
        ("verdict digest", approval.verdict_digest, verdict.verdict_digest),
    ):
        if not wanted or given != wanted:
            yield Objection(ApprovalPending, f"the approval of {record} was given for another {name}")
    if approval.expires is None or approval.expires <= now:
        ended = "no known time" if approval.expires is None else f"{approval.expires:%Y-%m-%d %H:%M} UTC"
        yield Objection(ApprovalPending, f"the approval of {record} ended at {ended}")
    if not verdict.trained_by:
        yield Objection(ApprovalPending, f"{record} does not say who trained it, so nobody can be held apart")
    if approval.by == verdict.trained_by:
        yield Objection(ApprovalPending, f"{record} was approved by {approval.by}, who trained it")


def object_to_deployment(
    record: VersionRecord, champion: int | None, approval: Approval, now: datetime
) -> Sequence[Objection]:
    """Why a version may not become champion now.

    Args:
        record: of the version.
        champion: as the audit table says now.
        approval: whether a person has to approve in this target.
        now: the clock.
    """
    found = list(object_to_verdict(record, champion))
    if approval == "required":
        found += object_to_approval(record, now)
    return found


def object_to_files(record: VersionRecord, digests: tuple[str, str]) -> Iterator[Objection]:
    """Why an approver cannot trust what he looks at.

    Args:
        record: of the version.
        digests: of the version's files and of its verdict's report, both as they are now.
    """
    files, report = digests
    if record.verdict is not None and files != record.verdict.artifact_digest:
        yield Objection(
            UntrustedModel, f"the files of {record} were changed since they were judged: train or promote it again"
        )
    if record.verdict is not None and report != record.verdict.verdict_digest:
        yield Objection(UntrustedModel, f"the report of the verdict on {record} was changed since it was written")


def raise_first(objections: Sequence[Objection], cure: str) -> None:
    """Raise the first objection's error, which says all of them and the cure.

    Raises:
        MlopsError: there are objections.
    """
    if objections:
        raise objections[0].error(f"{'; '.join(each.reason for each in objections)}; {cure}")
