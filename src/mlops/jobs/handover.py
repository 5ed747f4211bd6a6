"""Task handover: start the target's deployment job for a new version, without waiting for it."""

from __future__ import annotations

from mlops.config import PromotionConfig, TrainingConfig
from mlops.context import Context, task
from mlops.contract import ConfigError
from mlops.platform import runtime


def run(job: Context[TrainingConfig | PromotionConfig]) -> None:
    """Start the deployment job for the version that the previous task registered."""
    number = job.config.model_version
    if number is None:
        raise ConfigError(
            "parameter 'model_version' is empty: handover takes it from the task that registered the version"
        )
    parameters = {
        "model_name": job.config.model_name,
        "model_version": str(number),
        "as_of": job.config.as_of.isoformat(),
    }
    runtime.start_job(job.config.deployment_job_id, parameters)
    job.log.info("%s version %d handed over to the deployment job", job.config.model_name, number)


main = task(run)
