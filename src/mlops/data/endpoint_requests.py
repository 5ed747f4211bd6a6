"""Append what an endpoint answered to the table of predictions, from the platform's table of requests and responses.

All new requests are taken in one commit, and then their ids are in `predictions`: a run that was killed anywhere is
carried on by the next one, and a repeat takes nothing. A prediction gets the times of the row of features that a batch
would have read at the request's moment, so it meets its label in monitoring as the batch's prediction does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from mlops.config import InferenceConfig
from mlops.context import Context
from mlops.contract import DataError, UseCase
from mlops.contract.model_version import REQUEST_ID
from mlops.data import row_scorer, scoring, table_schemas
from mlops.data.payload import BROKEN, LEFT_OUT, PAYLOAD, UNKNOWN_VERSION, list_predictions
from mlops.platform import tables
from mlops.platform.tables import SQL_TYPES, Schema, rows_of
from mlops.questions import question_of

if TYPE_CHECKING:
    import pyarrow as pa

SOURCE = "requests"
"""Under this name broken requests stand in the quarantine."""
PREDICTION, WAITING = "prediction", "waiting"
_LATE = timedelta(days=7)
"""How much later than the newest request that was taken another one may come. The platform says: within an hour."""
_PATIENCE = timedelta(days=1)
"""How long a request waits for the features of all its entities, and for the version of its served entity."""
_LONGEST = 10_000
"""Largest number of characters of a broken request that are kept."""
_SERVED = "served_entities"
_REQUEST = "_request"
"""Column that names a request, also one whose id is missing."""


def take_requests(job: Context[InferenceConfig]) -> None:
    """Append what the endpoint answered, where the bundle lets the platform keep its requests.

    Raises:
        DataError: the platform does not say which version a served entity is, or its table lacks a column.
        Conflict: another run has appended predictions meanwhile; nothing was appended.
    """
    config = job.config
    if config.endpoint == "off" or config.endpoint_inference_table == "off":
        return
    schema = tables.open_schema(config.catalog, config.schema_name)  # the platform's table has no prefix of ours
    name = f"{config.endpoint.replace('-', '_')}_payload"
    table = schema.full_name(name)
    if not schema.exists(name):
        job.log.info("there is no table %s yet: endpoint %s has kept no request", table, config.endpoint)
        return
    versions = _read_versions(config.model_name)
    requests, features = schema.read_table(name), job.data.read_table("features")
    counts = append_requests(
        job.own, table, requests, features, versions=versions, use_case=job.use_case, as_of=config.as_of
    )
    job.log.info(
        "requests of %s: %d predictions were appended; %d are left out (checks, failed, about nobody, after the "
        "event), %d wait for features or the version of their served entity",
        table, *(counts.get(state, 0) for state in (PREDICTION, LEFT_OUT, WAITING)),
    )  # fmt: skip
    if broken := counts.get(BROKEN):
        job.log.warning("%d requests of %s could not be read: the table quarantine says why", broken, table)


def _read_versions(model: str) -> dict[str, int]:
    """Read which version of a model each served entity is, by its id; the endpoint's API does not say it."""
    system = tables.open_schema("system", "serving")
    if not system.exists(_SERVED):
        raise DataError(
            f"table {system.full_name(_SERVED)} is missing or closed to this identity; it says which version answered "
            "a request: an account admin enables the schema serving of system and grants USE SCHEMA and SELECT on it"
        )
    rows = system.read_table(_SERVED).where(F.col("entity_name") == model)
    known = rows_of(rows.select("served_entity_id", F.col("entity_version").cast("string").alias("version")).distinct())
    return {row["served_entity_id"]: int(row["version"]) for row in known if (row["version"] or "").isdecimal()}


def append_requests(
    own: Schema,
    table: str,
    requests: DataFrame,
    features: DataFrame,
    *,
    versions: Mapping[str, int],
    use_case: UseCase,
    as_of: datetime,
) -> dict[str, int]:
    """Append the requests until `as_of` that were not taken yet to the table `predictions`.

    Broken ones go to the table `quarantine`, once per rule. They go first: the append moves the moment from which the
    next run reads.

    Args:
        own: whose tables are written.
        table: full name of the platform's table.
        requests: its rows.
        features: rows of the feature table.
        versions: model version by the id of the served entity.
        use_case: whose entity and kind of question.
        as_of: later requests are not read.

    Returns:
        Number of entities asked about by state: PREDICTION, LEFT_OUT, BROKEN or WAITING.

    Raises:
        DataError: the platform's table lacks a column.
        Conflict: another run has appended predictions meanwhile; nothing was appended.
    """
    at = own.newest_version("predictions")
    new = _select_new(_read_columns(requests, table), own.read_table("predictions", at), as_of)
    judged = _judge(new, features, versions, use_case, as_of)
    counts = {row["state"]: int(row["count"]) for row in rows_of(judged.groupBy("state").count())}
    if counts.get(BROKEN):
        text = F.substring(F.to_json(F.struct(*PAYLOAD)), 1, _LONGEST)
        told = _judge(new.withColumn(scoring.ROW, text), features, versions, use_case, as_of)
        rules = told.where(F.col("state") == BROKEN).select(scoring.ROW, "rule").dropDuplicates()
        scoring.insert_quarantined(own, use_case, rules, source=SOURCE, table=table, as_of=as_of)
    if counts.get(PREDICTION):
        names = [column.name for column in table_schemas.prediction_columns(use_case)]
        own.append_once("predictions", judged.where(F.col("state") == PREDICTION).select(*names), at, adds_columns=True)
    return counts


