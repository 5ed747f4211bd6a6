"""Tables of monitoring: read predictions with their labels and earlier results, write new rows.

A run appends the rows that a table does not have yet, table by table, so the next run completes one that was cut short.
A run sees and writes only what precedes its own moment (`mlops.monitoring.history`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any, Literal

import numpy as np
import pandas as pd
from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F
from sklearn.pipeline import Pipeline

from mlops.config import MonitoringConfig
from mlops.context import Context
from mlops.contract import ModelError, UseCase
from mlops.contract.model_version import Version
from mlops.data import labels, table_schemas
from mlops.data import predictions as prediction_tables
from mlops.data.row_contract import days_of, score_valid_rows
from mlops.data.row_scorer import BROKEN, PART, RowScorer
from mlops.modeling.splits import Span
from mlops.monitoring import drift, history
from mlops.monitoring.alerts import Alert
from mlops.questions import Question, question_of
from mlops.release.aliases import as_recorded, find_serving
from mlops.release.version_record import MOVES, AuditRow

Job = Context[MonitoringConfig]
type Baseline = Pipeline | Literal["champion"] | None
"""The first champion: a fitted model, "champion" if it still serves, or None if it cannot be loaded."""
PREDICTION, BASELINE, _INPUT = "prediction", "baseline", "_input_"
NEWEST = ("prediction_time", "scored_at", "model_version", PREDICTION, labels.KNOWN, labels.LABEL)
"""Order of the predictions of an entity, of batches and requests, with its outcomes: the last one alone counts."""


def to_naive(moment: datetime) -> pd.Timestamp:
    """Convert a moment with zone to pandas' UTC without zone, as `toPandas` returns timestamps."""
    return pd.Timestamp(moment).tz_convert("UTC").tz_localize(None)


def load_history(job: Job, rows: Sequence[AuditRow]) -> dict[str, pd.DataFrame]:
    """Read what earlier runs wrote and what was ingested, as one frame per table; the reads run in parallel.

    The frames do not grow with the age of the model: they go back to `history.find_horizon`. Open alerts stay, and the
    move that made the oldest champion of that time.

    `rows` are the audit rows of the model, of which the moves become a frame.
    """
    since = job.config.as_of - history.find_horizon(job.use_case.policy)
    of_model, is_past = F.col("model_name") == job.config.model_name, F.col("as_of") <= F.lit(job.config.as_of)

    def reaches(column: str) -> Column:
        return F.col(column) >= F.lit(since)

    aside = job.data.read_table("quarantine").where(is_past & reaches("as_of")).groupBy(F.to_date("as_of"))
    taken_in = job.data.read_table("ledger").where(is_past).groupBy("source")
    queries = {
        "metrics": job.own.read_table("metrics").where(of_model & reaches("window_end")),
        "decisions": job.own.read_table("decisions").where(of_model & reaches("as_of")),
        "alerts": job.own.read_table("alerts").where(
            of_model & (F.col("resolved").isNull() | reaches("resolved") | reaches("last_seen"))
        ),
        "drift": job.own.read_table("drift").where((F.col("slice") == drift.ALL) & reaches("week")),
        "quarantine": aside.agg(F.max("as_of").alias("as_of"), F.count("*").alias("rows")).select("as_of", "rows"),
        "ledger": taken_in.agg(F.max("as_of").alias("as_of"), F.max("last_known").alias("last_known")),
    }  # fmt: skip
    with ThreadPoolExecutor() as pool:
        tables = dict(zip(queries, pool.map(lambda rows: rows.toPandas(), queries.values()), strict=True))
    moves = [{**vars(row), "as_of": to_naive(row.as_of)} for row in select_moves(rows, since)]
    tables["moves"] = pd.DataFrame(moves, columns=["as_of", "to_version", "move", "reason"])
    return {**tables, "metrics": name_figures(question_of(job.use_case.label), tables["metrics"])}


def select_moves(rows: Sequence[AuditRow], since: datetime) -> list[AuditRow]:
    """Select the moves from the first one since a moment on, and the one before it, whose version served then."""
    moves = [row for row in rows if row.move in MOVES]
    first = next((at for at, row in enumerate(moves) if row.as_of >= since), len(moves))
    return moves[max(first - 1, 0) :]


