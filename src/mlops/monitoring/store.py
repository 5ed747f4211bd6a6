"""What monitoring reads and keeps: predictions beside their labels, counts per bin, and the rows it has written before.

Writes are appends of what is not there yet, each table by itself: a run that was cut short is completed by the next.
A run sees and writes its own past only (`mlops.monitoring.history`).
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any, Literal

import pandas as pd
from pyspark.sql import functions as F
from sklearn.pipeline import Pipeline

from mlops.config import MonitoringConfig
from mlops.context import Context
from mlops.contract import ModelError, UseCase
from mlops.data import labels, table_schemas
from mlops.data import predictions as _answers
from mlops.monitoring import alerts, drift, history
from mlops.monitoring.alerts import Alert
from mlops.platform.registry import Version
from mlops.release import audit_log
from mlops.release.aliases import as_recorded, load_serving
from mlops.release.version_record import MOVES, AuditRow

Job = Context[MonitoringConfig]
PREDICTION = "prediction"
_COUNTS = "week timestamp, column string, slice string, bin string, rows bigint"


def to_naive(moment: datetime) -> pd.Timestamp:
    """A moment as pandas holds what Spark returns: UTC without zone."""
    return pd.Timestamp(moment).tz_convert("UTC").tz_localize(None)


def load_history(job: Job) -> dict[str, pd.DataFrame]:
    """What runs have written, and what has been taken in; read side by side, since each takes a moment."""
    mine = F.col("model_name") == job.config.model_name
    wanted = {
        "metrics": job.own.read_table("metrics").where(mine),
        "decisions": job.own.read_table("decisions").where(mine),
        "alerts": job.own.read_table("alerts").where(mine),
        "drift": job.own.read_table("drift").where(F.col("slice") == drift.ALL),
        "moves": job.own.read_table("audit").where(mine & F.col("move").isin(*MOVES)).orderBy("sequence"),
        "quarantine": job.data.read_table("quarantine").groupBy("as_of").agg(F.count("*").alias("rows")),
        "counts": job.own.read_table("counts").groupBy("week").agg(F.min("as_of").alias("as_of")),
        "ledger": job.data.read_table("ledger").groupBy("source", "as_of").agg(F.max("last_known").alias("last_known")),
    }
    with ThreadPoolExecutor() as pool:
        return dict(zip(wanted, pool.map(lambda rows: rows.toPandas(), wanted.values()), strict=True))


def find_champions(job: Job) -> tuple[Version, AuditRow]:
    """The version that served at the run's moment, and the move that made the first champion of all.

    Raises:
        ModelError: nothing served yet, the version was deleted, or alias and audit table say different things now.
    """
    moves = [row for row in audit_log.load_rows(job) if row.move in MOVES]
    then = [row for row in moves if row.as_of <= job.config.as_of]
    # What a decision of this moment has trained and deployed is its consequence: a repeat decides about the version
    # that it decided about.
    before = [row for row in then if row.trained_as_of is None or row.trained_as_of < job.config.as_of] or then
    if before == moves and (champion := load_serving(job)) is not None:
        return champion, moves[0]
    if not before:
        raise ModelError(
            f"{job.config.model_name} has no champion yet as of {job.config.as_of:%Y-%m-%d %H:%M}: there is nothing "
            "to monitor"
        )
    return as_recorded(job.registry.get_version(job.config.model_name, before[-1].to_version), before[-1]), before[0]


def load_first(job: Job, champion: Version, first: AuditRow) -> Pipeline | Literal["champion"] | None:
    """The model that served first and was never retrained, which predictions are compared with.

    Returns:
        The fitted model; "champion": it is the champion; None: it cannot be had, and only the comparison is missing.
    """
    if first.to_version == champion.number:
        return "champion"
    try:
        version = as_recorded(job.registry.get_version(champion.model, first.to_version), first)
        pipeline = job.registry.load_model(version, job.use_case.model)
        _answers.model_input(pd.DataFrame(columns=[f.name for f in job.use_case.features]), job.use_case, pipeline)
    except Exception as error:  # noqa: BLE001 (whatever became of an old version, the champion is judged)
        job.log.warning("no comparison with version %d, which served first: %s", first.to_version, error)
        return None
    return pipeline


def load_predictions(job: Job, start: datetime, first: Pipeline | Literal["champion"] | None) -> pd.DataFrame:
    """Every prediction for an event since a moment: of an entity that was scored more than once, the newest.

    Returns:
        prediction, model_version, first (what `load_first` predicts; NaN: nothing), label (NaN: none), reported,
        event_time, its day and week, and the policy's slices; one row per entity.
    """
    use_case, key = job.use_case, list(job.use_case.entity.key)
    told = labels.load_outcomes(job.data, use_case, job.config.as_of)
    scored = labels.select_event_times(job.own.read_table("predictions"), start, job.config.as_of)
    scored = scored.where(F.col("scored_at") <= F.lit(job.config.as_of))
    scored = scored.select(*key, "prediction_time", "scored_at", "model_version", PREDICTION)
    features = labels.select_event_times(job.data.read_table("features"), start, job.config.as_of)
    rows = _score_beside(features.join(scored, [*key, "prediction_time"]), use_case, first)
    here: pd.DataFrame = rows.join(told, key, "left").toPandas()
    # Of an entity that was scored more than once the newest prediction counts, and the newest version of its outcome.
    here = here.sort_values([*key, "prediction_time", "scored_at", labels.KNOWN, labels.LABEL])
    here = here.drop_duplicates(key, keep="last", ignore_index=True)
    here["reported"] = here.pop(labels.KNOWN).notna()
    day = here["event_time"].dt.floor("D")
    return here.assign(day=day, week=day - pd.to_timedelta(day.dt.dayofweek, "D"))


def _score_beside(rows: Any, use_case: UseCase, first: Pipeline | Literal["champion"] | None) -> Any:
    """Only the columns that are wanted here, and what the first model answers on these rows."""
    kept = [*use_case.entity.key, "prediction_time", "scored_at", "event_time", "model_version", PREDICTION]
    kept = [*dict.fromkeys([*kept, *use_case.policy.slices])]
    if first is None:
        return rows.select(*kept, F.lit(math.nan).alias("first"))
    if first == "champion":
        return rows.select(*kept, F.col(PREDICTION).alias("first"))
    return labels.score_rows(rows, use_case, first, kept, "first")


def count_weeks(job: Job, weeks: tuple[datetime, ...], counted: pd.Series[Any], predicted: pd.DataFrame) -> None:
    """Count features and predictions of the weeks that have not been counted, in one pass over their rows."""
    missing = [week for week in weeks if to_naive(week) not in set(counted)]
    if not missing:
        return
    use_case, policy = job.use_case, job.use_case.policy
    names = [feature.name for feature in use_case.features]
    rows = labels.select_event_times(job.data.read_table("features"), missing[0], missing[-1] + drift.WEEK)

    def tally(parts: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
        for part in parts:
            if len(part):
                yield drift.count_bins(part[names], part["week"].to_numpy(), policy.slices, policy.paging)

    rows = rows.select(F.date_trunc("week", F.col("event_time")).alias("week"), *names)
    rows = rows.where(F.col("week").isin(missing))
    counted = (
        rows.mapInPandas(tally, _COUNTS).groupBy("week", "column", "slice", "bin").agg(F.sum("rows").alias("rows"))
    )
    seen = predicted[predicted["week"].isin([to_naive(week) for week in missing])]
    if len(seen):
        counted = counted.unionByName(
            job.own.spark.createDataFrame(drift.count_bins(seen[[PREDICTION]], seen["week"].to_numpy()), _COUNTS)
        )
    job.own.append_rows("counts", counted.withColumn("as_of", F.lit(job.config.as_of)))


def evaluate_weeks(job: Job, weeks: tuple[datetime, ...], past: pd.DataFrame) -> pd.DataFrame:
    """Judgements on the counted weeks that have not been judged."""
    counts = job.own.read_table("counts").where(
        (F.col("week") >= F.lit(weeks[0])) & (F.col("week") <= F.lit(weeks[-1]))
    )
    fresh = drift.judge_weeks(counts.toPandas(), past, job.use_case.policy)
    return fresh.assign(as_of=to_naive(job.config.as_of))


def newest_per_source(job: Job, ledger: pd.DataFrame) -> dict[str, datetime | None]:
    """The newest moment that each feed has told of, reference tables left out."""
    feeds = [source.name for source in job.use_case.sources if source.history is not None]
    known = ledger.dropna(subset="last_known").groupby("source")["last_known"].max()  # without: no row has come yet
    return {feed: to_utc(known[feed]) if feed in known else None for feed in feeds}


def save(
    job: Job, past: Mapping[str, pd.DataFrame], rows: Mapping[str, list[dict[Any, Any]]]
) -> dict[str, pd.DataFrame]:
    """Write rows to their tables, side by side: appended, or merged where one of them is there already.

    Rows of later runs stay as they are.

    Returns:
        The rows as frames, those among them that a later run has overtaken.
    """
    with ThreadPoolExecutor() as pool:
        return dict(
            zip(rows, pool.map(lambda table: _save_table(job, table, rows[table], past[table]), rows), strict=True)
        )


def _save_table(job: Job, table: str, rows: list[dict[Any, Any]], past: pd.DataFrame) -> pd.DataFrame:
    if not rows:
        return past.head(0)
    as_of, key = to_naive(job.config.as_of), list(history.KEYS[table])
    fresh = pd.DataFrame([{"as_of": as_of, **row, **_naive_row(row)} for row in rows])
    for column in table_schemas.TABLES[table]:
        if column.type == "timestamp":
            fresh[column.name] = pd.to_datetime(fresh[column.name])
    mine = history.select_writable(table, past, fresh, as_of)
    if mine.empty:
        return fresh
    frame = table_schemas.describe_table(job.own, table, mine)
    if len(history.replace_rows(table, past, mine)) < len(past) + len(mine):
        job.own.merge_rows(table, frame, key)
    else:
        job.own.append_rows(table, frame)
    return fresh


def known_alerts(rows: pd.DataFrame) -> list[Alert]:
    """Alerts of the table."""
    return [
        Alert(
            rule=row["rule"],
            subject=row["subject"],
            severity=row["severity"],
            owner=row["owner"],
            evidence=row["evidence"],
            first_seen=_zoned_row(row["first_seen"]),
            last_seen=_zoned_row(row["last_seen"]),
            resolved=to_utc(row["resolved"]),
        )
        for row in rows.to_dict("records")
    ]


def _zoned_row(moment: pd.Timestamp) -> datetime:
    return moment.to_pydatetime().replace(tzinfo=UTC)


def to_utc(moment: pd.Timestamp | None) -> datetime | None:
    """A moment with its zone, from pandas' UTC without one; None where there is none."""
    return None if moment is None or pd.isna(moment) else _zoned_row(moment)


def _naive_row(row: Mapping[Any, Any]) -> dict[str, Any]:
    return {name: to_naive(value) for name, value in row.items() if isinstance(value, datetime) and value.tzinfo}


def load_verdicts(job: Job, versions: Sequence[Version]) -> Iterator[dict[str, Any]]:
    """The gate's documents on the versions that were judged; one that cannot be read is missing on the page."""
    for version in versions:
        run_id = version.tags.get("validation_run", "none")
        if run_id == "none":  # its report could not be written
            continue
        try:
            document = json.loads(job.registry.read_document(run_id, "verdict.json"))
        except Exception as error:  # noqa: BLE001 (the page tells what can be had)
            job.log.warning("the verdict on %s is missing on the page: %s", version, error)
            continue
        trained_until = version.tags.get("trained_until", "an unknown day")[:10]
        yield {**document, "version": version.number, "trained_until": trained_until}


def weeks_to_count(job: Job, start: datetime) -> tuple[datetime, ...]:
    """Whole weeks by now whose late rows have come: as many before `start` as limits and references look back on."""
    policy = job.use_case.policy
    back = (policy.drift_memory + 1) * drift.WEEK + policy.drift_reference
    return alerts.weeks_of(start - back, job.config.as_of - policy.maturity)
