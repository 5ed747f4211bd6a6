"""Make an accepted and approved version champion. Everything is read again: what was judged is what serves."""

from __future__ import annotations

from mlops.config import DeploymentConfig
from mlops.contract import ModelError
from mlops.jobs import _champion, _settings, approval
from mlops.jobs._launch import Context, task


def run(job: Context[DeploymentConfig]) -> None:
    """Check verdict, approval and files once more, then move the alias through the audit table."""
    _settings.check(job)
    last = _champion.settle(job)
    version = job.registry.version(job.config.model_name, job.config.model_version)
    if last is not None and last.to_version == version.number:
        job.log.info("%s is champion already", version)
        return
    record = approval.check(job)
    if record.verdict is None:
        raise ModelError(f"{version} was not judged")
    job.registry.load(_champion.as_recorded(version, record.verdict), job.use_case.model)
    reason = f"verdict {record.verdict.verdict_digest[:12]}"
    _champion.move(job, version, _champion.row_of_move(job, "deployment", version, record, reason), last)


main = task(run)