def name_figures(question: Question, metrics: pd.DataFrame) -> pd.DataFrame:
    """Rename the columns of the table `metrics` to the names that every kind of question has in the code."""
    columns = question.metric_columns()
    # A table that a use case of another kind made does not have all columns yet: the first rows add them.
    there = [*dict.fromkeys([*metrics.columns, *(column.name for column in columns)])]
    return metrics.reindex(columns=there).rename(columns={column.name: column.field for column in columns})


def find_champions(job: Job, rows: Sequence[AuditRow]) -> tuple[Version, AuditRow]:
    """Find the version that served at the run's moment, and the move that made the model's first champion.

    `rows` are the audit rows of the model, oldest first.

    Raises:
        ModelError: no version served yet, the version was deleted, or alias and audit table disagree now.
    """
    moves = [row for row in rows if row.move in MOVES]
    then = [row for row in moves if row.as_of <= job.config.as_of]
    # A run of this moment can start a training whose version is then deployed. A repeat of the run must decide about
    # the champion that it decided about the first time, so that version is left out.
    before = [row for row in then if row.trained_as_of is None or row.trained_as_of < job.config.as_of] or then
    champion = find_serving(job.registry, job.config.model_name, rows, job.config.target) if before == moves else None
    if champion is not None:
        return champion, moves[0]
    if not before:
        raise ModelError(
            f"{job.config.model_name} has no champion yet as of {job.config.as_of:%Y-%m-%d %H:%M}: there is nothing "
            "to monitor; deploy a version first"
        )
    return as_recorded(job.registry.get_version(job.config.model_name, before[-1].to_version), before[-1]), before[0]


def load_baseline(job: Job, champion: Version, first: AuditRow) -> Baseline:
    """Load the model's first champion, whose predictions show the quality without any retraining.

    Args:
        job: monitoring.
        champion: the version that serves.
        first: the move that made the first champion.

    Returns:
        The fitted model; "champion" if it still serves; None if it cannot be loaded: then the comparison is left out.
    """
    if first.to_version == champion.number:
        return "champion"
    try:
        version = as_recorded(job.registry.get_version(champion.model, first.to_version), first)
        pipeline = job.registry.load_model(version, job.use_case.model)
        prediction_tables.select_features(
            pd.DataFrame(columns=[feature.name for feature in job.use_case.features]), pipeline
        )
    except Exception as error:  # noqa: BLE001 (an old version that is broken must not stop monitoring of the champion)
        job.log.warning("no comparison with version %d, which served first: %s", first.to_version, error)
        return None
    return pipeline


def find_input_versions(job: Job) -> dict[str, int]:
    """Find the newest versions of the tables that predictions and their labels are read from, by their names."""
    names = ("features", *labels.label_sources(job.use_case))
    with ThreadPoolExecutor() as pool:
        predictions, others = (
            pool.submit(job.own.newest_version, "predictions"),
            pool.map(job.data.newest_version, names),
        )
        return {"predictions": predictions.result(), **dict(zip(names, others, strict=True))}


def query_predictions(
    job: Job, start: datetime, baseline: Baseline, versions: Mapping[str, int], *, is_here: bool = False
) -> DataFrame:
    """Query the predictions for events since `start`, each with every version of its outcome, on Spark.

    Spark scores the rows with a baseline that is a fitted model. If `is_here` the caller does, and gets what the model
    reads as columns whose names begin with _INPUT.
    """
    use_case, key = job.use_case, list(job.use_case.entity.key)
    stored = job.own.read_table("predictions", versions["predictions"])
    scored = labels.select_event_times(stored, start, job.config.as_of)
    scored = scored.where(F.col("scored_at") <= F.lit(job.config.as_of))
    scored = scored.select(*key, "prediction_time", "scored_at", "model_version", *_score_columns(use_case))
    known = job.data.read_table("features", versions["features"])
    features = labels.select_event_times(known, start, job.config.as_of)
    rows = _add_baseline(features.join(scored, [*key, "prediction_time"]), use_case, baseline, is_here=is_here)
    # As numbers, 7 would be called 7.0 where pandas holds a missing value beside it.
    for name in {each.name for each in use_case.features if each.dtype == "long"} & {*use_case.policy.slices}:
        rows = rows.withColumn(name, F.col(name).cast("string"))
    return labels.join_outcomes(rows, job.data, use_case, job.config.as_of, "left", versions=versions)


