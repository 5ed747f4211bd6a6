"""Task deployment: make an accepted and approved version champion, after checking verdict, approval and files again."""

from __future__ import annotations

from mlops.config import DeploymentConfig
from mlops.context import Context, task
from mlops.contract import ModelError
from mlops.release import aliases, target_settings
from mlops.release.version_record import newest_move


def run(job: Context[DeploymentConfig]) -> None:
    """Check verdict, approval and files again, then add the row of the move and move the alias."""
    target_settings.check_settings(job)
    rows = aliases.reconcile_aliases(job)
    last = newest_move(rows)
    version = job.registry.get_version(job.config.model_name, job.config.model_version)
    if last is not None and last.to_version == version.number:
        job.log.info("%s is champion already", version)
        return
    record = aliases.require_approval(job, rows)
    if record.verdict is None:
        raise ModelError(f"{version} was not judged: run the job 'deployment', which judges it first")
    job.registry.load_model(aliases.as_recorded(version, record.verdict), job.use_case.model)
    reason = f"verdict {record.verdict.verdict_digest[:12]}"
    aliases.move_champion(job, version, aliases.row_of_move(job, "deployment", version, record, reason), last)


main = task(run)
