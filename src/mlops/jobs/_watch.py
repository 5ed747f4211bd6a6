"""What monitoring reads and keeps: predictions beside their labels, counts per bin, and the rows it has written before.

Writes are appends of what is not there yet, each table by itself: a run that was cut short is completed by the next.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pandas as pd
from pyspark.sql import functions as F

from mlops.adapters.registry import Version
from mlops.config import MonitoringConfig
from mlops.contract import UseCase
from mlops.jobs import _layout, _matured
from mlops.jobs._launch import Context
from mlops.lifecycle import alerts, drift
from mlops.lifecycle.alerts import Alert
from mlops.lifecycle.version_record import MOVES

Job = Context[MonitoringConfig]
PREDICTION = "prediction"
_COUNTS = "week timestamp, column string, slice string, bin string, rows bigint"


def naive(moment: datetime) -> pd.Timestamp:
    """A moment as pandas holds what Spark returns: UTC without zone."""
    return pd.Timestamp(moment).tz_convert("UTC").tz_localize(None)


def first_champion(versions: Sequence[Version]) -> Version | None:
    """The version that served first, never retrained: what the others are held against. `versions`: oldest first."""
    return next((v for v in versions if v.tags.get("verdict") == "accepted"), None)


def past(job: Job) -> dict[str, pd.DataFrame]:
    """What earlier runs have written, and what has been taken in; read side by side, since each takes a moment."""
    mine = F.col("model_name") == job.config.model_name
    wanted = {
        "metrics": job.own.read("metrics").where(mine),
        "decisions": job.own.read("decisions").where(mine),
        "alerts": job.own.read("alerts").where(mine),
        "drift": job.own.read("drift").where(F.col("slice") == drift.ALL),
        "moves": job.own.read("audit").where(mine & F.col("move").isin(*MOVES)).orderBy("sequence"),
        "quarantine": job.data.read("quarantine").groupBy("as_of").agg(F.count("*").alias("rows")),
        "counts": job.own.read("counts").agg(F.max("week").alias("week")),
        "ledger": job.data.read("ledger").groupBy("source").agg(F.max("last_known").alias("last_known")),
    }
    with ThreadPoolExecutor() as pool:
        return dict(zip(wanted, pool.map(lambda rows: rows.toPandas(), wanted.values()), strict=True))


def predictions(job: Job, start: datetime, first: Version | None) -> pd.DataFrame:
    """Every prediction for an event since a moment: of an entity that was scored more than once, the newest.

    Returns:
        prediction, model_version, first (the prediction of that version), label (NaN: none), reported, event_time, its
        day and week, and the policy's slices; one row per entity.
    """
    use_case, key = job.use_case, list(job.use_case.entity.key)
    told = _matured.outcomes(job.data, use_case, job.config.as_of)
    scored = _matured.between(job.own.read("predictions"), start, job.config.as_of)
    scored = scored.select(*key, "prediction_time", "scored_at", "model_version", PREDICTION)
    features = _matured.between(job.data.read("features"), start, job.config.as_of)
    rows = _beside(
        features.join(scored, [*key, "prediction_time"]), use_case, first and job.registry.load(first, use_case.model)
    )
    here: pd.DataFrame = rows.join(told, key, "left").toPandas()
    # Of an entity that was scored more than once the newest prediction counts, and the newest version of its outcome.
    here = here.sort_values([*key, "prediction_time", "scored_at", _matured.KNOWN, _matured.LABEL])
    here = here.drop_duplicates(key, keep="last", ignore_index=True)
    here["reported"] = here.pop(_matured.KNOWN).notna()
    day = here["event_time"].dt.floor("D")
    return here.assign(day=day, week=day - pd.to_timedelta(day.dt.dayofweek, "D"))


def _beside(rows: Any, use_case: UseCase, pipeline: Any) -> Any:
    """Only the columns that are wanted here, and what a pipeline answers on these rows; None: as predicted."""
    kept = [*use_case.entity.key, "prediction_time", "scored_at", "event_time", "model_version", PREDICTION]
    kept = [*dict.fromkeys([*kept, *use_case.policy.slices])]
    if pipeline is None:
        return rows.select(*kept, F.col(PREDICTION).alias("first"))
    return _matured.scored(rows, use_case, pipeline, kept, "first")


def count(job: Job, weeks: tuple[datetime, ...], counted_until: pd.Timestamp, predicted: pd.DataFrame) -> None:
    """Count features and predictions of the weeks after `counted_until` (NaT: all), in one pass over their rows."""
    missing = [week for week in weeks if not naive(week) <= counted_until]
    if not missing:
        return
    use_case, policy = job.use_case, job.use_case.policy
    names = [feature.name for feature in use_case.features]
    rows = _matured.between(job.data.read("features"), missing[0], missing[-1] + drift.WEEK)

    def tally(parts: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
        for part in parts:
            if len(part):
                yield drift.count(part[names], part["week"].to_numpy(), policy.slices, policy.paging)

    rows = rows.select(F.date_trunc("week", F.col("event_time")).alias("week"), *names)
    counted = (
        rows.mapInPandas(tally, _COUNTS).groupBy("week", "column", "slice", "bin").agg(F.sum("rows").alias("rows"))
    )
    seen = predicted[predicted["week"].isin([naive(week) for week in missing])]
    if len(seen):
        counted = counted.unionByName(
            job.own.spark.createDataFrame(drift.count(seen[[PREDICTION]], seen["week"].to_numpy()), _COUNTS)
        )
    job.own.append("counts", counted.withColumn("as_of", F.lit(job.config.as_of)))


def judged(job: Job, weeks: tuple[datetime, ...], past: pd.DataFrame) -> pd.DataFrame:
    """Judgements on the counted weeks that have not been judged."""
    counts = job.own.read("counts").where((F.col("week") >= F.lit(weeks[0])) & (F.col("week") <= F.lit(weeks[-1])))
    fresh = drift.judge(counts.toPandas(), past, job.use_case.policy)
    return fresh.assign(as_of=naive(job.config.as_of))


def newest(job: Job, ledger: pd.DataFrame) -> dict[str, datetime | None]:
    """The newest moment that each feed has told of, reference tables left out."""
    feeds = [source.name for source in job.use_case.sources if source.history is not None]
    known = ledger.dropna(subset="last_known").groupby("source")["last_known"].max()  # without: no row has come yet
    return {feed: _aware(known[feed]) if feed in known else None for feed in feeds}


KEYS = {
    "metrics": ["model_name", "window_start", "window_end", "slice"],
    "decisions": ["model_name", "as_of", "rule"],
    "alerts": ["model_name", "rule", "subject", "first_seen"],
    "drift": ["week", "column", "slice"],
}


def keep(
    job: Job, past: Mapping[str, pd.DataFrame], rows: Mapping[str, list[dict[Any, Any]]]
) -> dict[str, pd.DataFrame]:
    """Write rows to their tables, side by side: appended, or merged where one of them is there already.

    Returns:
        Each table as it is afterwards.
    """
    with ThreadPoolExecutor() as pool:
        return dict(zip(rows, pool.map(lambda table: _put(job, table, rows[table], past[table]), rows), strict=True))


def _put(job: Job, table: str, rows: list[dict[Any, Any]], past: pd.DataFrame) -> pd.DataFrame:
    if not rows:
        return past
    as_of, key = naive(job.config.as_of), KEYS[table]
    fresh = pd.DataFrame([{"as_of": as_of, **row, **_naive(row)} for row in rows])
    for column in _layout.FIXED[table]:
        if column.type == "timestamp":
            fresh[column.name] = pd.to_datetime(fresh[column.name])
    frame = _layout.table(job.own, table, fresh)
    mine = {tuple(row) for row in fresh[key].itertuples(index=False)}
    kept = [row for row in past.to_dict("records") if tuple(row[name] for name in key) not in mine]
    if len(kept) < len(past):
        job.own.merge(table, frame, key)
    else:
        job.own.append(table, frame)
    return pd.DataFrame([*kept, *fresh.to_dict("records")], columns=past.columns)


def open_alerts(past: pd.DataFrame) -> list[Alert]:
    """Alerts of the table that are not resolved."""
    names = ["rule", "subject", "severity", "owner", "evidence"]
    rows = past[past["resolved"].isna()]
    seen = [rows[name].map(_aware) for name in ("first_seen", "last_seen")]
    together: zip[Any] = zip(*(rows[name] for name in names), *seen, strict=True)
    return [Alert(*columns) for columns in together]


def _aware(moment: pd.Timestamp) -> datetime:
    return moment.to_pydatetime().replace(tzinfo=UTC)


def _naive(row: Mapping[Any, Any]) -> dict[str, Any]:
    return {name: naive(value) for name, value in row.items() if isinstance(value, datetime) and value.tzinfo}


def verdicts(job: Job, versions: Sequence[Version]) -> list[dict[str, Any]]:
    """The gate's documents on the versions that were judged."""
    judged = [v for v in versions if "validation_run" in v.tags]
    return [
        {
            **json.loads(job.registry.document(version.tags["validation_run"], "verdict.json")),
            "version": version.number,
            "trained_until": version.tags["trained_until"][:10],
        }
        for version in judged
    ]


def weeks(job: Job, start: datetime) -> tuple[datetime, ...]:
    """Whole weeks by now whose late rows have come: as many before `start` as limits and references look back on."""
    policy = job.use_case.policy
    back = (policy.drift_memory + 1) * drift.WEEK + policy.drift_reference
    return alerts.weeks_of(start - back, job.config.as_of - policy.maturity)
