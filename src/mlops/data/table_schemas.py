"""Define the tables: their columns, their grain and their key.

| table        | one row per                                        | key                                             |
|--------------|----------------------------------------------------|-------------------------------------------------|
| `<source>`   | version of a row of the source                     | the source's, its known-at column               |
| ledger       | landed file                                        | source, sha256                                  |
| quarantine   | rule that a row broke                              | source, sha256, line, rule                      |
| features     | entity at a prediction time                        | entity key, prediction_time                     |
| predictions  | entity scored by a version, or at a request        | entity key, prediction_time, version, request   |
| shadow_predictions | entity scored by a challenger                | entity key, prediction_time, model_version      |
| counts       | bin of a column, in a week and a slice             | week, column, slice, bin                        |
| metrics      | window of a model's predictions, and each slice    | model_name, window_start, window_end, slice     |
| drift        | column of a week, and each slice                   | week, column, slice                             |
| decisions    | rule of one decision on retraining                 | model_name, as_of, rule                         |
| alerts       | rule that fires, however long                      | model_name, rule, subject, first_seen           |
| audit        | verdict, decision or move of a version             | model_name, sequence                            |
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from mlops.contract import Column, ConfigError, Feature, Source, UseCase
from mlops.contract.data import FILE_MODIFIED
from mlops.contract.model_version import REQUEST_ID
from mlops.platform.tables import KEPT, SHARED, SQL_TYPES, Schema, TableColumn

if TYPE_CHECKING:
    import pandas as pd
    from pyspark.sql import DataFrame

    from mlops.questions import Question

_AS_OF = TableColumn("as_of", "timestamp", "Moment of the run that wrote the row, UTC", required=True)
_MODEL = TableColumn("model_name", "string", "catalog.schema.model", required=True)
_WINDOW = (
    TableColumn("window_start", "timestamp", "First moment of the window, UTC", required=True),
    TableColumn("window_end", "timestamp", "End of the window, excluded, UTC", required=True),
)
_WEEK = TableColumn("week", "timestamp", "Monday, UTC", required=True)
_COLUMN = (
    TableColumn("column", "string", "Feature, prediction, or *: rows as such", required=True),
    TableColumn("slice", "string", "Empty: all rows; else column=value", required=True),
)
_ROWS = TableColumn("rows", "long", "Rows")


SHADOW = "shadow_predictions"
"""Table of the predictions that a challenger makes beside the champion; nobody uses them."""
REASONS = "reasons"
"""Column of the table `predictions` of a use case whose policy asks for reasons; an older one gets it."""
TABLES: dict[str, tuple[TableColumn, ...]] = {
    "ledger": (
        TableColumn("source", "string", "Source", required=True),
        TableColumn("file", "string", "File name"),
        TableColumn(
            "sha256",
            "string",
            "Digest of the file's content; empty: the table of the source was deleted",
            required=True,
        ),
        TableColumn("bytes", "long", "Length of the file"),
        TableColumn("modified", "timestamp", "When the file was last changed, UTC"),
        TableColumn("batch", "long", "Number of the batch that it was part of", required=True),
        TableColumn("first_known", "timestamp", "Earliest known-at time of the source's rows in the batch, UTC"),
        TableColumn("last_known", "timestamp", "Latest such moment, UTC"),
        _AS_OF,
    ),
    "quarantine": (
        TableColumn(
            "source",
            "string",
            "Source; features: the row could not be scored; requests: of the endpoint",
            required=True,
        ),
        TableColumn("file", "string", "File name; of a row of a table the table's name", required=True),
        TableColumn("sha256", "string", "Digest of the file's content, or of a table's row", required=True),
        TableColumn("line", "long", "Line of the file, the header is line 1; 0: a row of a table", required=True),
        TableColumn("column", "string", "Column that the rule is about; row: the line as a whole", required=True),
        TableColumn("rule", "string", "Rule that the row breaks", required=True),
        TableColumn("row", "string", "The line as it came; a row of a table as JSON", required=True),
        _AS_OF,
    ),
    "counts": (_WEEK, *_COLUMN, TableColumn("bin", "string", "Empty: missing; =text; else lower end"), _ROWS, _AS_OF),
    "metrics": (
        _MODEL,
        *_WINDOW,
        TableColumn("slice", "string", "Empty: all rows; else column=value", required=True),
        TableColumn("state", "string", "judged; hold: not enough reported; waiting: not due yet", required=True),
        TableColumn("model_version", "long", "Version that made most of the predictions"),
        _ROWS,
        _AS_OF,
    ),
    "drift": (
        _WEEK,
        *_COLUMN,
        _ROWS,
        TableColumn("psi", "double", "Population stability index against the weeks before"),
        TableColumn("jensen_shannon", "double", "Distance, 0 to 1"),
        TableColumn("wasserstein", "double", "In standard deviations of the weeks before; numbers only"),
        TableColumn("missing", "double", "Share of missing values minus that of the weeks before"),
        TableColumn("limit", "double", "Of the PSI: what the column's clean weeks allow"),
        TableColumn("state", "string", "clean, drift, missing, rows or hold", required=True),
        _AS_OF,
    ),
    "decisions": (
        _MODEL,
        TableColumn("model_version", "long", "Champion that the decision is about"),
        TableColumn("rule", "string", "Rule", required=True),
        TableColumn("fired", "boolean", "Whether it asks for a training", required=True),
        TableColumn("value", "double", "What it looked at"),
        TableColumn("limit", "double", "What is allowed"),
        TableColumn("reason", "string", "In words"),
        _AS_OF,
    ),
    "alerts": (
        _MODEL,
        TableColumn("rule", "string", "Rule that fires", required=True),
        TableColumn("subject", "string", "Source, column or slice; empty: the model", required=True),
        TableColumn("severity", "string", "page: look today; ticket: this week"),
        TableColumn("owner", "string", "Who looks"),
        TableColumn("evidence", "string", "Of the last time it fired"),
        TableColumn("first_seen", "timestamp", "Moment of the run that fired first, UTC", required=True),
        TableColumn("last_seen", "timestamp", "Moment of the last one that fired, UTC"),
        TableColumn("resolved", "timestamp", "Moment of the run that found it gone, UTC; empty: it is open"),
    ),
    "audit": (
        _MODEL,
        TableColumn("sequence", "long", "Number of the row, without gaps, from 1", required=True),
        TableColumn("move_id", "string", "Tells two rows of one job run apart", required=True),
        TableColumn(
            "move",
            "string",
            "Kind: promotion, verdict, approval, rejection, deployment, rollback, endpoint",
            required=True,
        ),
        TableColumn("from_version", "long", "Of a move: champion before; empty: none"),
        TableColumn("to_version", "long", "Version that the row is about; of a move: champion after", required=True),
        TableColumn(
            "source", "string", "model/number@artifact digest that the version is a copy of; empty: trained here"
        ),
        TableColumn("artifact_digest", "string", "Of the version's files"),
        TableColumn("verdict_digest", "string", "Of the verdict's report"),
        TableColumn("approved_by", "string", "Of a deployment: who approved it; empty: this target approves by itself"),
        TableColumn("by", "string", "Identity that the job ran as; of an approval or a rejection: the person"),
        TableColumn("reason", "string", "Why"),
        TableColumn("run_id", "string", "Job run", required=True),
        TableColumn("at", "timestamp", "When the row was written, by the clock, UTC", required=True),
        _AS_OF,
        TableColumn(
            "verdict",
            "string",
            "accepted or refused; of a person: approved or rejected; of an endpoint: serves or failed",
        ),
        TableColumn("judged_against", "long", "Champion that the verdict compared with; empty: none"),
        TableColumn("verdict_case", "string", "Digest of all that the verdict depends on; empty: an error made it"),
        TableColumn("judged_on", "string", "catalog.schema of the features and labels"),
        TableColumn("validation_run", "string", "Tracking run that holds the report"),
        TableColumn("trained_by", "string", "Who trained it"),
        TableColumn("trained_until", "timestamp", "End of the training days, UTC"),
        TableColumn("trained_as_of", "timestamp", "Moment that it was trained as of, UTC"),
        TableColumn("expires", "timestamp", "Of an approval: until when it counts, UTC"),
    ),
}
_COMMENTS = {
    "ledger": "Landed files that were ingested",
    "quarantine": "Rows in quarantine, one row per rule that they break",
    "counts": "Rows per bin of every feature, from which all drift figures are computed",
    "metrics": "Quality of the predictions per window and slice, expected before the labels and measured after",
    "drift": "Distance of each column of a week from the weeks before, and its limit",
    "decisions": "Every decision on retraining, one row per rule",
    "alerts": "Alerts, one row each from the first run that fired to the run that resolved it",
    "audit": "Each promotion, verdict, approval, rejection, deployment, rollback, endpoint: the record that decides",
}


def table_columns(table: str, use_case: UseCase) -> tuple[TableColumn, ...]:
    """List the columns of a table of TABLES; `metrics` has the figures of the use case's kind of question, too."""
    return metric_columns(_question_of(use_case)) if table == "metrics" else TABLES[table]


