"""Pass only if a person has approved this very version on this very verdict, or the target approves by itself."""

from __future__ import annotations

from datetime import datetime

from mlops.adapters import platform
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
    check(version, job.config)
    job.log.info("%s approved by %s", version, version.tags.get("approval_by", "whoever set the tag"))


def check(version: Version, config: DeploymentConfig) -> None:
    """Hold an approval against what it was given for.

    `mlops approve` binds it to files and verdict. The platform's own button sets the bare tag, which counts only where
    the target says `approval_binding: platform`; a new verdict deletes both.

    Raises:
        ApprovalPending: there is none, it has ended, it is for other files or another verdict, or the identity that
            trained gave it.
    """
    tags = version.tags
    cure = f"have somebody else run: mlops approve {version.number} --target {config.target}"
    if tags.get(APPROVAL, "").lower() != "approved":
        raise ApprovalPending(f"{version} waits for approval; {cure}")
    if "approval_by" not in tags:
        if config.approval_binding == "platform":
            return
        raise ApprovalPending(f"the approval of {version} is a bare tag, which says neither who nor for what; {cure}")
    for name in ("artifact_digest", "verdict_digest"):
        if name not in tags or tags.get(f"approval_{name}") != tags[name]:
            raise ApprovalPending(f"the approval of {version} was given for another {name.replace('_', ' ')}; {cure}")
    if not _later(tags.get("approval_expires", ""), platform.now()):
        raise ApprovalPending(
            f"the approval of {version} ended at {tags.get('approval_expires', 'no known time')}; {cure}"
        )
    if "trained_by" not in tags:
        raise ApprovalPending(f"{version} does not say who trained it, so nobody can be held apart; train it again")
    if tags["approval_by"] == tags["trained_by"]:
        raise ApprovalPending(f"{version} was approved by {tags['approval_by']}, who trained it; {cure}")


def _later(text: str, moment: datetime) -> bool:
    """Whether a time as `mlops approve` writes it lies ahead; what cannot be read does not."""
    try:
        return datetime.fromisoformat(text) > moment
    except (ValueError, TypeError):
        return False


main = task(run)
