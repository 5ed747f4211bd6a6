"""Task endpoint: make the serving endpoint serve the champion; if it fails, restore endpoint and champion."""

from __future__ import annotations

from mlops.config import DeploymentConfig, RollbackConfig
from mlops.context import Context, task
from mlops.contract import ModelError
from mlops.release import aliases, target_settings
from mlops.serving import endpoint


def run(job: Context[DeploymentConfig | RollbackConfig]) -> None:
    """Serve the champion of the audit table, whichever version this run is about, and check its answers.

    Raises:
        ModelError: the champion does not serve, or the version of this run is not champion any more.
    """
    target_settings.check_settings(job)
    aliases.reconcile_aliases(job)
    with endpoint.open_endpoint(job) as opened:
        champion = endpoint.serve_champion(job, opened)
    asked = getattr(job.config, "model_version", champion.number)
    if asked != champion.number:
        raise ModelError(
            f"{job.config.model_name} version {asked} is not champion any more, so endpoint {job.config.endpoint} "
            f"serves version {champion.number}: start the deployment job again to deploy version {asked}"
        )


main = task(run)
