"""Read the holdout, and score challenger and champion on the same rows."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import chain
from math import ceil
from typing import Any

import numpy as np
import pandas as pd
from pyspark.sql import Window
from pyspark.sql import functions as F

from mlops.config import DeploymentConfig, ValidationConfig
from mlops.context import Context
from mlops.contract import DataError, UseCase
from mlops.contract.model_version import Version, require_fact
from mlops.data import feature_blocks, labels, predictions
from mlops.modeling import splits
from mlops.modeling.coverage import Coverage
from mlops.modeling.gate_case import Scored, ServingChecks
from mlops.modeling.isolated_scoring import run_trial
from mlops.modeling.splits import Windows

Job = Context[ValidationConfig | DeploymentConfig]


@dataclass(frozen=True, eq=False)
class Holdout:
    """The rows that versions are judged on, and counts of the entities that they should come from."""

    read_parts: Callable[[], Iterable[pd.DataFrame]]
    """Reads the rows, part by part, so that features of a large holdout are never here at once: key, event_time,
    features and label of every matured entity, sorted by key within a part."""
    coverage: Coverage
    tables: Mapping[str, int]
    """Versions of the tables that they were read from."""

    digest: str
    """SHA-256 over rows and counts: it differs as soon as one value differs."""


@dataclass(frozen=True)
class HoldoutScores:
    """Scores of both versions on one holdout, or the exceptions that prevented them."""

    challenger: Scored | Exception
    contract: ServingChecks | Exception
    champion: Scored | Exception | None
    tables: Mapping[str, int] = field(default_factory=dict)
    """Versions of the tables, catalog.schema.table, that the holdout was read from."""

    @property
    def is_complete(self) -> bool:
        """Whether no error prevented a score: only then is the verdict that of the case, and need not be made again."""
        return not any(isinstance(each, Exception) for each in (self.challenger, self.contract, self.champion))


def read_holdout(job: Job) -> Holdout:
    """Read the rows of the holdout and count the entities that they should come from."""
    use_case = job.use_case
    windows = splits.split_windows(job.config.as_of, use_case.policy)
    names = ("features", *labels.label_sources(use_case), use_case.entity.source)
    tables = {name: job.data.newest_version(name) for name in dict.fromkeys(names)}
    features = job.data.read_table("features", tables["features"])
    rows = labels.select_event_times(features, windows.holdout_from, windows.holdout_until).drop("batch")
    coverage, limit = _count_days(job, windows, tables), use_case.policy.max_collected_rows
    count = int(coverage.holdout["featured"].sum())
    if count <= limit:
        job.log.info("%d rows of the holdout come to the driver at once", count)
        labelled = labels.join_labels(rows, job.data, use_case, job.config.as_of, versions=tables)
        return Holdout(lambda: [labelled], coverage, tables, _compute_digest([labelled], coverage))
    parts = ceil(count / limit)
    job.log.info("%d rows are more than max_collected_rows, %d: they are scored in %d parts", count, limit, parts)
    part = F.pmod(F.xxhash64(*use_case.entity.key), F.lit(parts))

    def read_parts() -> Iterator[pd.DataFrame]:
        of_parts = (rows.where(part == number) for number in range(parts))
        return check_parts(
            (labels.collect_labels(rows, job.data, use_case, job.config.as_of, versions=tables) for rows in of_parts),
            use_case,
        )

    return Holdout(read_parts, coverage, tables, _compute_digest(read_parts(), coverage))


def check_parts(parts: Iterable[tuple[pd.DataFrame, int]], use_case: UseCase) -> Iterator[pd.DataFrame]:
    """Yield the labelled rows of each part that has some, given with the number of their early labels.

    Raises:
        DataError: too many labels of all parts together were known when their predictions were made. In a part they
            may be too few to be judged, or more than in the others.
    """
    rows = early = 0
    for labelled, early_here in parts:
        rows, early = rows + len(labelled), early + early_here
        if len(labelled):
            yield labelled
    if reason := labels.describe_early(early, rows, use_case):
        raise DataError(reason)


def _compute_digest(parts: Iterable[pd.DataFrame], coverage: Coverage) -> str:
    digest = hashlib.sha256()
    for frame in chain(parts, [coverage.days]):
        digest.update(repr(list(frame.columns)).encode())
        digest.update(pd.util.hash_pandas_object(frame, index=False).to_numpy().tobytes())
    return digest.hexdigest()


def _count_days(job: Job, windows: Windows, tables: Mapping[str, int]) -> Coverage:
    """Count per day the entities known at their prediction time, and those with features, outcome and label."""
    use_case, entity = job.use_case, job.use_case.entity
    source, key = use_case.source(entity.source), list(entity.key)
    start = windows.holdout_from - use_case.policy.holdout
    event = F.col(entity.event_time)
    asked = event - feature_blocks.to_interval(entity.lead)
    # An entity that was moved before its question is asked about where it was moved to, also beyond the window.
    newer = F.lead(source.known_at).over(Window.partitionBy(*key).orderBy(source.known_at))
    versions = job.data.read_table(entity.source, tables[entity.source]).where(event >= F.lit(start))
    versions = versions.withColumn("_newer", newer)
    inside = (event < F.lit(windows.holdout_until)) & (F.col(source.known_at) <= asked)
    entities = versions.where(inside & (F.col("_newer").isNull() | (F.col("_newer") > asked))).groupBy(*key)
    entities = entities.agg(F.max_by(event, source.known_at).alias("event_time"))
    features = job.data.read_table("features", tables["features"])
    featured = labels.select_event_times(features, start, windows.holdout_until)
    reported = labels.join_outcomes(entities, job.data, use_case, job.config.as_of, versions=tables).groupBy(*key)
    reported = reported.agg(
        F.max_by(F.col(labels.LABEL).isNotNull(), labels.KNOWN).alias("labelled"), F.lit(1).alias("reported")
    )
    rows = entities.join(featured.select(*key, F.lit(1).alias("featured")).distinct(), key, "left")
    rows = rows.join(reported, key, "left").withColumn("day", F.date_trunc("day", F.col("event_time")))
    has = F.col("featured").isNotNull()
    counts = rows.groupBy("day").agg(
        F.count("*").alias("entities"),
        F.count("featured").alias("featured"),
        F.count(F.when(has, F.col("reported"))).alias("reported"),
        F.count(F.when(has & F.col("labelled"), 1)).alias("labelled"),
    )
    days: pd.DataFrame = counts.toPandas().sort_values("day", ignore_index=True)
    return Coverage(days, pd.Timestamp(windows.holdout_from).tz_localize(None))


def score_holdout(job: Job, version: Version, champion: Version | Exception | None, holdout: Holdout) -> HoldoutScores:
    """Score both versions on the holdout; `champion` None: there is none, an exception: it could not be loaded."""
    challenger_parts: list[Scored | Exception] = []
    champion_parts: list[Scored | Exception] = []
    contracts: list[ServingChecks | Exception] = []
    for rows in holdout.read_parts():
        if rows.empty:
            continue
        scored, contract = _check_serving(job, version, rows)
        challenger_parts.append(scored)
        contracts.append(contract)
        if isinstance(champion, Version):
            champion_parts.append(_score_champion(job, champion, rows))
    if not contracts:
        windows = splits.split_windows(job.config.as_of, job.use_case.policy)
        first, last = windows.holdout_from, windows.holdout_until - timedelta(days=1)
        raise DataError(
            f"no entity of the holdout, {first:%Y-%m-%d} to {last:%Y-%m-%d}, has features and a label as of "
            f"{job.config.as_of:%Y-%m-%d}: bring the data up to date, or run this as of a day that they reach (as_of)"
        )
    against = _join_parts(champion_parts) if isinstance(champion, Version) else champion
    tables = {job.data.full_name(name): number for name, number in holdout.tables.items()}
    return HoldoutScores(_join_parts(challenger_parts), _join_checks(contracts), against, tables)


def _join_checks(parts: Sequence[ServingChecks | Exception]) -> ServingChecks | Exception:
    """Join the checks of all parts: every problem once, and the largest figures; the first error if there is one."""
    checks = []
    for part in parts:
        if isinstance(part, Exception):
            return part
        checks.append(part)
    problems = dict.fromkeys(problem for check in checks for problem in check.problems)
    return ServingChecks(tuple(problems), max(c.latency_ms for c in checks), max(c.size_mb for c in checks))


def _join_parts(parts: Sequence[Scored | Exception]) -> Scored | Exception:
    """Join the scores of all parts; the first error if there is one."""
    scores = []
    for part in parts:
        if isinstance(part, Exception):
            return part
        scores.append(part)
    return Scored(
        y=np.concatenate([part.y for part in scores]),
        p=np.concatenate([part.p for part in scores]),
        day=np.concatenate([part.day for part in scores]),
        slices=pd.concat([part.slices for part in scores], ignore_index=True),
        trained_until=scores[0].trained_until,
    )


def _check_serving(
    job: Job, version: Version, holdout: pd.DataFrame
) -> tuple[Scored | Exception, ServingChecks | Exception]:
    """Score an unaccepted version and check how it serves; an error is returned, so that the gate refuses it."""
    try:
        trial = run_trial(job.registry, version, job.use_case, holdout)
        return _score_version(job, version, holdout, trial.p), trial.contract
    except Exception as error:  # noqa: BLE001
        return error, error


def _score_champion(job: Job, champion: Version, holdout: pd.DataFrame) -> Scored | Exception:
    """Score the champion in this process: it was accepted, so its files are trusted; an error is returned."""
    try:
        opened = job.registry.open_version(champion, job.use_case.model)
        return _score_version(job, champion, holdout, predictions.predict(opened.pipeline, holdout, job.use_case))
    except Exception as error:  # noqa: BLE001
        return error


def _score_version(job: Job, version: Version, holdout: pd.DataFrame, p: np.ndarray[Any, Any]) -> Scored:
    return Scored(
        y=holdout[labels.LABEL].to_numpy(),
        p=p,
        day=holdout["event_time"].to_numpy("datetime64[D]").astype(np.dtype("datetime64[D]")),
        slices=holdout[list(job.use_case.policy.slices)],
        trained_until=require_fact(version.facts.trained_until, version),
    )
