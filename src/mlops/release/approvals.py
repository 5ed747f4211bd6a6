"""Decide whether a version may become champion: one set of rules for review, approval task and deployment.

Each function returns all objections. A version without objections may become champion. The rules read the version's
record and never a tag.
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
    """A reason against a version, and the error to raise for it."""

    error: type[MlopsError]
    reason: str


def object_to_verdict(record: VersionRecord, champion: int | None) -> Iterator[Objection]:
    """List the objections to a version's verdict.

    Args:
        record: the record of the version.
        champion: the champion's number in the audit table now; None: there is none.
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
        yield Objection(Conflict, f"{record} was judged against champion {then}, and champion is {now} now")
    if verdict is not None and not verdict.artifact_digest:
        yield Objection(ModelError, f"the verdict on {record} names no files")


def object_to_approver(record: VersionRecord, by: str, *, person: bool) -> Iterator[Objection]:
    """List the objections to an identity that wants to approve the version.

    Args:
        record: the record of the version.
        by: the identity that wants to approve.
        person: whether `by` is a person and not a service principal.
    """
    trained_by = record.verdict.trained_by if record.verdict else ""
    if not person:
        yield Objection(ModelError, f"{by} is a service principal, and a person has to approve {record}")
    if record.verdict is not None and not trained_by:
        yield Objection(
            ModelError, f"{record} does not say who trained it, so its approver cannot be checked; train it again"
        )
    if by == trained_by:
        yield Objection(ModelError, f"{by} trained {record} and cannot approve it; somebody else has to")


def object_to_approval(record: VersionRecord, now: datetime) -> Iterator[Objection]:
    """List the objections to a version's approval: it is missing or no longer valid."""
    verdict, approval = record.verdict, record.approval
    if verdict is None or record.rejection is not None:
        return  # `object_to_verdict` objects to these
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
        yield Objection(ApprovalPending, f"{record} does not say who trained it, so its approver cannot be checked")
    if approval.by == verdict.trained_by:
        yield Objection(ApprovalPending, f"{record} was approved by {approval.by}, who trained it")


def object_to_deployment(
    record: VersionRecord, champion: int | None, approval: Approval, now: datetime
) -> Sequence[Objection]:
    """List the objections to making a version champion now.

    Args:
        record: the record of the version.
        champion: the champion's number in the audit table now; None: there is none.
        approval: "required" if a person has to approve in this target.
        now: the time of the clock, UTC.
    """
    objections = list(object_to_verdict(record, champion))
    if approval == "required":
        objections += object_to_approval(record, now)
    return objections


def object_to_files(record: VersionRecord, digests: tuple[str, str]) -> Iterator[Objection]:
    """List the objections to a version's files and report: each must still be the one that was judged.

    Args:
        record: the record of the version.
        digests: digest of the version's files and digest of its verdict's report, both as they are now.
    """
    files, report = digests
    if record.verdict is not None and files != record.verdict.artifact_digest:
        yield Objection(
            UntrustedModel, f"the files of {record} were changed since they were judged: train or promote it again"
        )
    if record.verdict is not None and report != record.verdict.verdict_digest:
        yield Objection(UntrustedModel, f"the report of the verdict on {record} was changed since it was written")


def raise_first(objections: Sequence[Objection], cure: str) -> None:
    """Raise the error of the first objection, with the reasons of all objections and the cure.

    Raises:
        MlopsError: there are objections.
    """
    if objections:
        raise objections[0].error(f"{'; '.join(objection.reason for objection in objections)}; {cure}")
