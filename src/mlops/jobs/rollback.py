"""Put the previous champion back."""

from __future__ import annotations

from mlops.config import RollbackConfig
from mlops.contract import ModelError
from mlops.jobs import _champion
from mlops.jobs._champion import PREVIOUS
from mlops.jobs._launch import Context, task


def run(job: Context[RollbackConfig]) -> None:
    """Move the alias back, with a row in the audit table; the version that goes becomes the previous champion.

    A run that is repaired after its row was written has only the aliases left to move. A second rollback would put
    back what the first one took away, so it is refused.
    """
    last = _champion.settle(job)
    if last is not None and last.move == "rollback":
        if last.run_id == job.config.run_id:
            job.log.info("version %d was put back by this run before", last.to_version)
            return
        raise ModelError(
            f"{job.config.model_name} was rolled back from version {last.from_version} to {last.to_version} already; a "
            f"second time would bring version {last.from_version} back: deploy the version that you want instead"
        )
    previous = job.registry.holder(job.config.model_name, PREVIOUS)
    if previous is None:
        raise ModelError(f"{job.config.model_name} has no previous champion to go back to; see: mlops status")
    job.registry.load(previous, job.use_case.model)
    _champion.move(job, previous, "rollback", job.config.reason, last)


main = task(run)
