"""Put the previous champion back."""

from __future__ import annotations

from mlops.config import RollbackConfig
from mlops.contract import ModelError
from mlops.jobs import _champion
from mlops.jobs._champion import PREVIOUS
from mlops.jobs._launch import Context, task


def run(job: Context[RollbackConfig]) -> None:
    """Move the alias back, with a row in the audit table; the version that goes becomes the previous champion."""
    _champion.settle(job)
    previous = job.registry.holder(job.config.model_name, PREVIOUS)
    if previous is None:
        raise ModelError(f"{job.config.model_name} has no previous champion to go back to; see: mlops status")
    job.registry.load(previous, job.use_case.model)
    _champion.move(job, previous, "rollback", job.config.reason)


main = task(run)