def metric_columns(question: Question) -> tuple[TableColumn, ...]:
    """List the columns of the table `metrics` for a kind of question: its figures stand before the last column."""
    *first, last = TABLES["metrics"]
    figures = (TableColumn(column.name, column.type, column.comment) for column in question.metric_columns())
    return (*first, *figures, last)


def _question_of(use_case: UseCase) -> Question:
    """Return the kind of question. It needs pandas, and tasks that only read the audit table start without it."""
    from mlops.questions import question_of

    return question_of(use_case.label)


def create_tables(schema: Schema, use_case: UseCase, *tables: str) -> None:
    """Create tables of TABLES that do not exist, all at once: each waits for Delta to read the log of its own table."""

    def create(table: str) -> None:
        owner = "" if table in SHARED else use_case.name
        schema.create_table(table, table_columns(table, use_case), _COMMENTS[table], owner=owner)

    with ThreadPoolExecutor() as pool:
        list(pool.map(create, tables))


def create_source(schema: Schema, source: Source, expected: Mapping[str, str]) -> None:
    """Create a source's table if it does not exist.

    Args:
        schema: where to create it.
        source: the source.
        expected: expectations of each column, in words.

    Raises:
        ConfigError: the source has a column named FILE_MODIFIED, which its table adds.
    """
    if any(column.name == FILE_MODIFIED for column in source.columns):
        raise ConfigError(f"source {source.name!r} has a column {FILE_MODIFIED!r}, which its table adds: rename it")
    required = {*source.key, source.known_at}
    columns = [
        TableColumn(
            c.name,
            c.type,
            f"{_with_unit(c)}{_describe_expected_columns(expected, c.name)}",
            c.name in required,
        )
        for c in source.columns
    ]
    modified = TableColumn(FILE_MODIFIED, "timestamp", "When the file that the row is from was last changed, UTC")
    schema.create_table(source.name, [*columns, modified], source.comment)


