"""Task rollout: take one step of the rollout of a new champion at the endpoint, or abort it."""

from __future__ import annotations

from mlops.config import RolloutConfig
from mlops.context import Context, task
from mlops.release import aliases, target_settings
from mlops.serving import endpoint, rollout_steps


def run(job: Context[RolloutConfig]) -> None:
    """Take at most one step. An abort is a result: the version before answers, and a row says why."""
    target_settings.check_settings(job)
    aliases.reconcile_aliases(job)
    with endpoint.open_endpoint(job) as opened:
        rollout_steps.take_step(job, opened)


main = task(run)
