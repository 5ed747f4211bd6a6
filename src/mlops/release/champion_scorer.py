"""Load the versions that score in a batch or a stream: the champion, the version before it, and a challenger."""

from __future__ import annotations

from dataclasses import replace

from mlops.config import InferenceConfig, StreamingConfig
from mlops.context import Context
from mlops.contract import ModelError
from mlops.contract.model_version import Version, require_fact
from mlops.data.contributions import check_explainable
from mlops.data.scoring import Scorer
from mlops.data.table_schemas import SHADOW
from mlops.release import audit_log
from mlops.release.aliases import CHALLENGER, as_recorded, find_version, load_serving
from mlops.release.version_record import newest_move, read_record

type Job = Context[InferenceConfig] | Context[StreamingConfig]


def load_scorer(job: Job) -> Scorer:
    """Load the champion.

    Raises:
        ModelError: there is none.
    """
    champion = load_serving(job)
    if champion is None:
        raise ModelError(f"{job.config.model_name} has no champion yet: train, or promote a version, and deploy it")
    scorer = _make_scorer(job, champion)
    if job.use_case.policy.reasons and (problem := check_explainable(scorer.pipeline)):
        job.log.warning("predictions get no reasons: %s", problem)
    return scorer


def load_previous(job: Job, champion: Scorer) -> Scorer | None:
    """Load the version before the champion, for what is asked after the training of the champion.

    Returns:
        None: a rollback made the champion, or there is no version before it; then it answers for all.
    """
    rows = audit_log.load_rows(job)
    last = newest_move(rows)
    if last is None or last.move != "deployment" or last.from_version in {None, last.to_version}:
        return None
    version = find_version(job, last.from_version or 0)
    move = read_record(rows, last.from_version or 0).move
    if version is None or move is None:
        return None
    return replace(_make_scorer(job, as_recorded(version, move)), trained_as_of=champion.trained_as_of)


def load_challenger(job: Job) -> Scorer | None:
    """Load the challenger, for the table of shadow predictions; None: there is none that the gate has accepted."""
    version = job.registry.find_alias_holder(job.config.model_name, CHALLENGER)
    if version is None:
        return None
    record = read_record(audit_log.load_rows(job), version.number)
    if record.verdict is None or record.verdict.verdict != "accepted" or record.rejection is not None:
        return None
    return replace(_make_scorer(job, as_recorded(version, record.verdict)), table=SHADOW)


def _make_scorer(job: Job, version: Version) -> Scorer:
    pipeline = job.registry.load_model(version, job.use_case.model)
    trained = require_fact(version.facts.trained_as_of, version)
    return Scorer(job.use_case, pipeline, version.number, trained, job.config.as_of)