def check_source(schema: Schema, source: Source) -> None:
    """Raise DataError if a source's table has a column with another type than the source."""
    schema.find_missing_columns(source.name, [TableColumn(column.name, column.type) for column in source.columns])


def _with_unit(named: Column | Feature) -> str:
    return f"{named.comment} [{named.unit}]" if named.unit else named.comment


def _describe_expected_columns(words: Mapping[str, str], column: str) -> str:
    return f". Expected: {words[column]}" if column in words else ""


def create_features(schema: Schema, use_case: UseCase) -> list[TableColumn]:
    """Create the feature table if it does not exist; returns the columns that an existing table lacks: new features."""
    columns = feature_columns(use_case)
    key = [*use_case.entity.key, "prediction_time"]
    schema.create_table("features", columns, f"Features of: {use_case.question}", key, owner=use_case.name)
    return schema.find_missing_columns("features", columns)


def feature_columns(use_case: UseCase) -> list[TableColumn]:
    """List the columns of the feature table: the entity's key and times, one per feature, and the batch."""
    return [
        *entity_columns(use_case),
        *(TableColumn(f.name, f.dtype, f"{_with_unit(f)}; known from {f.known_from}") for f in use_case.features),
        TableColumn("batch", "long", "Newest ingestion batch that the row was made from", required=True),
    ]


