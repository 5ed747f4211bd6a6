"""Send rows to a new champion at the endpoint, and compare its answers with its files and the previous version."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np
import pandas as pd
from pyspark.sql import functions as F

from mlops.config import RolloutConfig
from mlops.context import Context
from mlops.contract import MlopsError
from mlops.contract.model_version import Version, require_fact
from mlops.data import labels, predictions
from mlops.data.payload import RecordedAnswers
from mlops.modeling import gates, splits
from mlops.modeling.gate_case import Scored
from mlops.monitoring import drift
from mlops.platform.endpoints import Endpoint
from mlops.platform.model_scan import OpenedModel
from mlops.questions import question_of
from mlops.serving.rollout import Evidence
from mlops.serving.smoke_test import describe_difference

type Job = Context[RolloutConfig]
_SINGLES = 30
"""Number of requests of one row, whose latency is measured; the other rows are sent in blocks."""
_BLOCK = 50
_MOST_FAILURES = 5
"""Number of failed requests after which no more are sent: each may have waited for minutes."""
_NEWEST = timedelta(days=7)


@dataclass(frozen=True)
class SampledRows:
    """Rows to send to the endpoint, with key, event_time and features."""

    recent: pd.DataFrame
    """The newest rows, which have no label yet."""
    matured: pd.DataFrame
    """Rows with the column LABEL that neither version was trained on."""


@dataclass(frozen=True)
class _AskedRows:
    """The answers for rows, in their order; `raw` is None if a request failed."""

    raw: list[Any] | None
    requests: int
    failed: int
    error: str
    seconds: list[float]


def read_rows(job: Job, champion: Version, previous: Version) -> SampledRows:
    """Read the rows to send, chosen by a hash of the entity's key, so that a repeat sends the same rows."""
    use_case, as_of = job.use_case, job.config.as_of
    key, limit = [F.col(name) for name in use_case.entity.key], job.config.rollout_rows
    features = job.data.read_table("features").drop("batch")
    newest = features.where((F.col("prediction_time") > F.lit(as_of - _NEWEST)) & (F.col("prediction_time") <= as_of))
    recent = newest.orderBy(F.xxhash64(*key)).limit(limit).toPandas()
    windows = splits.split_windows(as_of, use_case.policy)
    trained = [require_fact(version.facts.trained_until, version) for version in (champion, previous)]
    unseen = labels.select_event_times(features, max(windows.holdout_from, *trained), windows.holdout_until)
    sample = unseen.orderBy(F.xxhash64(*key)).limit(limit)
    return SampledRows(recent, labels.join_labels(sample, job.data, use_case, as_of))


def gather_evidence(job: Job, endpoint: Endpoint, champion: Version, previous: Version) -> Evidence:
    """Send recent and matured rows to the new champion, and compare its answers."""
    rows = read_rows(job, champion, previous)
    asked = pd.concat([rows.recent, rows.matured], ignore_index=True)
    if asked.empty:
        return Evidence(rows=0, requests=0, failed=0)
    opened, before = (job.registry.open_version(version, job.use_case.model) for version in (champion, previous))
    inputs = predictions.model_input(asked, job.use_case, opened.pipeline)
    answers = _ask_rows(endpoint, champion.number, inputs)
    latency = float(np.median(answers.seconds)) * 1000 if answers.seconds else float("nan")
    counts: dict[str, Any] = {"rows": len(asked), "requests": answers.requests, "failed": answers.failed}
    if answers.raw is None:
        return Evidence(**counts, error=answers.error, latency_ms=latency)
    expected = np.asarray(getattr(opened.pipeline, opened.method)(inputs))
    if skew := describe_difference(expected, answers.raw):
        return Evidence(**counts, error=answers.error, latency_ms=latency, skew=skew)
    mine, theirs = _score(job, opened, inputs, answers.raw), predictions.predict(before.pipeline, asked, job.use_case)
    matured = slice(len(rows.recent), None)
    judged = _judge_quality(job, rows.matured, (champion, mine[matured]), (previous, theirs[matured]))
    return Evidence(**counts, latency_ms=latency, shift=largest_shift(theirs, mine), rules=judged)


def _ask_rows(endpoint: Endpoint, version: int, inputs: pd.DataFrame) -> _AskedRows:
    raw: list[Any] = []
    errors, seconds, requests = [], [], 0
    for request in _make_requests(inputs):
        requests += 1
        try:
            answer = endpoint.ask(request, version)
        except MlopsError as error:
            errors.append(str(error))
            if len(errors) == _MOST_FAILURES:
                break
            continue
        given = answer.predictions if isinstance(answer.predictions, list) else [answer.predictions]
        raw += given
        if len(request["dataframe_split"]["data"]) == 1:
            seconds.append(answer.seconds)
    return _AskedRows(None if errors else raw, requests, len(errors), errors[0] if errors else "", seconds)


def _make_requests(inputs: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """Yield requests of one row, then of blocks; missing values are null, since JSON has no NaN."""
    values = [[None if pd.isna(value) else value for value in row] for row in inputs.to_numpy(object).tolist()]
    columns = list(inputs.columns)
    singles, rest = values[:_SINGLES], values[_SINGLES:]
    for block in [*([row] for row in singles), *(rest[at : at + _BLOCK] for at in range(0, len(rest), _BLOCK))]:
        yield {"dataframe_split": {"columns": columns, "data": block}}


def _score(job: Job, opened: OpenedModel, inputs: pd.DataFrame, raw: list[Any]) -> np.ndarray[Any, Any]:
    recorded: Any = RecordedAnswers(np.asarray(raw), getattr(opened.pipeline, "classes_", None))
    return question_of(job.use_case.label).predict_scores(recorded, inputs)


def largest_shift(before: np.ndarray[Any, Any], after: np.ndarray[Any, Any]) -> float:
    """Compare the distributions of both versions' predictions; of several classes the worst one, in std. deviations."""
    pairs = zip(np.atleast_2d(before.T), np.atleast_2d(after.T), strict=True)
    return max(drift.compare_counts(_count(one), _count(other)).wasserstein for one, other in pairs)


def _count(scores: np.ndarray[Any, Any]) -> Counter[str]:
    codes, names = drift.bin_values(pd.Series(scores))
    return Counter(names[code] for code in codes)


def _judge_quality(
    job: Job, matured: pd.DataFrame, challenger: tuple[Version, Any], champion: tuple[Version, Any]
) -> tuple[Any, ...]:
    """Judge whether it is worse than the previous version; empty where the labels are equal, or of one day."""
    question, policy = question_of(job.use_case.label), job.use_case.policy
    days = matured["event_time"].to_numpy("datetime64[D]").astype(np.dtype("datetime64[D]"))
    if len(np.unique(days)) < 2 or matured[labels.LABEL].nunique() < 2:
        return ()
    slices = matured[list(policy.slices)]
    new, old = (
        Scored(matured[labels.LABEL].to_numpy(), p, days, slices, require_fact(version.facts.trained_until, version))
        for version, p in (challenger, champion)
    )
    return gates.compare_versions(question, new, old, policy)
