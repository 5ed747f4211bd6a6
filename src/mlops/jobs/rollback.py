"""Task rollback: make the previous champion the champion again."""

from __future__ import annotations

from mlops.config import RollbackConfig
from mlops.context import Context, task
from mlops.contract import ModelError
from mlops.platform import runtime
from mlops.release import aliases, audit_log


def run(job: Context[RollbackConfig]) -> None:
    """Make the version that served before, by the audit table, champion again; the champion becomes the previous one.

    A run that is repaired after its row was written only moves the aliases. A second rollback would bring back the
    version that the first one removed, so it is refused.
    """
    model = job.config.model_name
    last = aliases.reconcile_aliases(job)
    if last is not None and last.move == "rollback":
        if last.run_id == job.config.run_id:
            job.log.info("version %d was put back by this run before", last.to_version)
            return
        raise ModelError(
            f"{model} was rolled back from version {last.from_version} to {last.to_version} already; a "
            f"second time would bring version {last.from_version} back: deploy the version that you want instead, "
            f"as in: {runtime.command('mlops', 'deploy', 'N', '--target', job.config.target)}"
        )
    if last is None or last.from_version is None:
        cure = runtime.command("mlops", "history", "--target", job.config.target)
        raise ModelError(f"{model} has no previous champion to go back to; see: {cure}")
    record = audit_log.record_of(job, last.from_version)
    previous = job.registry.get_version(model, last.from_version)
    served = record.move or record.verdict
    job.registry.load_model(previous if served is None else aliases.as_recorded(previous, served), job.use_case.model)
    row = aliases.row_of_move(job, "rollback", previous, record, job.config.reason)
    aliases.move_champion(job, previous, row, last)


main = task(run)
