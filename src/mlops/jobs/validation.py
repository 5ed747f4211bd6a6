"""Judge one version on the holdout, beside the champion. A refusal is a result; what cannot be judged is refused."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace

from mlops.context import task
from mlops.contract import ModelError, Rule, Verdict
from mlops.modeling import gates, splits
from mlops.modeling import holdout as _evidence
from mlops.modeling.holdout import Holdout, HoldoutScores, Job
from mlops.platform import runtime
from mlops.platform.registry import Version
from mlops.release import aliases, audit_log, target_settings, verdicts
from mlops.release.aliases import as_recorded
from mlops.release.version_record import AuditRow, VersionRecord, champion_of, newest_move, read_record


def run(job: Job) -> None:
    """Decide, record the verdict, publish it as task value `verdict`; the same case is judged once.

    The version that serves is not judged: it is deployed already, and only its aliases are put in order.
    """
    target_settings.check_settings(job)
    version = job.registry.get_version(job.config.model_name, job.config.model_version)
    rows = audit_log.load_rows(job)
    record = read_record(rows, version.number)
    if champion_of(rows) == version.number:
        aliases.reconcile_aliases(job)
        answer = "champion"
        job.log.info("%s is champion already: there is nothing to judge or to approve", version)
    elif record.rejection is not None:
        answer = "rejected"
        job.log.info("%s was rejected by %s: %s", version, record.rejection.by, record.rejection.reason)
    else:
        answer = _publish_verdict(job, _as_known(version, record), record, rows)
    runtime.set_task_value("verdict", answer)


def _publish_verdict(job: Job, version: Version, record: VersionRecord, rows: Sequence[AuditRow]) -> str:
    """The recorded verdict, if it was given on this very case; else a new one."""
    champion, holdout = _champion_of(job, newest_move(rows)), _read_holdout(job)
    case = _case_digest(job, version, champion, holdout)
    if record.verdict is not None and record.verdict.verdict_case == case:
        job.log.info("%s was judged on this very case before: %s", version, record.verdict.verdict)
        verdicts.show_verdict(job, version, record.verdict)
        return record.verdict.verdict
    kept = verdicts.save_verdict(
        job, version, (case, champion_of(rows)), *_judge_version(job, version, champion, holdout)
    )
    answer = "accepted" if kept.accepted else "refused"
    job.log.info("%s %s", version, answer)
    return answer


def _as_known(version: Version, record: VersionRecord) -> Version:
    """The version with the facts that something else than its tags holds: the promotion of a copy, the registry."""
    if record.promotion is not None:
        return as_recorded(version, record.promotion)
    return replace(version, tags={**version.tags, "trained_by": version.created_by}) if version.created_by else version


def _champion_of(job: Job, last: AuditRow | None) -> Version | Exception | None:
    """Whom the audit table made champion; a version that was deleted since is no missing champion."""
    if last is None:
        return None
    try:
        return as_recorded(job.registry.get_version(job.config.model_name, last.to_version), last)
    except ModelError as error:
        return error


def _read_holdout(job: Job) -> Holdout | Exception:
    """Without a holdout the verdict is a refusal and no failure of this job."""
    try:
        return _evidence.read_holdout(job)
    except Exception as error:  # noqa: BLE001 (fail closed)
        return error


def _case_digest(job: Job, version: Version, champion: Version | Exception | None, holdout: Holdout | Exception) -> str:
    """What a verdict depends on, as one digest: artifacts, holdout (its data, not only its dates) and policy."""
    windows = splits.split_windows(job.config.as_of, job.use_case.policy)
    artifacts = [
        each.tags.get("artifact_digest") if isinstance(each, Version) else repr(each) for each in (version, champion)
    ]
    data = holdout.digest if isinstance(holdout, Holdout) else repr(holdout)
    policy = job.use_case.policy
    # Without extra rules the text is as it was before there were any, so that recorded verdicts hold.
    case = (artifacts, windows, data, policy, *policy.rule_sources)
    return hashlib.sha256(repr(case).encode()).hexdigest()


def _judge_version(
    job: Job, version: Version, champion: Version | Exception | None, holdout: Holdout | Exception
) -> tuple[Verdict, HoldoutScores | None]:
    """The verdict, and what it was made of; None where that could not be had."""
    if isinstance(holdout, Exception):
        return _needs_no_verdict(holdout), None
    try:
        evidence = _evidence.score_holdout(job, version, champion, holdout)
        verdict = gates.decide_verdict(
            challenger=evidence.challenger,
            contract=evidence.contract,
            champion=evidence.champion,
            coverage=holdout.coverage,
            policy=job.use_case.policy,
        )
    except Exception as error:  # noqa: BLE001 (fail closed: what could not be judged is refused, and says why)
        return _needs_no_verdict(error), None
    return verdict, evidence


def _needs_no_verdict(error: Exception) -> Verdict:
    reason = f"{type(error).__name__}: {error}"
    return Verdict((Rule("judged", passed=False, value=None, limit=None, reason=reason),))


main = task(run)
