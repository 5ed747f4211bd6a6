"""Task validation: judge one version on the holdout against the champion. A rule that cannot be judged refuses."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace

from mlops.context import task
from mlops.contract import ModelError, Rule, Verdict
from mlops.contract.model_version import Version, VersionFacts
from mlops.modeling import gates, splits
from mlops.modeling import holdout as holdout_scores
from mlops.modeling.holdout import Holdout, HoldoutScores, Job
from mlops.platform import runtime
from mlops.questions import question_of
from mlops.release import aliases, audit_log, target_settings, verdicts
from mlops.release.aliases import as_recorded
from mlops.release.version_record import AuditRow, VersionRecord, champion_of, newest_move, read_record


def run(job: Job) -> None:
    """Judge the version, record the verdict and set the task value `verdict`; the same case is judged once.

    A version that is champion is not judged again; only its aliases are reconciled.
    """
    target_settings.check_settings(job)
    version = job.registry.get_version(job.config.model_name, job.config.model_version)
    rows = audit_log.load_rows(job)
    record = read_record(rows, version.number)
    if champion_of(rows) == version.number:
        aliases.reconcile_aliases(job, rows)
        answer = "champion"
        job.log.info("%s is champion already: there is nothing to judge or to approve", version)
    elif record.rejection is not None:
        answer = "rejected"
        job.log.info("%s was rejected by %s: %s", version, record.rejection.by, record.rejection.reason)
    else:
        answer = _publish_verdict(job, _resolve_facts(job, version, record), record, rows)
    runtime.set_task_value("verdict", answer)


def _publish_verdict(job: Job, version: Version, record: VersionRecord, rows: Sequence[AuditRow]) -> str:
    """Return the recorded verdict if it was given on this same case; else judge the version and record a new one."""
    champion, holdout = _load_champion(job, newest_move(rows)), _read_holdout(job)
    case = _case_digest(job, version, champion, holdout)
    if record.verdict is not None and record.verdict.verdict_case == case:
        job.log.info("%s was judged on this same case before: %s", version, record.verdict.verdict)
        verdicts.show_verdict(job, version, rows)
        return record.verdict.verdict
    saved = verdicts.save_verdict(
        job, version, (case, champion_of(rows)), *_judge_version(job, version, champion, holdout)
    )
    answer = "accepted" if saved.is_accepted else "refused"
    job.log.info("%s %s", version, answer)
    return answer


def _resolve_facts(job: Job, version: Version, record: VersionRecord) -> Version:
    """Return the version with the facts of its promotion; else with the claims of its training run.

    The registry's `created_by` replaces the run's claim about who trained it, if the registry has one.
    """
    if record.promotion is not None:
        return as_recorded(version, record.promotion)
    claims = VersionFacts.parse(job.registry.read_run_tags(version.run_id))
    return replace(version, facts=replace(claims, trained_by=version.created_by or claims.trained_by))


def _load_champion(job: Job, last: AuditRow | None) -> Version | Exception | None:
    """Load the champion of the audit table; the exception if it was deleted, None if there is no champion."""
    if last is None:
        return None
    try:
        return as_recorded(job.registry.get_version(job.config.model_name, last.to_version), last)
    except ModelError as error:
        return error


def _read_holdout(job: Job) -> Holdout | Exception:
    """Read the holdout; an error is returned, since it refuses the version and must not fail the job."""
    try:
        return holdout_scores.read_holdout(job)
    except Exception as error:  # noqa: BLE001 (fail closed)
        return error


def _case_digest(job: Job, version: Version, champion: Version | Exception | None, holdout: Holdout | Exception) -> str:
    """Compute the digest of all that a verdict depends on: artifacts, holdout data and dates, policy, extra rules."""
    windows = splits.split_windows(job.config.as_of, job.use_case.policy)
    artifacts = [
        side.facts.artifact_digest if isinstance(side, Version) else repr(side) for side in (version, champion)
    ]
    data = holdout.digest if isinstance(holdout, Holdout) else repr(holdout)
    policy = job.use_case.policy
    # Without extra rules the text is as it was before there were any, so that recorded verdicts hold.
    case = (artifacts, windows, data, policy, *policy.rule_sources)
    return hashlib.sha256(repr(case).encode()).hexdigest()


def _judge_version(
    job: Job, version: Version, champion: Version | Exception | None, holdout: Holdout | Exception
) -> tuple[Verdict, HoldoutScores | None]:
    """Judge the version; returns the verdict and the scores that it is based on, None if they could not be computed."""
    if isinstance(holdout, Exception):
        return _refuse_by_error(holdout), None
    try:
        evidence = holdout_scores.score_holdout(job, version, champion, holdout)
        verdict = gates.decide_verdict(
            question=question_of(job.use_case.label),
            challenger=evidence.challenger,
            contract=evidence.contract,
            champion=evidence.champion,
            coverage=holdout.coverage,
            policy=job.use_case.policy,
        )
    except Exception as error:  # noqa: BLE001 (fail closed: an error refuses the version and is its reason)
        return _refuse_by_error(error), None
    return verdict, evidence


def _refuse_by_error(error: Exception) -> Verdict:
    reason = f"{type(error).__name__}: {error}"
    return Verdict((Rule("judged", passed=False, value=None, limit=None, reason=reason),))


main = task(run)
