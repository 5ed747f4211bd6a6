"""Pass only if a person has approved this very version on this very verdict, or the target approves by itself."""

from __future__ import annotations

from mlops.adapters import platform
from mlops.config import DeploymentConfig
from mlops.jobs import _audit, _settings
from mlops.jobs._launch import Context, task
from mlops.lifecycle import approvals
from mlops.lifecycle.version_record import VersionRecord, champion_of

BUTTON = "approval"
"""Tag that Databricks' own button sets, as Approved: the name of this task."""


def run(job: Context[DeploymentConfig]) -> None:
    """Fail until the approval is in the audit table; the run is then repaired, as the platform's own button does."""
    _settings.check(job)
    if job.config.approval == "automatic":
        job.log.info("version %d: this target approves what the gate accepts", job.config.model_version)
        return
    record = check(job)
    if record.approval is None and job.config.approval_binding == "platform":
        record = _press(job, record)
    found = list(approvals.object_to_approval(record, platform.now()))
    approvals.raise_first(found, cure(job))
    job.log.info("%s approved by %s", record, record.approval.by if record.approval else "nobody")


def check(job: Context[DeploymentConfig]) -> VersionRecord:
    """The version's record, whose verdict still holds.

    Raises:
        MlopsError: it does not; says why, and what to type.
    """
    rows = _audit.rows(job)
    record = _audit.record_of(job, job.config.model_version)
    found = list(approvals.object_to_verdict(record, champion_of(rows)))
    approvals.raise_first(found, f"nothing was changed: {judge_again(job)}")
    return record


def cure(job: Context[DeploymentConfig]) -> str:
    """What to type for an approval."""
    words = ("mlops", "approve", str(job.config.model_version), "--target", job.config.target)
    return f"have somebody else run: {platform.command(*words)}"


def judge_again(job: Context[DeploymentConfig]) -> str:
    """What to do for a new verdict."""
    words = ("mlops", "deploy", str(job.config.model_version), "--target", job.config.target)
    return f"start the deployment job for it again, which judges it anew: {platform.command(*words)}"


def _press(job: Context[DeploymentConfig], record: VersionRecord) -> VersionRecord:
    """Record an approval by the platform's button: who may assign the governed tag is the platform's to guard."""
    version = job.registry.version(job.config.model_name, job.config.model_version)
    if version.tags.get(BUTTON, "").lower() != "approved" or record.verdict is None:
        return record
    verdict = record.verdict
    row = _audit.new_row(
        job, "approval", version, by="the platform's button", reason=f"tag {BUTTON}", verdict="approved",
        artifact_digest=verdict.artifact_digest, verdict_digest=verdict.verdict_digest,
        expires=platform.now() + approvals.APPROVAL_LASTS,
    )  # fmt: skip
    _audit.add(job, row, lambda rows: any(each.sequence > verdict.sequence and each.move == "verdict" for each in rows))
    return _audit.record_of(job, version.number)


main = task(run)