def _read_columns(requests: DataFrame, table: str) -> DataFrame:
    if "client_request_id" not in requests.columns:  # it then stands in the request alone
        requests = requests.withColumn("client_request_id", F.lit(None))
    if missing := sorted(PAYLOAD.keys() - {*requests.columns}):
        raise DataError(
            f"table {table} has no column {', '.join(missing)}: the table of requests that AI Gateway writes is "
            f"expected, with {', '.join(PAYLOAD)}; its columns are {', '.join(requests.columns)}"
        )
    return requests.select(*(F.col(name).cast(SQL_TYPES[type_]).alias(name) for name, type_ in PAYLOAD.items()))


def _select_new(requests: DataFrame, predictions: DataFrame, as_of: datetime) -> DataFrame:
    """Select the requests that were not taken, each once: the platform may deliver a row twice."""
    asked = F.col("request_time")
    is_due = asked <= F.lit(as_of)
    if REQUEST_ID in predictions.columns:  # a table that was made before requests were taken has no such column
        taken = predictions.where(F.col(REQUEST_ID).isNotNull())
        newest = rows_of(taken.agg(F.max("scored_at").alias("newest")))[0]["newest"]
        if newest is not None:
            is_due = is_due & (asked >= F.lit(newest - _LATE))
            taken = taken.where(F.col("scored_at") >= F.lit(newest - _LATE))
        ids = taken.select(F.col(REQUEST_ID).alias("databricks_request_id"))
        requests = requests.join(ids, "databricks_request_id", "left_anti")
    name = F.coalesce("databricks_request_id", F.to_json(F.struct(*PAYLOAD)))
    rows = requests.where(is_due | asked.isNull()).withColumn(_REQUEST, name)
    first = Window.partitionBy(_REQUEST).orderBy("request_time", "response", "request")
    return rows.withColumn("_rank", F.row_number().over(first)).where("_rank = 1").drop("_rank")


def _judge(
    requests: DataFrame, features: DataFrame, versions: Mapping[str, int], use_case: UseCase, as_of: datetime
) -> DataFrame:
    """Return a row per entity asked about, with the state and, of a broken one, the rule."""
    key, asked, scored = list(use_case.entity.key), F.col("prediction_time"), F.col("scored_at")
    entities = features.where(asked <= F.lit(as_of)).select(*key, "event_time", "prediction_time")
    # Of an entity's rows the one that was newest at the request; before the first one, that one.
    is_before = asked <= scored
    nearest = Window.partitionBy(_REQUEST, *key).orderBy(is_before.desc(), F.when(is_before, asked).desc(), asked)
    joined = _parse(requests, use_case, versions).join(entities, key, "left")
    rows = joined.withColumn("_rank", F.row_number().over(nearest)).where("_rank = 1").drop("_rank")
    is_unknown = F.col("state").isNull() & F.col("event_time").isNull()
    is_incomplete = F.max(is_unknown).over(Window.partitionBy(_REQUEST)) | (F.col("rule") == UNKNOWN_VERSION)
    # Whoever asks after the event is told nothing that could be wrong.
    is_late = scored >= F.col("event_time")
    is_patient = scored >= F.lit(as_of - _PATIENCE)
    state = (
        F.when(is_incomplete & is_patient, WAITING)
        .when(is_unknown, BROKEN)
        .when(F.col("state").isNotNull(), F.col("state"))
        .when(is_late, LEFT_OUT)
        .otherwise(PREDICTION)
    )
    rule = F.coalesce("rule", F.when(is_unknown, f"{key[0]}:unknown"))
    return rows.withColumns({"state": state, "rule": rule})


def _parse(requests: DataFrame, use_case: UseCase, versions: Mapping[str, int]) -> DataFrame:
    """Parse requests, see `payload.list_predictions`; the columns _REQUEST and ROW stay."""
    kept = [name for name in (_REQUEST, scoring.ROW) if name in requests.columns]
    key = {c.name: c.type for c in table_schemas.entity_columns(use_case) if c.name in use_case.entity.key}
    scores = {name: type_ for name, type_, _ in question_of(use_case.label).score_columns}
    types = {
        **dict.fromkeys(kept, "string"), REQUEST_ID: "string", "scored_at": "timestamp", "model_version": "long",
        **key, **scores, "rule": "string", "state": "string",
    }  # fmt: skip
    known = dict(versions)

    def parse(parts: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        import pyarrow as pa

        schema = pa.schema([(name, row_scorer.arrow_type(type_)) for name, type_ in types.items()])
        for part in parts:
            made = [
                {name: row[name] for name in kept} | prediction
                for row in part.to_pylist()
                for prediction in list_predictions(row, use_case, known)
            ]
            yield pa.RecordBatch.from_pylist(made, schema)

    return requests.mapInArrow(parse, table_schemas.spark_schema(types.items()))
