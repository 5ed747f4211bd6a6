"""Judge one version on the holdout, beside the champion. A refusal is a result; what cannot be judged is refused."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from datetime import datetime

import numpy as np
import pandas as pd

from mlops.adapters import platform
from mlops.adapters.registry import Version
from mlops.config import DeploymentConfig, ValidationConfig
from mlops.contract import Rule, Verdict
from mlops.jobs import _matured
from mlops.jobs._champion import APPROVAL_TAGS, CHALLENGER, CHAMPION
from mlops.jobs._launch import Context, task
from mlops.lifecycle import gates, splits
from mlops.lifecycle.gates import Scored

Job = Context[ValidationConfig | DeploymentConfig]


def run(job: Job) -> None:
    """Decide, keep the verdict with the version, publish it as task value `verdict`; the same case is judged once."""
    version = job.registry.version(job.config.model_name, job.config.model_version)
    champion = job.registry.holder(job.config.model_name, CHAMPION)
    case = _case(job, version, champion)
    if "rejected_reason" in version.tags:
        verdict = "rejected"
        job.log.info("%s was closed by a person: %s", version, version.tags["rejected_reason"])
    elif version.tags.get("verdict_case") == case:
        verdict = version.tags["verdict"]
        job.log.info("%s was judged on this very case before: %s", version, verdict)
    else:
        verdict = _report(job, version, champion, case, _judge(job, version, champion))
    platform.set_task_value("verdict", verdict)


def _case(job: Job, version: Version, champion: Version | None) -> str:
    """What a verdict depends on, as one digest: artifacts, holdout and policy."""
    windows = splits.windows(job.config.as_of, job.use_case.policy)
    artifacts = [v and v.tags.get("artifact_digest") for v in (version, champion)]
    return hashlib.sha256(repr((artifacts, windows, job.use_case.policy)).encode()).hexdigest()


def _judge(job: Job, version: Version, champion: Version | None) -> Verdict:
    try:
        windows = splits.windows(job.config.as_of, job.use_case.policy)
        rows = _matured.between(job.data.read("features"), windows.holdout_from, windows.holdout_until)
        holdout = _matured.fetch(_matured.labelled(rows, job.data, job.use_case, job.config.as_of), job.use_case)
        mine = _scored(job, version, holdout)
        theirs = None if champion is None else _scored(job, champion, holdout)
        return gates.decide(challenger=mine, champion=theirs, policy=job.use_case.policy)
    except Exception as error:  # noqa: BLE001 (fail closed: what could not be judged is refused, and says why)
        return Verdict(
            (Rule("judged", passed=False, value=None, limit=None, reason=f"{type(error).__name__}: {error}"),)
        )


def _scored(job: Job, version: Version, holdout: pd.DataFrame) -> Scored | Exception:
    try:
        pipeline = job.registry.load(version, job.use_case.model)
        answers = pipeline.predict_proba(_matured.features_of(holdout, job.use_case, pipeline))[:, 1]
        return Scored(
            y=holdout[_matured.LABEL].to_numpy(),
            p=answers,
            day=holdout["event_time"].to_numpy("datetime64[D]").astype(np.dtype("datetime64[D]")),
            slices=holdout[list(job.use_case.policy.slices)],
            trained_until=datetime.fromisoformat(version.tags["trained_until"]),
        )
    except Exception as error:  # noqa: BLE001 (the gate reports it as its finding about this version)
        return error


def _report(job: Job, version: Version, champion: Version | None, case: str, verdict: Verdict) -> str:
    """Keep the verdict as a document in a run of its own and in the version's tags; an older approval ends with it."""
    answer = "accepted" if verdict.accepted else "refused"
    document = json.dumps({"version": str(version), "verdict": answer, **asdict(verdict)}, indent=1, allow_nan=True)
    figures = {rule.name: rule.value for rule in verdict.rules if rule.value is not None}
    with job.registry.run(job.config.experiment, f"validation of {version}", {"verdict": answer}) as run_id:
        job.registry.log(job.config.model_dump(mode="json"), figures, {"verdict.json": document})
    digest = hashlib.sha256(document.encode()).hexdigest()
    against = "none" if champion is None else str(champion.number)
    kept = {"verdict": answer, "judged_against": against, "verdict_digest": digest, "validation_run": run_id}
    job.registry.tag(version, {**dict.fromkeys(APPROVAL_TAGS), **kept})
    if verdict.accepted:
        job.registry.set_alias(version, CHALLENGER)
    elif CHALLENGER in version.aliases:
        job.registry.drop_alias(version.model, CHALLENGER)
    job.registry.tag(version, {"verdict_case": case})  # last: whoever is stopped before it judges again
    for rule in verdict.rules:
        job.log.info("%s %s: %s", "passed " if rule.passed else "REFUSED", rule.name, rule.reason)
    job.log.info("%s %s", version, answer)
    return answer


main = task(run)
