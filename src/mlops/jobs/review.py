"""Task review: record a person's decision on a version in the audit table, approved or rejected."""

from __future__ import annotations

import re
from collections.abc import Sequence

from mlops.config import ReviewConfig
from mlops.context import Context, task
from mlops.contract import ModelError
from mlops.contract.model_version import Version
from mlops.platform import runtime
from mlops.platform.model_scan import artifact_digest
from mlops.release import aliases, approvals, audit_log
from mlops.release.aliases import CHALLENGER
from mlops.release.verdicts import DOCUMENT, report_digest
from mlops.release.version_record import PAGE, AuditRow, VersionRecord, champion_of, read_record

_APPLICATION = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
"""Name of a service principal on the platform: its application id."""


def run(job: Context[ReviewConfig]) -> None:
    """Record the decision of the person who started this run, as the platform names them; a repeat adds nothing.

    An approval counts for the version's files and its newest verdict only.
    """
    by = runtime.starter(job.config.run_id)
    version = job.registry.get_version(job.config.model_name, job.config.model_version)
    rows = audit_log.load_rows(job)
    record = read_record(rows, version.number)
    if not by:
        raise ModelError(
            f"nobody is known to have started run {job.config.run_id}, so nothing was decided on {version}"
        )
    if job.config.decision == "rejected":
        _reject_version(job, version, rows, by)
        return
    objections = [
        *approvals.object_to_verdict(record, champion_of(rows)),
        *approvals.object_to_approver(record, by, person=not _APPLICATION.fullmatch(by)),
    ]
    if not objections:
        objections += approvals.object_to_files(record, _check_digests(job, version, record))
    approvals.raise_first(objections, "nothing was approved")
    verdict = record.verdict
    if verdict is None:
        raise ModelError(f"{version} was not judged")
    row = audit_log.new_row(
        job, "approval", version, by=by, reason=job.config.reason, verdict="approved",
        artifact_digest=verdict.artifact_digest, verdict_digest=verdict.verdict_digest,
        expires=runtime.now() + approvals.APPROVAL_LASTS,
    )  # fmt: skip
    aliases.show_record(job, version, _add_row(job, row, rows))
    job.log.info(
        "%s approved by %s until %s, for files %s, judged as of %s on %s against champion %s",
        version, by, f"{row.expires:%Y-%m-%d %H:%M} UTC", row.artifact_digest[:12], f"{verdict.as_of:%Y-%m-%d}",
        verdict.judged_on, verdict.judged_against or "none",
    )  # fmt: skip


def _add_row(job: Context[ReviewConfig], row: AuditRow, seen: Sequence[AuditRow]) -> Sequence[AuditRow]:
    """Add the row if nothing was decided on the version since `seen`, and this run has not added it before.

    Returns:
        All rows of the model afterwards.
    """

    def is_overtaken(rows: Sequence[AuditRow]) -> bool:
        return _count_rows_about(rows, row.to_version) > _count_rows_about(seen, row.to_version)

    if any((old.run_id, old.move, old.to_version) == (row.run_id, row.move, row.to_version) for old in seen):
        return seen
    rows = audit_log.add_row(job, row, is_overtaken)
    if rows is None:
        history = runtime.command("mlops", "history", "--target", job.config.target)
        raise ModelError(
            f"something was decided on version {row.to_version} at the same moment; nothing was recorded. "
            f"See {history}, then run again"
        )
    return rows


def _count_rows_about(rows: Sequence[AuditRow], number: int) -> int:
    return sum(number in {row.to_version, row.from_version} for row in rows)


def _reject_version(job: Context[ReviewConfig], version: Version, rows: Sequence[AuditRow], by: str) -> None:
    if champion_of(rows) == version.number:
        cure = runtime.command("mlops", "rollback", "--target", job.config.target, "--reason", job.config.reason)
        raise ModelError(f"{version} is champion; roll back first: {cure}")
    row = audit_log.new_row(job, "rejection", version, by=by, reason=job.config.reason, verdict="rejected")
    after = _add_row(job, row, rows)
    if CHALLENGER in version.aliases:
        job.registry.drop_alias(version.model, CHALLENGER)
    aliases.show_record(job, version, after)
    job.log.info("%s rejected by %s: %s", version, by, job.config.reason)


def _check_digests(job: Context[ReviewConfig], version: Version, record: VersionRecord) -> tuple[str, str]:
    """Compute the digests of the version's files and of its verdict's report, as they are now."""
    run_id = record.verdict.validation_run if record.verdict else ""
    with job.registry.fetch_files(version) as folder:
        files = artifact_digest(folder)
    return files, report_digest(*(job.registry.read_document(run_id, name) for name in (DOCUMENT, PAGE)))


main = task(run)