def load_predictions(job: Job, start: datetime, baseline: Baseline, versions: Mapping[str, int]) -> pd.DataFrame | None:
    """Load the predictions for events since `start` with their labels; of each entity the newest prediction.

    Returns:
        One row per entity, with the question's score columns, model_version, baseline (score of the baseline model;
        missing: none), label (a number; NaN: none), reported, early (True: the label was known at the prediction time),
        event_time, day and week (UTC without zone), and the policy's slices. None if more than
        `Policy.max_collected_rows` rows would come here.
    """
    key, limit = list(job.use_case.entity.key), job.use_case.policy.max_collected_rows
    rows = query_predictions(job, start, baseline, versions, is_here=True)
    predicted: pd.DataFrame = rows.limit(limit + 1).toPandas()
    if len(predicted) > limit:
        return None
    predicted = predicted.sort_values([*key, *NEWEST]).drop_duplicates(key, keep="last", ignore_index=True)
    inputs = {name: predicted.pop(name) for name in predicted.columns if name.startswith(_INPUT)}
    if inputs and isinstance(baseline, Pipeline):
        given = pd.DataFrame({name.removeprefix(_INPUT): values for name, values in inputs.items()})
        days = days_of(predicted["event_time"].to_numpy())
        predicted[BASELINE] = score_baseline(job.use_case, baseline, given, days)
    reported = predicted.pop(labels.KNOWN)
    predicted["early"] = labels.find_early(reported, predicted["prediction_time"])
    predicted["reported"] = reported.notna()
    predicted[labels.LABEL] = question_of(job.use_case.label).encode_labels(predicted[labels.LABEL])
    day = predicted["event_time"].dt.floor("D")
    return predicted.assign(day=day, week=day - pd.to_timedelta(day.dt.dayofweek, "D"))


def count_unscored(job: Job, window: Span, first: AuditRow) -> tuple[int, int]:
    """Count the entities of a window that a champion had to score in a batch, and those of them without a prediction.

    Inference scores prediction times after the champion's training, so earlier entities do not count.
    """
    if first.trained_as_of is None:
        return 0, 0
    key = [*job.use_case.entity.key, "prediction_time"]
    rows = labels.select_event_times(job.data.read_table("features"), window.start, window.end)
    rows = rows.where(F.col("prediction_time") > F.lit(first.trained_as_of)).select(*key)
    batch = table_schemas.select_batch(job.own.read_table("predictions"))
    scored = labels.select_event_times(batch, window.start, window.end)
    scored = scored.where(F.col("scored_at") <= F.lit(job.config.as_of)).select(*key).distinct()
    both = rows.join(scored.withColumn("scored", F.lit(1)), key, "left")
    ((asked, answered),) = both.agg(F.count("*"), F.count("scored")).collect()
    return asked, asked - answered


def _add_baseline(rows: DataFrame, use_case: UseCase, baseline: Baseline, *, is_here: bool) -> DataFrame:
    """Select the columns that monitoring needs, and add the baseline's predictions as column `baseline`."""
    kept = [*use_case.entity.key, "prediction_time", "scored_at", "event_time", "model_version"]
    kept = [*dict.fromkeys([*kept, *_score_columns(use_case), *use_case.policy.slices])]
    score_column = question_of(use_case.label).score_column
    if baseline is None:
        return rows.select(*kept, F.lit(None).cast("double").alias(BASELINE))
    if baseline == "champion":
        return rows.select(*kept, F.col(score_column).alias(BASELINE))
    if is_here:
        there = [name for name in baseline.feature_names_in_ if name in rows.columns]  # scoring says what is missing
        return rows.select(*kept, *(F.col(name).alias(f"{_INPUT}{name}") for name in there))
    # Of an entity only the newest prediction counts, here as in this process: a row that it replaced, and for which the
    # baseline raises, must not cost the other rows of its day their scores.
    newest_first = [F.desc_nulls_last(name) for name in NEWEST[:4]]
    rank = F.rank().over(Window.partitionBy(*use_case.entity.key).orderBy(*newest_first))
    rows = rows.withColumn("_rank", rank).where("_rank = 1").drop("_rank")
    # Rows without a score of the baseline are not compared, so that this model cannot stop the monitoring of another.
    scorer = RowScorer(use_case, baseline, kept, {score_column: BASELINE}, is_tolerant=True, day_column="event_time")
    return scorer.score_on_spark(rows).drop(BROKEN)


