"""Hand a version that was just registered to the target's deployment job, and do not wait for it."""

from __future__ import annotations

from mlops.config import PromotionConfig, TrainingConfig
from mlops.context import Context, task
from mlops.contract import ConfigError
from mlops.platform import runtime


def run(job: Context[TrainingConfig | PromotionConfig]) -> None:
    """Start the deployment job for the version that the task before this one made."""
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
