"""Task rollback: make the previous champion the champion again."""

from __future__ import annotations

from mlops.config import RollbackConfig
from mlops.context import Context, task
from mlops.platform import runtime
from mlops.release import aliases, target_settings
from mlops.release.version_record import newest_move, read_record, version_to_restore


def run(job: Context[RollbackConfig]) -> None:
    """Make the version that served before, by the audit table, champion again; the champion becomes the previous one.

    A run that is repaired after its row was written only moves the aliases. A second rollback would bring back the
    version that the first one removed, so it is refused.
    """
    target_settings.check_settings(job)
    model = job.config.model_name
    rows = aliases.reconcile_aliases(job)
    last = newest_move(rows)
    if last is not None and (last.move, last.run_id) == ("rollback", job.config.run_id):
        job.log.info("version %d was put back by this run before", last.to_version)
        return
    number = version_to_restore(last, model, lambda *words: runtime.command(*words, "--target", job.config.target))
    record = read_record(rows, number)
    previous = job.registry.get_version(model, number)
    served = record.move or record.verdict
    job.registry.load_model(previous if served is None else aliases.as_recorded(previous, served), job.use_case.model)
    row = aliases.row_of_move(job, "rollback", previous, record, job.config.reason)
    aliases.move_champion(job, previous, row, last)


main = task(run)
