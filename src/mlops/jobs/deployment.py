"""Make an accepted and approved version champion. Everything is read again: what was judged is what serves."""

from __future__ import annotations

from mlops.adapters.registry import Version, number_of
from mlops.config import DeploymentConfig
from mlops.contract import Conflict, ModelError
from mlops.jobs import _champion, approval
from mlops.jobs._champion import CHAMPION
from mlops.jobs._launch import Context, task


def run(job: Context[DeploymentConfig]) -> None:
    """Check verdict, approval and files once more, then move the alias through the audit table."""
    last = _champion.settle(job)
    version = job.registry.version(job.config.model_name, job.config.model_version)
    champion = job.registry.holder(version.model, CHAMPION)
    if champion is not None and champion.number == version.number:
        job.log.info("%s is champion already", version)
        return
    if version.tags.get("verdict") != "accepted":
        raise ModelError(
            f"{version} has no accepting verdict ({version.tags.get('verdict', 'none')}): run the validation job"
        )
    _still(version, champion)
    if job.config.approval == "required":
        approval.check(version, job.config)
    job.registry.load(version, job.use_case.model)
    _champion.move(job, version, "deployment", f"verdict {version.tags['verdict_digest'][:12]}", last)


def _still(version: Version, champion: Version | None) -> None:
    """Hold the champion against the one that the verdict compared the version with."""
    now = number_of(champion)
    then = version.tags.get("judged_against")
    if then != now:
        raise Conflict(
            f"{version} was judged against champion {then}, and champion is {now} by now; nothing was changed: "
            f"start the deployment job for version {version.number} again, which judges it anew"
        )


main = task(run)
