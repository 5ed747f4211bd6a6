"""Task approval: pass only if a person approved the version on its newest verdict, or the target needs no approval."""

from __future__ import annotations

from mlops.config import DeploymentConfig
from mlops.context import Context, task
from mlops.platform import runtime
from mlops.release import aliases, approvals, audit_log, target_settings
from mlops.release.version_record import BUTTON, has_pressed_button


def run(job: Context[DeploymentConfig]) -> None:
    """Raise ApprovalPending until the audit table has the approval; `mlops approve` or the button repairs the run."""
    target_settings.check_settings(job)
    if job.config.approval == "automatic":
        job.log.info("version %d: this target approves what the gate accepts", job.config.model_version)
        return
    if job.config.approval_binding == "platform":
        _record_button(job)
    record = aliases.require_approval(job, audit_log.load_rows(job))
    job.log.info("%s approved by %s", record, record.approval.by if record.approval else "nobody")


def _record_button(job: Context[DeploymentConfig]) -> None:
    """Record an approval by the platform's button; the platform restricts who may set the governed tag."""
    version = job.registry.get_version(job.config.model_name, job.config.model_version)
    record = audit_log.record_of(job, version.number)
    verdict = record.verdict
    if record.approval or verdict is None or not has_pressed_button(version):
        return
    row = audit_log.new_row(
        job, "approval", version, by="the platform's button", reason=f"tag {BUTTON}", verdict="approved",
        artifact_digest=verdict.artifact_digest, verdict_digest=verdict.verdict_digest,
        expires=runtime.now() + approvals.APPROVAL_LASTS,
    )  # fmt: skip
    audit_log.add_row(
        job, row, lambda rows: any(newer.sequence > verdict.sequence and newer.move == "verdict" for newer in rows)
    )


main = task(run)
