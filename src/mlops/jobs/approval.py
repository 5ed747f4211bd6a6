"""Pass only if a person has approved this very version on this very verdict, or the target approves by itself."""

from __future__ import annotations

from mlops.adapters.registry import Version
from mlops.config import DeploymentConfig
from mlops.contract import ApprovalPending
from mlops.jobs._champion import APPROVAL
from mlops.jobs._launch import Context, task


def run(job: Context[DeploymentConfig]) -> None:
    """Fail until the approval is there; the run is then repaired, as the platform's own button does."""
    version = job.registry.version(job.config.model_name, job.config.model_version)
    if job.config.approval == "automatic":
        job.log.info("%s: this target approves what the gate accepts", version)
        return
    check(version)
    job.log.info("%s approved by %s", version, version.tags["approval_by"])


def check(version: Version) -> None:
    """Hold an approval against what it was given for.

    Raises:
        ApprovalPending: there is none, it is for other files or another verdict, or the identity that trained gave it.
    """
    tags = version.tags
    where = f"TARGET (that of catalog {version.model.split('.')[0]})"
    cure = f"have somebody else run: mlops approve {version.number} --target {where}"
    if tags.get(APPROVAL) != "Approved":
        raise ApprovalPending(f"{version} waits for approval; {cure}")
    for name in ("artifact_digest", "verdict_digest"):
        if tags.get(f"approval_{name}") != tags.get(name):
            raise ApprovalPending(f"the approval of {version} was given for another {name.replace('_', ' ')}; {cure}")
    if tags.get("approval_by") == tags.get("trained_by"):
        raise ApprovalPending(f"{version} was approved by {tags['approval_by']}, who trained it; {cure}")


main = task(run)
