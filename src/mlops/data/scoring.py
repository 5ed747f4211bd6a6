"""Score the rows that have no prediction with fitted models, and append the predictions."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from pyspark.sql import Column, DataFrame, Observation
from pyspark.sql import functions as F

from mlops.contract import ModelError, UseCase
from mlops.data import table_schemas
from mlops.data.row_contract import MOST_BROKEN
from mlops.data.row_scorer import BROKEN, RowScorer
from mlops.data.table_schemas import REASONS, SHADOW
from mlops.platform import delta_errors, staging
from mlops.platform.tables import Schema, rows_of
from mlops.questions import question_of

if TYPE_CHECKING:
    import pyarrow as pa
    from sklearn.pipeline import Pipeline

_LOG = logging.getLogger(__name__)
SOURCE = "features"
"""Under this name, which is the table's, broken rows stand in the quarantine."""
_FEW = 50_000
"""Largest number of rows that are scored here: scoring more takes longer than to start workers, which share it."""
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
        fault = error if isinstance(error, ModelError) else delta_errors.explain_error(error)
        if not isinstance(fault, ModelError) or _is_at_fault(own, rows, scorer):
            raise
    return _append_scored(own, features, rows, scorer, is_tolerant=True)


def _append_scored(own: Schema, features: str, rows: DataFrame, scorer: Scorer, *, is_tolerant: bool = False) -> int:
    """As `append_predictions`; unless `is_tolerant`, a part of the rows for which the model raises is an error."""
    version = own.newest_version(scorer.table)
    new = _find_new_rows(own, rows, scorer, version)
    # A model that nobody has approved must not end the task's process, whatever it does.
    limit = 0 if scorer.table == SHADOW else min(_FEW, scorer.use_case.policy.max_collected_rows)
    few = new.limit(limit + 1).toArrow()
    if few.num_rows > limit:
        _LOG.info("more than %d rows are due: Spark scores them", limit)
        broken = _append_on_spark(own, new, scorer, version, is_tolerant=is_tolerant)
    else:
        _LOG.info("%d rows are due", few.num_rows)
        broken = _append_here(own, few, scorer, version, is_tolerant=is_tolerant) if few.num_rows else 0
    if broken:
        rest = _find_new_rows(own, _add_row_text(rows), scorer, own.newest_version(scorer.table))
        rest = _score_on_spark(rest, scorer, kept=[ROW], is_tolerant=True)  # they are all broken
        rules = rest.select(ROW, F.explode(BROKEN).alias("rule")).dropDuplicates()
        insert_quarantined(own, scorer.use_case, rules, source=_source_of(scorer), table=features, as_of=scorer.as_of)
    return broken


def _append_here(own: Schema, rows: pa.Table, scorer: Scorer, version: int, *, is_tolerant: bool) -> int:
    """Score rows in this process and append their predictions. It starts no worker, which takes seconds."""
    import pyarrow.compute as pc

    by = _row_scorer(scorer, is_explained=True, is_tolerant=is_tolerant)
    scored = by.score_here(rows)
    made = scored.filter(pc.is_null(scored[BROKEN])).drop([BROKEN])
    if made.num_rows:
        with staging.open_frame(own, made) as frame:
            # No other run has appended since `version`, so no row is scored twice. A merge would read the table again.
            own.append_once(scorer.table, _add_version(frame, scorer), version)
    _warn_of_unexplained(scorer, made[REASONS].null_count if by.reasons else 0)
    return int(scored.num_rows - made.num_rows)


def _append_on_spark(own: Schema, rows: DataFrame, scorer: Scorer, version: int, *, is_tolerant: bool) -> int:
    scored = _score_on_spark(rows, scorer, is_explained=True, is_tolerant=is_tolerant)
    is_scored, reason = F.col(BROKEN).isNull(), F.col(REASONS) if REASONS in scored.columns else F.lit("")
    observation = Observation()
    counts = F.count_if(~is_scored).alias("broken"), F.count_if(is_scored & reason.isNull()).alias("unexplained")
    own.append_once(scorer.table, scored.observe(observation, *counts).where(is_scored).drop(BROKEN), version)
    broken, unexplained = (int(observation.get[name] or 0) for name in ("broken", "unexplained"))
    _warn_of_unexplained(scorer, unexplained)
    return broken


def _warn_of_unexplained(scorer: Scorer, count: int) -> None:
    if count:
        _LOG.warning("%d predictions of version %d have no reasons: their contributions are not exact", count,
                     scorer.version)  # fmt: skip


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


def count_broken(own: Schema, since: datetime, until: datetime, *sources: str) -> dict[str, int]:
    """Count the rows of each source that runs from `since` to `until` were the first to put into quarantine."""
    if not own.exists("quarantine"):
        return dict.fromkeys(sources, 0)
    rows = own.read_table("quarantine").where(F.col("source").isin([*sources]) & F.col("as_of").between(since, until))
    counts = rows_of(rows.groupBy("source").agg(F.count_distinct("sha256").alias("rows")))
    return dict.fromkeys(sources, 0) | {row["source"]: row["rows"] for row in counts}


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
    (counts,) = rows_of(_score_on_spark(chosen, scorer, is_tolerant=True).agg(*figures))
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
    columns = [*(column.name for column in table_schemas.entity_columns(scorer.use_case)), ROW]
    needed = {*columns, *(feature.name for feature in scorer.use_case.features)}
    due = rows.where(is_new | asked.isNull()).select(*(name for name in rows.columns if name in needed))
    return due.join(done.select(*key), key, "left_anti")


def _row_scorer(
    scorer: Scorer, kept: Sequence[str] = (), *, is_explained: bool = False, is_tolerant: bool = False
) -> RowScorer:
    """Return what makes the columns of the scorer's table, but those of `_add_version`, and the columns `kept`."""
    use_case = scorer.use_case
    columns = [column.name for column in table_schemas.entity_columns(use_case)]
    names = {name: name for name, _, _ in question_of(use_case.label).score_columns}
    reasons = use_case.policy.reasons if is_explained and scorer.table != SHADOW else 0
    return RowScorer(
        use_case, scorer.pipeline, [*columns, *kept], names, use_case.entity.expectations, reasons, is_tolerant
    )


def _score_on_spark(
    rows: DataFrame, scorer: Scorer, *, kept: Sequence[str] = (), is_explained: bool = False, is_tolerant: bool = False
) -> DataFrame:
    by = _row_scorer(scorer, kept, is_explained=is_explained, is_tolerant=is_tolerant)
    # By files a task would score a whole file, and many rows are in few files; Spark spreads a shuffle over all cores.
    spread = rows.repartition(*scorer.use_case.entity.key, "prediction_time")
    return _add_version(by.score_on_spark(spread), scorer)


def _add_version(scored: DataFrame, scorer: Scorer) -> DataFrame:
    # A stream can meet rows of a moment after `as_of`, which a run of that moment must see first.
    scored_at = F.greatest(F.lit(scorer.as_of), F.col("prediction_time"))
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
