"""Judge one version on the holdout, beside the champion. A refusal is a result; what cannot be judged is refused."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from pyspark.sql import functions as F

from mlops.adapters import platform
from mlops.adapters.registry import Version, number_of
from mlops.contract import ModelError, Rule, Verdict
from mlops.jobs import _evidence, _verdict
from mlops.jobs._audit import MOVES
from mlops.jobs._champion import CHAMPION
from mlops.jobs._evidence import Evidence, Holdout, Job
from mlops.jobs._launch import task
from mlops.lifecycle import gates, splits


def run(job: Job) -> None:
    """Decide, keep the verdict with the version, publish it as task value `verdict`; the same case is judged once."""
    version = job.registry.version(job.config.model_name, job.config.model_version)
    champion = _champion_of(job)
    holdout = _read_holdout(job)
    case = _case(job, version, champion, holdout)
    if "rejected_reason" in version.tags:
        answer = "rejected"
        job.log.info("%s was closed by a person: %s", version, version.tags["rejected_reason"])
    elif version.tags.get("verdict_case") == case:
        answer = version.tags["verdict"]
        job.log.info("%s was judged on this very case before: %s", version, answer)
    else:
        kept = _verdict.keep(job, version, _about(case, champion), *_judge(job, version, champion, holdout))
        answer = "accepted" if kept.accepted else "refused"
        job.log.info("%s %s", version, answer)
    platform.set_task_value("verdict", answer)


def _champion_of(job: Job) -> Version | Exception | None:
    """Who holds the alias; without one, whom the audit table made champion: a lost alias is no missing champion."""
    name = job.config.model_name
    holder = job.registry.holder(name, CHAMPION)
    if holder is not None or not job.own.exists("audit"):
        return holder
    made = (F.col("model_name") == name) & F.col("move").isin(*MOVES)
    moves = job.own.read("audit").where(made).orderBy(F.col("sequence").desc()).limit(1)
    try:
        return next((job.registry.version(name, int(row.to_version)) for row in moves.collect()), None)
    except ModelError as error:
        return error


def _read_holdout(job: Job) -> Holdout | Exception:
    """Without a holdout the verdict is a refusal and no failure of this job."""
    try:
        return _evidence.read_holdout(job)
    except Exception as error:  # noqa: BLE001 (fail closed)
        return error


def _case(job: Job, version: Version, champion: Version | Exception | None, holdout: Holdout | Exception) -> str:
    """What a verdict depends on, as one digest: artifacts, holdout (its data, not only its dates) and policy."""
    windows = splits.windows(job.config.as_of, job.use_case.policy)
    artifacts = [
        each.tags.get("artifact_digest") if isinstance(each, Version) else repr(each) for each in (version, champion)
    ]
    data = holdout.digest if isinstance(holdout, Holdout) else repr(holdout)
    return hashlib.sha256(repr((artifacts, windows, data, job.use_case.policy)).encode()).hexdigest()


def _about(case: str, champion: Version | Exception | None) -> Mapping[str, str]:
    """What a verdict was given on, as tags: deployment compares the champion with the one that is judged against."""
    return {"verdict_case": case, "judged_against": number_of(champion)}


def _judge(
    job: Job, version: Version, champion: Version | Exception | None, holdout: Holdout | Exception
) -> tuple[Verdict, Evidence | None]:
    """The verdict, and what it was made of; None where that could not be had."""
    if isinstance(holdout, Exception):
        return _unjudged(holdout), None
    try:
        evidence = _evidence.gather(job, version, champion, holdout)
        verdict = gates.decide(
            challenger=evidence.challenger,
            contract=evidence.contract,
            champion=evidence.champion,
            coverage=holdout.coverage,
            policy=job.use_case.policy,
        )
    except Exception as error:  # noqa: BLE001 (fail closed: what could not be judged is refused, and says why)
        return _unjudged(error), None
    return verdict, evidence


def _unjudged(error: Exception) -> Verdict:
    reason = f"{type(error).__name__}: {error}"
    return Verdict((Rule("judged", passed=False, value=None, limit=None, reason=reason),))


main = task(run)