def score_baseline(use_case: UseCase, baseline: Pipeline, rows: pd.DataFrame, days: np.ndarray[Any, Any]) -> list[Any]:
    """Score rows with features in parts of PART, as Spark does; None: the row has no score.

    Days on which some row has no score are not compared. So if the model raises for a row, the other rows of its day in
    the part have no score either, and a model that raises for all rows costs a call per day and not one per row.
    """
    question, scores = question_of(use_case.label), []
    for start in range(0, len(rows), PART):
        part, groups = rows.iloc[start : start + PART].reset_index(drop=True), days[start : start + PART]
        made, broken = score_valid_rows(baseline, part, use_case, {}, is_tolerant=True, groups=groups)
        packed = question.pack_scores(made)[question.score_column]
        scores += [None if at in broken else value for at, value in enumerate(packed)]
    return scores


def _score_columns(use_case: UseCase) -> list[str]:
    return [name for name, _, _ in question_of(use_case.label).score_columns]


def newest_per_source(job: Job, ledger: pd.DataFrame) -> dict[str, datetime | None]:
    """Find the newest known-at moment of each source, UTC; None: no row came yet. Reference tables are left out."""
    names = [source.name for source in job.use_case.sources if source.history is not None]
    newest = ledger.dropna(subset="last_known").groupby("source")["last_known"].max()
    return {name: to_utc(newest[name]) if name in newest else None for name in names}


def save(
    job: Job, past: Mapping[str, pd.DataFrame], rows: Mapping[str, list[dict[Any, Any]]]
) -> dict[str, pd.DataFrame]:
    """Write rows to their tables in parallel: append them, or merge where a table has one of them already.

    Rows that a later run wrote stay as they are.

    Returns:
        All given rows as one frame per table, including those that a later run has replaced.
    """
    with ThreadPoolExecutor() as pool:
        frames = pool.map(lambda table: _save_table(job, table, rows[table], past[table]), rows)
        return dict(zip(rows, frames, strict=True))


def _save_table(job: Job, table: str, rows: list[dict[Any, Any]], past: pd.DataFrame) -> pd.DataFrame:
    if not rows:
        return past.head(0)
    as_of, key = to_naive(job.config.as_of), list(history.KEYS[table])
    fresh = pd.DataFrame([{"as_of": as_of, **row, **_naive_row(row)} for row in rows])
    columns = table_schemas.table_columns(table, job.use_case)
    for column in columns:
        if column.type == "timestamp":
            fresh[column.name] = pd.to_datetime(fresh[column.name])
    writable = history.select_writable(table, past, fresh, as_of)
    if writable.empty:
        return fresh
    # The other tables have no columns of these names.
    figures = question_of(job.use_case.label).metric_columns() if table == "metrics" else ()
    named = writable.rename(columns={column.field: column.name for column in figures})
    frame = table_schemas.describe_table(job.own, columns, named)
    if len(history.replace_rows(table, past, writable)) < len(past) + len(writable):
        job.own.merge_rows(table, frame, key)
    else:
        # Columns of this use case's kind are added to a table that another kind's use case made.
        job.own.append_rows(table, frame, adds_columns=table == "metrics")
    return fresh


def parse_alerts(rows: pd.DataFrame) -> list[Alert]:
    """Convert rows of the table `alerts` to alerts."""
    return [
        Alert(
            **{name: row[name] for name in ("rule", "subject", "severity", "owner", "evidence")},
            first_seen=_add_time_zone(row["first_seen"]),
            last_seen=_add_time_zone(row["last_seen"]),
            resolved=to_utc(row["resolved"]),
        )
        for row in rows.to_dict("records")
    ]


def _add_time_zone(moment: pd.Timestamp) -> datetime:
    return moment.to_pydatetime().replace(tzinfo=UTC)


def to_utc(moment: pd.Timestamp | None) -> datetime | None:
    """Convert pandas' UTC without zone to a moment with zone; None and NaT become None."""
    return None if moment is None or pd.isna(moment) else _add_time_zone(moment)


def _naive_row(row: Mapping[Any, Any]) -> dict[str, Any]:
    return {name: to_naive(value) for name, value in row.items() if isinstance(value, datetime) and value.tzinfo}
