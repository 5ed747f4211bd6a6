"""Pass only if a person has approved this very version on this very verdict, or the target approves by itself."""

from __future__ import annotations

from dataclasses import replace

from mlops.adapters import platform
from mlops.config import DeploymentConfig
from mlops.contract import ApprovalPending
from mlops.jobs import _audit, _settings
from mlops.jobs._launch import Context, task
from mlops.lifecycle import approvals
from mlops.lifecycle.version_record import VersionRecord, champion_of, read_record

BUTTON = "approval"
"""Tag that Databricks' own button sets, as Approved: the name of this task."""


def run(job: Context[DeploymentConfig]) -> None:
    """Fail until the approval is in the audit table; the run is then repaired, as the platform's own button does."""
    _settings.check(job)
    if job.config.approval == "automatic":
        job.log.info("version %d: this target approves what the gate accepts", job.config.model_version)
        return
    if job.config.approval_binding == "platform":
        _press(job)
    record = check(job)
    job.log.info("%s approved by %s", record, record.approval.by if record.approval else "nobody")


def check(job: Context[DeploymentConfig]) -> VersionRecord:
    """The record of the job's version, which may become champion.

    Raises:
        MlopsError: it may not; says every reason, and what to type.
    """
    number, rows = job.config.model_version, _audit.rows(job)
    record = replace(read_record(rows, number), model_name=job.config.model_name)
    found = approvals.object_to_deployment(record, champion_of(rows), job.config.approval, platform.now())
    text, target = str(number), job.config.target
    if found and found[0].error is ApprovalPending:
        cure = f"have somebody else run: {platform.command('mlops', 'approve', text, '--target', target)}"
    else:
        typed = platform.command("mlops", "deploy", text, "--target", target)
        cure = f"nothing was changed: to have it judged anew, run: {typed}"
    approvals.raise_first(found, cure)
    return record


def _press(job: Context[DeploymentConfig]) -> None:
    """Record an approval by the platform's button: who may assign the governed tag is the platform's to guard."""
    version = job.registry.version(job.config.model_name, job.config.model_version)
    record = _audit.record_of(job, version.number)
    verdict = record.verdict
    if record.approval or verdict is None or version.tags.get(BUTTON, "").lower() != "approved":
        return
    row = _audit.new_row(
        job, "approval", version, by="the platform's button", reason=f"tag {BUTTON}", verdict="approved",
        artifact_digest=verdict.artifact_digest, verdict_digest=verdict.verdict_digest,
        expires=platform.now() + approvals.APPROVAL_LASTS,
    )  # fmt: skip
    _audit.add(job, row, lambda rows: any(each.sequence > verdict.sequence and each.move == "verdict" for each in rows))


main = task(run)
