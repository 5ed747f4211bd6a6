"""Join rows with their labels, and score rows with a fitted model on Spark."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import pandas as pd
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from sklearn.pipeline import Pipeline

from mlops.contract import DataError, UseCase
from mlops.data import row_versions
from mlops.data.predictions import predict
from mlops.platform.tables import Schema
from mlops.questions import question_of

LABEL = "label"
KNOWN = "_known"
_MAX_EARLY = 0.01
"""Largest share of labels that may have been known when their predictions were made."""
_EARLY_ROWS = 100
"""Smallest number of labels on which that share is judged."""


def join_labels(
    rows: DataFrame, data: Schema, use_case: UseCase, as_of: datetime, *, version: int | None = None
) -> pd.DataFrame:
    """Join rows with their matured labels, and collect them; rows without a matured label are left out.

    The newest version of an outcome that was known by `as_of` gives the label, and that version must be matured. Rows
    are sorted by key: the order of rows changes a fitted model, and Spark's order is not stable.

    Args:
        rows: rows with the entity's key and prediction_time.
        data: where the label's source is.
        use_case: whose label.
        as_of: outcomes known later do not count, with time zone.
        version: version of the label's table; None: the newest.

    Returns:
        The rows with the column LABEL, as a number (see `Question.encode_labels`).

    Raises:
        DataError: a label is not what its kind allows, or too many labels were known when their predictions were made.
    """
    key = [*use_case.entity.key, "prediction_time"]
    outcomes = load_outcomes(data, use_case, as_of, version)
    joined: pd.DataFrame = rows.join(outcomes, list(use_case.entity.key)).toPandas()
    joined = joined.sort_values([*key, KNOWN, LABEL], kind="stable")
    newest = row_versions.newest_known(joined, key, KNOWN, as_of)
    labelled_rows = newest[newest[LABEL].notna()]
    early = int(find_early(labelled_rows[KNOWN], labelled_rows["prediction_time"]).sum())
    if reason := describe_early(early, len(labelled_rows), use_case):
        raise DataError(reason)
    labelled_rows = labelled_rows.drop(columns=KNOWN).reset_index(drop=True)
    return labelled_rows.assign(**{LABEL: question_of(use_case.label).encode_labels(labelled_rows[LABEL])})


def find_early(known: pd.Series[Any], asked: pd.Series[Any]) -> pd.Series[bool]:
    """Find the labels that were known at their own prediction time: features could hold the answer."""
    return known <= asked


def describe_early(early: int, labelled: int, use_case: UseCase) -> str:
    """Say why labels cannot be used if too many of them were known at their own prediction time; "" if few were.

    A few are what an entity leaves that was moved behind its own end.
    """
    if labelled < _EARLY_ROWS or early <= _MAX_EARLY * labelled:
        return ""
    source = use_case.source(use_case.label.source)
    return (
        f"{early} of {labelled} labels were known when their predictions were made, and {_MAX_EARLY:.0%} may: "
        f"either {source.known_at} of {source.name} is wrong (another time zone?), or the label "
        f"{use_case.label.name} is no answer to the question; correct the rows of {source.name}, or the use case"
    )


def load_outcomes(data: Schema, use_case: UseCase, as_of: datetime, version: int | None = None) -> DataFrame:
    """Load every version of every outcome known by `as_of`: entity key, LABEL (null: not matured), KNOWN (known at)."""
    label = use_case.label
    known_at = F.col(use_case.source(label.source).known_at)
    value = F.when(F.expr(label.matured), F.expr(label.value).cast(question_of(label).label_type))
    known = data.read_table(label.source, version).where(known_at <= F.lit(as_of))
    return known.select(*use_case.entity.key, value.alias(LABEL), known_at.alias(KNOWN))


def select_event_times(rows: DataFrame, start: datetime | None, end: datetime) -> DataFrame:
    """Select the rows with start <= event_time < end; start None: from the beginning."""
    inside = F.col("event_time") < F.lit(end)
    if start is not None:
        inside = inside & (F.col("event_time") >= F.lit(start))
    return rows.where(inside)


def score_rows(
    rows: DataFrame, use_case: UseCase, pipeline: Pipeline, kept: Sequence[str], names: Mapping[str, str]
) -> DataFrame:
    """Select the columns `kept` of rows with features, and add columns of the model's predictions.

    Args:
        rows: rows with the features.
        use_case: whose features and kind of question.
        pipeline: the fitted model.
        kept: columns of `rows` to keep.
        names: name of each added column, by its name in `Question.score_columns`.
    """
    question = question_of(use_case.label)

    def score(parts: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
        for part in parts:
            if len(part):
                packed = question.pack_scores(predict(pipeline, part, use_case))
                yield part[list(kept)].assign(**{name: packed[column] for column, name in names.items()})

    # A value of each type gives the column its type, which is never empty.
    examples = {"double": F.lit(0.0), "string": F.lit(""), "map": F.create_map(F.lit(""), F.lit(0.0))}
    types = {column: type_ for column, type_, _ in question.score_columns}
    added = [examples[types[column]].alias(name) for column, name in names.items()]
    return rows.mapInPandas(score, rows.select(*kept, *added).schema)
