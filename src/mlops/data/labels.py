"""Rows whose truth is known: features or predictions beside their labels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

import pandas as pd
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from sklearn.pipeline import Pipeline

from mlops.contract import DataError, UseCase
from mlops.data import row_versions
from mlops.data.predictions import predict
from mlops.platform.tables import Schema

LABEL = "label"
KNOWN = "_known"


def join_labels(
    rows: DataFrame, data: Schema, use_case: UseCase, as_of: datetime, *, version: int | None = None
) -> pd.DataFrame:
    """Bring rows that carry the entity's key here with their label, 1.0 or 0.0; those without a matured one stay away.

    The newest version of an outcome that was known by `as_of` decides, and it has to be matured itself. Rows are in the
    order of their key: row order moves a model, and Spark's is not stable.

    `version` is that of the label's table; None: as it is.

    Raises:
        DataError: a label is neither 1 nor 0.
    """
    key = [*use_case.entity.key, "prediction_time"]
    here: pd.DataFrame = rows.join(load_outcomes(data, use_case, as_of, version), list(use_case.entity.key)).toPandas()
    here = here.sort_values([*key, KNOWN, LABEL], kind="stable")
    newest = row_versions.newest_known(here, key, KNOWN, as_of)
    labelled_rows = newest[newest[LABEL].notna()].drop(columns=KNOWN).reset_index(drop=True)
    _check_labels(labelled_rows[LABEL], use_case)
    return labelled_rows


def _check_labels(labels: pd.Series[float], use_case: UseCase) -> None:
    wrong = labels[~labels.isin([0, 1])]
    if len(wrong):
        values = ", ".join(f"{value:g}" for value in wrong.unique()[:3])
        raise DataError(
            f"the label {use_case.label.name} has to be 1 or 0, and {len(wrong)} of {len(labels)} rows have another "
            f"value (such as {values}): mend its SQL, {use_case.label.value!r}, in the use case"
        )


def load_outcomes(data: Schema, use_case: UseCase, as_of: datetime, version: int | None = None) -> DataFrame:
    """Every version of every outcome known by `as_of`: entity key, LABEL (null: not matured) and KNOWN, since when."""
    label = use_case.label
    known_at = F.col(use_case.source(label.source).known_at)
    value = F.when(F.expr(label.matured), F.expr(label.value).cast("double"))
    known = data.read_table(label.source, version).where(known_at <= F.lit(as_of))
    return known.select(*use_case.entity.key, value.alias(LABEL), known_at.alias(KNOWN))


def select_event_times(rows: DataFrame, start: datetime | None, end: datetime) -> DataFrame:
    """Rows with start <= event_time < end; start None: from the beginning."""
    inside = F.col("event_time") < F.lit(end)
    if start is not None:
        inside = inside & (F.col("event_time") >= F.lit(start))
    return rows.where(inside)


def score_rows(rows: DataFrame, use_case: UseCase, pipeline: Pipeline, kept: Sequence[str], name: str) -> DataFrame:
    """Columns of rows that carry the features, and beside them what a model predicts, as a double of that name."""

    def score(parts: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
        for part in parts:
            if len(part):
                yield part[list(kept)].assign(**{name: predict(pipeline, part, use_case)})

    return rows.mapInPandas(score, rows.select(*kept, F.lit(0.0).alias(name)).schema)
