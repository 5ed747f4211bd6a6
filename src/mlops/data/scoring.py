"""Score rows with fitted models on Spark, and append the predictions."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np
from pyspark.sql import Column, DataFrame, Observation
from pyspark.sql import functions as F

from mlops.contract import Expectation, ModelError, UseCase
from mlops.data import table_schemas
from mlops.data.contributions import find_reasons
from mlops.data.expectations import find_broken_rows
from mlops.data.row_contract import MOST_BROKEN, score_valid_rows
from mlops.data.table_schemas import REASONS, SHADOW
from mlops.platform import delta_errors
from mlops.platform.tables import SQL_TYPES, Schema, rows_of
from mlops.questions import question_of

if TYPE_CHECKING:
    import pyarrow as pa
    from sklearn.pipeline import Pipeline

_LOG = logging.getLogger(__name__)
BROKEN = "_broken"
"""Column that `score_rows` adds: the rules that a row breaks; null: it was scored."""
SOURCE = "features"
"""Under this name, which is the table's, broken rows stand in the quarantine."""
_TRIED = 1000
"""Number of rows that decide whether the model is at fault, or rows are."""
ROW = "_row"
"""Column with a row's text, for the quarantine."""


@dataclass(frozen=True)
class Scorer:
    """What scores rows, without a connection: a stream sends it to Spark's server."""

    use_case: UseCase
    pipeline: Pipeline
    version: int
    trained_as_of: datetime
    """What was asked until then may be part of the training."""
    as_of: datetime
    table: str = "predictions"
    """Table of its predictions: `predictions`, with one prediction per row, or SHADOW."""


