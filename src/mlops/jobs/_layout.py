"""What the tables look like: one row of each, its grain and its key.

| table        | one row per                                        | key                                             |
|--------------|----------------------------------------------------|-------------------------------------------------|
| `<source>`   | row of a feed, newest known                        | the source's                                    |
| ledger       | landed file                                        | source, sha256                                  |
| quarantine   | row that broke a rule                              | source, file, row                               |
| features     | entity at its prediction time                      | entity key, prediction_time                     |
| predictions  | entity scored by one version                       | entity key, prediction_time, model_version      |
| metrics      | window of matured labels of one model              | model_name, window_start, window_end            |
| drift        | column of such a window                            | model_name, window_start, window_end, column    |
| audit        | promotion, deployment or rollback of a version     | model_name, sequence                            |
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from mlops.adapters.tables import Schema, TableColumn
from mlops.contract import UseCase

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

C = TableColumn
_AS_OF = C("as_of", "timestamp", "Moment of the run that wrote the row, UTC", required=True)
_MODEL = C("model_name", "string", "catalog.schema.model", required=True)
_WINDOW = (
    C("window_start", "timestamp", "First moment of the window, UTC", required=True),
    C("window_end", "timestamp", "End of the window, excluded, UTC", required=True),
)

_SPARK_TYPES = {"string": "string", "long": "bigint", "double": "double", "timestamp": "timestamp"}

FIXED: dict[str, tuple[TableColumn, ...]] = {
    "ledger": (
        C("source", "string", "Feed", required=True),
        C("file", "string", "File name"),
        C("sha256", "string", "Digest of the file's content", required=True),
        C("batch", "long", "Number of the ingestion run that took it in", required=True),
        C("first_known", "timestamp", "Earliest moment at which a row of the batch was known, UTC"),
        C("last_known", "timestamp", "Latest such moment, UTC"),
        _AS_OF,
    ),
    "quarantine": (
        C("source", "string", "Feed", required=True),
        C("file", "string", "File name", required=True),
        C("rules", "string", "Rules that the row breaks", required=True),
        C("row", "string", "The row as it came, JSON", required=True),
        _AS_OF,
    ),
    "metrics": (
        _MODEL,
        *_WINDOW,
        C("model_version", "long", "Champion that made most of the predictions"),
        C("rows", "long", "Predictions with a matured label"),
        C("positives", "long", "Of them with label 1"),
        C("auc", "double", "Area under the ROC curve"),
        C("log_loss", "double", "Mean log-loss, nats"),
        C("skill", "double", "1 - log-loss / entropy of the base rate"),
        C("calibration_gap", "double", "Mean prediction - mean label"),
        C("retraining_due", "string", "true or false"),
        C("reason", "string", "Rules of the retraining decision with their figures"),
        _AS_OF,
    ),
    "drift": (
        _MODEL,
        *_WINDOW,
        C("column", "string", "Feature", required=True),
        C("psi", "double", "Population stability index against the baseline window"),
        _AS_OF,
    ),
    "audit": (
        _MODEL,
        C("sequence", "long", "Number of the row, without gaps, from 1", required=True),
        C("move_id", "string", "Tells two rows of one job run apart", required=True),
        C("move", "string", "promotion, deployment or rollback", required=True),
        C("from_version", "long", "Champion before; empty: none, or a promotion"),
        C("to_version", "long", "Champion after; of a promotion: the copy", required=True),
        C("source", "string", "model/number@artifact digest that the version is a copy of; empty: trained here"),
        C("artifact_digest", "string", "Of the version's files"),
        C("verdict_digest", "string", "Of the verdict on it in this target; empty: not judged yet"),
        C("approved_by", "string", "Who approved it; empty: approved automatically, or by the platform's own button"),
        C("by", "string", "Identity that the job ran as"),
        C("reason", "string", "Why"),
        C("run_id", "string", "Job run", required=True),
        C("at", "timestamp", "When the row was written, by the clock, UTC", required=True),
        _AS_OF,
    ),
}
_COMMENTS = {
    "ledger": "Landed files that were taken in",
    "quarantine": "Rows that were set aside, with the rules they break",
    "metrics": "Quality of the champion on matured labels, per window",
    "drift": "How far each feature of a window lies from its baseline window",
    "audit": "Every promotion, deployment and rollback: who, what, when, why, on which verdict",
}


def create(schema: Schema, *tables: str) -> None:
    """Make tables of FIXED unless they are there."""
    for table in tables:
        schema.create(table, FIXED[table], _COMMENTS[table])


def create_ingestion(schema: Schema, use_case: UseCase) -> None:
    """Make the tables that ingestion writes unless they are there."""
    create(schema, "ledger", "quarantine")
    for source in use_case.sources:
        required = {*source.key, source.known_at}
        columns = [
            C(c.name, c.type, f"{c.comment}{f' [{c.unit}]' if c.unit else ''}", c.name in required)
            for c in source.columns
        ]
        schema.create(source.name, columns, source.comment)


def create_features(schema: Schema, use_case: UseCase) -> list[TableColumn]:
    """Make the feature table unless it is there; returns the columns that an older one lacks: new features."""
    columns = [
        *entity_columns(use_case),
        *(
            C(f.name, f.dtype, f"{f.comment}{f' [{f.unit}]' if f.unit else ''}; known from {f.known_from}")
            for f in use_case.features
        ),
        C("batch", "long", "Newest ingestion batch that the row was made from", required=True),
    ]
    schema.create("features", columns, f"Features of: {use_case.question}")
    return schema.lacking("features", columns)


def create_predictions(schema: Schema, use_case: UseCase) -> None:
    """Make the inference table unless it is there."""
    columns = [
        *entity_columns(use_case),
        C("scored_at", "timestamp", "When it was scored, UTC", required=True),
        C("prediction", "double", f"Probability of: {use_case.question}", required=True),
        C("model_version", "long", "Version that scored it", required=True),
    ]
    schema.create("predictions", columns, f"Predictions of: {use_case.question}")


def entity_columns(use_case: UseCase) -> tuple[TableColumn, ...]:
    """Key, event time and prediction time of an entity."""
    entity = use_case.entity
    types = {column.name: column for column in use_case.source(entity.source).columns}
    return (
        *(C(name, types[name].type, types[name].comment, required=True) for name in entity.key),
        C("event_time", "timestamp", "When it happens, UTC", required=True),
        C("prediction_time", "timestamp", "When the prediction is made, UTC", required=True),
    )


def ddl(columns: Iterable[tuple[str, str]]) -> str:
    """A frame's schema, from names and our types, as Spark writes it."""
    return ", ".join(f"`{name}` {_SPARK_TYPES[type_]}" for name, type_ in columns)


def frame(schema: Schema, table: str, rows: Sequence[Sequence[Any]]) -> DataFrame:
    """Rows of a table of FIXED, in its columns' order, as a frame."""
    columns = ddl((column.name, column.type) for column in FIXED[table])
    zoned = [tuple(utc(value) if isinstance(value, datetime) else value for value in row) for row in rows]
    return schema.spark.createDataFrame(zoned, columns)


def utc(moment: datetime) -> datetime:
    """A moment with its zone. One without is as Spark's `collect` gives them: in the process's local time."""
    return moment.astimezone(UTC)
