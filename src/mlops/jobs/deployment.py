"""Make an accepted and approved version champion. Everything is read again: what was judged is what serves."""

from __future__ import annotations

from mlops.config import DeploymentConfig
from mlops.contract import ModelError
from mlops.jobs import _champion, approval
from mlops.jobs._launch import Context, task


def run(job: Context[DeploymentConfig]) -> None:
    """Check verdict, approval and files once more, then move the alias through the audit table."""
    version = job.registry.version(job.config.model_name, job.config.model_version)
    if version.tags.get("verdict") != "accepted":
        raise ModelError(
            f"{version} has no accepting verdict ({version.tags.get('verdict', 'none')}): run the validation job"
        )
    if job.config.approval == "required":
        approval.check(version)
    job.registry.load(version, job.use_case.model)
    if _champion.settle(job) == version.number:
        job.log.info("%s is champion already", version)
        return
    _champion.move(job, version, "deployment", f"verdict {version.tags['verdict_digest'][:12]}")


main = task(run)