def score_rows(
    rows: DataFrame, use_case: UseCase, pipeline: Pipeline, kept: Sequence[str], names: Mapping[str, str],
    *, expectations: Callable[[], Sequence[Expectation]] = tuple, reasons: int = 0, is_tolerant: bool = False,
) -> DataFrame:  # fmt: skip
    """Select the columns `kept` of rows with features, and add columns of the model's predictions and BROKEN.

    The columns `kept` stay in Arrow, so that they are what they were. (Rejected: `mapInPandas`, which makes floats of
    whole numbers as soon as one is missing, and refuses them as keys.)

    Args:
        rows: rows with the features.
        use_case: whose features and kind of question.
        pipeline: the fitted model.
        kept: columns of `rows` to keep.
        names: name of each added column, by its name in `Question.score_columns`.
        expectations: makes the expectations that each row must meet.
        reasons: number of contributions in the column REASONS; 0: there is no such column.
        is_tolerant: as for `row_contract.score_valid_rows`.
    """
    question = question_of(use_case.label)
    required = [column.name for column in table_schemas.entity_columns(use_case) if column.name in kept]
    features = [feature.name for feature in use_case.features if feature.name in rows.columns]
    types = {column: type_ for column, type_, _ in question.score_columns}
    added = {name: SQL_TYPES[types[column]] for column, name in names.items()}
    added |= ({REASONS: SQL_TYPES["string"]} if reasons else {}) | {BROKEN: "ARRAY<STRING>"}
    schema = rows.select(*kept, *(F.lit(None).cast(type_).alias(name) for name, type_ in added.items())).schema

    def score(parts: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        import pyarrow as pa

        for part in parts:
            if not part.num_rows:
                continue
            inputs = part.select(features).to_pandas()
            breaks = find_broken_rows(pa.Table.from_batches([part]), expectations(), required)
            scores, broken = score_valid_rows(pipeline, inputs, use_case, breaks, is_tolerant=is_tolerant)
            packed, is_broken = question.pack_scores(scores), np.isin(np.arange(part.num_rows), [*broken])
            columns = [_to_arrow(packed[column], arrow_type(types[column]), is_broken) for column in names]
            if reasons:
                columns.append(pa.array(find_reasons(pipeline, inputs, use_case, ~is_broken, reasons), pa.string()))
            rules = pa.array([broken.get(at) for at in range(part.num_rows)], pa.list_(pa.string()))
            arrays = [*(part.column(name) for name in kept), *columns, rules]
            yield pa.RecordBatch.from_arrays(arrays, names=[*kept, *added])

    return rows.mapInArrow(score, schema)


def arrow_type(type_: str) -> pa.DataType:
    """Return Arrow's type for one of SQL_TYPES."""
    import pyarrow as pa

    moment, numbers = pa.timestamp("us", "UTC"), pa.map_(pa.string(), pa.float64())
    types = {"string": pa.string(), "long": pa.int64(), "double": pa.float64(), "timestamp": moment, "map": numbers}
    return types[type_]


def _to_arrow(values: Any, type_: pa.DataType, missing: np.ndarray[Any, Any]) -> pa.Array:
    import pyarrow as pa

    # Arrow takes the entries of a map as pairs.
    return pa.array([[*value.items()] for value in values] if pa.types.is_map(type_) else values, type_, mask=missing)


def append_predictions(own: Schema, features: str, rows: DataFrame, scorer: Scorer) -> int:
    """Score the rows that have no prediction in the scorer's table, and append the predictions in one commit.

    Rows that cannot be scored go to the table `quarantine`, once per rule; each call tries them again.

    Args:
        own: whose tables are written.
        features: full name of the table that the rows are of.
        rows: rows with the features; those up to the training of the scorer's model are left out.
        scorer: what scores them.

    Returns:
        Number of rows that could not be scored.

    Raises:
        Conflict: another run has appended predictions meanwhile; nothing was written.
        ModelError: the model raises for each row, and these are not few.
    """
    try:
        return _append_scored(own, features, rows, scorer)
    except Exception as error:
        fault = delta_errors.explain_error(error)
        if not isinstance(fault, ModelError) or _is_at_fault(own, rows, scorer):
            raise
    return _append_scored(own, features, rows, scorer, is_tolerant=True)


def _append_scored(own: Schema, features: str, rows: DataFrame, scorer: Scorer, *, is_tolerant: bool = False) -> int:
    """As `append_predictions`; unless `is_tolerant`, a part of the rows for which the model raises is an error."""
    observation, reasons = Observation(), 0 if scorer.table == SHADOW else scorer.use_case.policy.reasons
    version = own.newest_version(scorer.table)
    new = _find_new_rows(own, rows, scorer, version)
    scored = _score(new, scorer, reasons=reasons, is_tolerant=is_tolerant)
    is_scored, reason = F.col(BROKEN).isNull(), F.col(REASONS) if reasons else F.lit("")
    counts = F.count_if(~is_scored).alias("broken"), F.count_if(is_scored & reason.isNull()).alias("unexplained")
    counted = scored.observe(observation, *counts)
    # No other run has appended since `version`, so no row is scored twice; a merge would read the table once more.
    made = counted.where(is_scored).drop(BROKEN)
    own.append_once(scorer.table, made, version)
    broken, unexplained = (int(observation.get[name] or 0) for name in ("broken", "unexplained"))
    if unexplained:
        _LOG.warning("%d predictions of version %d have no reasons: their contributions are not exact", unexplained,
                     scorer.version)  # fmt: skip
    if broken:
        rest = _find_new_rows(own, _add_row_text(rows), scorer, own.newest_version(scorer.table))
        rest = _score(rest, scorer, kept=[ROW], is_tolerant=True)  # they are all broken
        rules = rest.select(ROW, F.explode(BROKEN).alias("rule")).dropDuplicates()
        insert_quarantined(own, scorer.use_case, rules, source=_source_of(scorer), table=features, as_of=scorer.as_of)
    return broken


def append_of_batch(own: Schema, data: Schema, batch: DataFrame, scorer: Scorer) -> int:
    """Append the predictions of rows of features that a stream hands over, as they are in the table now.

    A batch has the rows of all commits since the last one, also those that a later commit wrote again or replaced: a
    row can be in it twice, and one of both may be wrong.

    Args:
        own: whose tables are written.
        data: whose table `features` the stream reads.
        batch: rows of that table.
        scorer: what scores them.

    Returns:
        Number of rows that could not be scored.

    Raises:
        Conflict: as `append_predictions`.
    """
    asked, key = F.col("prediction_time"), [*scorer.use_case.entity.key, "prediction_time"]
    (span,) = rows_of(batch.agg(F.min(asked).alias("first"), F.max(asked).alias("last")))
    # By the bounds Delta skips other files. A row without prediction time is broken, and goes to the quarantine.
    rows = data.read_table("features").where(asked.between(F.lit(span["first"]), F.lit(span["last"])) | asked.isNull())
    keys = batch.select([F.col(name).alias(f"_{name}") for name in key]).distinct()
    is_same = [F.col(name).eqNullSafe(F.col(f"_{name}")) for name in key]
    rows = rows.join(keys, is_same, "left_semi")
    return append_predictions(own, data.full_name("features"), rows, scorer)


def is_in_share(key: Sequence[str], share: int) -> Column:
    """Whether an entity belongs to the first `share` per cent of all, by a hash of its key: the same one each time."""
    return F.pmod(F.xxhash64(*key), F.lit(100)) < share


def count_broken(own: Schema, since: datetime, until: datetime, source: str = SOURCE) -> int:
    """Count the rows of a source that runs from `since` to `until` were the first to put into quarantine."""
    if not own.exists("quarantine"):
        return 0
    rows = own.read_table("quarantine").where((F.col("source") == source) & F.col("as_of").between(since, until))
    return int(rows.select("sha256").distinct().count())


def _is_at_fault(own: Schema, rows: DataFrame, scorer: Scorer) -> bool:
    """Whether the model raises for each of many rows that were not set aside before: no row is to blame then.

    A run that has only rows of earlier runs to try again, or a worker that happens to get only such rows, proves
    nothing about the model. So rows from all over are tried, which their keys' hash chooses.
    """
    new = _find_new_rows(own, _add_row_text(rows), scorer, own.newest_version(scorer.table))
    if own.exists("quarantine"):
        known = own.read_table("quarantine").where(F.col("source") == _source_of(scorer)).select("sha256")
        new = new.join(known, F.sha2(ROW, 256) == F.col("sha256"), "left_anti")
    chosen = new.orderBy(F.xxhash64(*scorer.use_case.entity.key)).limit(_TRIED)
    raised = F.exists(BROKEN, lambda rule: rule.startswith("prediction:"))
    figures = F.count_if(raised).alias("raised"), F.count_if(F.col(BROKEN).isNull()).alias("scored")
    (counts,) = rows_of(_score(chosen, scorer, is_tolerant=True).agg(*figures))
    return bool(counts["raised"] >= MOST_BROKEN and not counts["scored"])


def _source_of(scorer: Scorer) -> str:
    return SHADOW if scorer.table == SHADOW else SOURCE


def _find_new_rows(own: Schema, rows: DataFrame, scorer: Scorer, version: int) -> DataFrame:
    """Find the rows that have no prediction in a version of the scorer's table."""
    key, asked = [*scorer.use_case.entity.key, "prediction_time"], F.col("prediction_time")
    is_new = asked > F.lit(scorer.trained_as_of)
    done = own.read_table(scorer.table, version).where(is_new)
    if scorer.table == SHADOW:  # each challenger is compared by its own predictions
        done = done.where(F.col("model_version") == scorer.version)
    else:  # an entity that somebody asked the endpoint about is still due in the batch
        done = table_schemas.select_batch(done)
    # A row without prediction time is due, too: it is broken, and goes to the quarantine.
    due = rows.where(is_new | asked.isNull()).join(done.select(*key), key, "left_anti")
    # By files a task would score a whole file, and many rows are in few files; Spark spreads a shuffle over all cores.
    return due.repartition(*key)


def _score(
    rows: DataFrame, scorer: Scorer, *, kept: Sequence[str] = (), reasons: int = 0, is_tolerant: bool = False
) -> DataFrame:
    use_case, asked = scorer.use_case, F.col("prediction_time")
    columns = [column.name for column in table_schemas.entity_columns(use_case)]
    names = {name: name for name, _, _ in question_of(use_case.label).score_columns}
    scored = score_rows(
        rows, use_case, scorer.pipeline, [*columns, *kept], names, expectations=use_case.entity.expectations,
        reasons=reasons, is_tolerant=is_tolerant,
    )  # fmt: skip
    # A stream can meet rows of a moment after `as_of`, which a run of that moment must see first.
    scored_at = F.greatest(F.lit(scorer.as_of), asked)
    return scored.withColumn("scored_at", scored_at).withColumn("model_version", F.lit(scorer.version).cast("bigint"))


def _add_row_text(rows: DataFrame) -> DataFrame:
    return rows.withColumn(ROW, F.to_json(F.struct("*")))


def insert_quarantined(
    own: Schema, use_case: UseCase, rules: DataFrame, *, source: str, table: str, as_of: datetime
) -> None:
    """Insert the broken rows of a table into the table `quarantine`; those that are there stay as they are.

    Args:
        own: whose table is written.
        use_case: whose rows.
        rules: each rule that a row breaks, with the row's text in the column ROW.
        source: what the rows are, in the column `source`.
        table: full name of the table that the rows are of.
        as_of: moment of the run.
    """
    table_schemas.create_tables(own, use_case, "quarantine")
    frame = rules.select(
        F.lit(source).alias("source"), F.lit(table).alias("file"), F.sha2(ROW, 256).alias("sha256"),
        F.lit(0).cast("bigint").alias("line"), F.split("rule", ":")[0].alias("column"), "rule",
        F.col(ROW).alias("row"), F.lit(as_of).alias("as_of"),
    )  # fmt: skip
    table_schemas.insert_broken(own, frame, as_of)