def create_predictions(schema: Schema, use_case: UseCase, table: str = "predictions") -> None:
    """Create the table of predictions, or SHADOW, if it does not exist."""
    columns = [column for column in prediction_columns(use_case) if table != SHADOW or column.name != REQUEST_ID]
    added = [TableColumn(REASONS, "string", "Largest contributions to the score, JSON; empty: none")]
    added = [] if table == SHADOW or not use_case.policy.reasons else added
    schema.create_table(table, [*columns, *added], f"Predictions of: {use_case.question}", owner=use_case.name)
    if added:
        schema.add_columns(table, schema.find_missing_columns(table, added))


def prediction_columns(use_case: UseCase) -> list[TableColumn]:
    """List the columns of the table of predictions."""
    return [
        *entity_columns(use_case),
        TableColumn("scored_at", "timestamp", "When it was scored, UTC", required=True),
        *(TableColumn(name, type_, f"{words}: {use_case.question}", required=True)
          for name, type_, words in _question_of(use_case).score_columns),
        TableColumn("model_version", "long", "Version that scored it", required=True),
        TableColumn(REQUEST_ID, "string", "Request that the endpoint answered; empty: a batch or a stream scored it"),
    ]  # fmt: skip


def select_batch(predictions: DataFrame) -> DataFrame:
    """Select the predictions that a batch or a stream made.

    A table that was created before requests were taken has no column REQUEST_ID until one is.
    """
    return predictions.where(f"{REQUEST_ID} IS NULL") if REQUEST_ID in predictions.columns else predictions


def entity_columns(use_case: UseCase) -> tuple[TableColumn, ...]:
    """List the key, event time and prediction time columns of an entity."""
    entity = use_case.entity
    types = {column.name: column for column in use_case.source(entity.source).columns}
    return (
        *(TableColumn(name, types[name].type, types[name].comment, required=True) for name in entity.key),
        TableColumn("event_time", "timestamp", "When it happens, UTC", required=True),
        TableColumn("prediction_time", "timestamp", "When the prediction is made, UTC", required=True),
    )


def spark_schema(columns: Iterable[tuple[str, str]]) -> str:
    """Write a frame's schema in Spark's DDL, from names and our types."""
    return ", ".join(f"`{name}` {SQL_TYPES[type_]}" for name, type_ in columns)


def make_frame(schema: Schema, table: str, rows: Sequence[Sequence[Any]]) -> DataFrame:
    """Make a frame of a table of TABLES, from rows in the order of its columns."""
    zoned = [tuple(to_utc(value) if isinstance(value, datetime) else value for value in row) for row in rows]
    return schema.spark.createDataFrame(zoned, _ddl_of(table))


def insert_broken(schema: Schema, rows: DataFrame, as_of: datetime, *, first: bool = False) -> None:
    """Insert rows into the table `quarantine`; those that an earlier run set aside stay as they are.

    Runs of more than KEPT before `as_of` are not looked at, so that the cost of a run does not grow with the table. A
    row that is still broken after that time is there once more.
    """
    span = ("as_of", as_of - KEPT, datetime.max.replace(tzinfo=UTC))
    schema.insert_new("quarantine", rows, ("source", "sha256", "line", "rule"), span=span, first=first)


def describe_table(schema: Schema, columns: Sequence[TableColumn], rows: pd.DataFrame) -> DataFrame:
    """Make a frame of a table's columns, from a pandas frame that has them; times are UTC without zone."""
    ddl = spark_schema((column.name, column.type) for column in columns)
    return schema.spark.createDataFrame(rows[[column.name for column in columns]], ddl)


def _ddl_of(table: str) -> str:
    return spark_schema((column.name, column.type) for column in TABLES[table])


def to_utc(moment: datetime) -> datetime:
    """Convert a moment to UTC. One without zone is in the process's local time, as Spark's `collect` returns it."""
    return moment.astimezone(UTC)
