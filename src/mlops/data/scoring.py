"""Score rows with a fitted model on Spark."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import pandas as pd
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from sklearn.pipeline import Pipeline

from mlops.contract import UseCase
from mlops.data.predictions import predict
from mlops.questions import question_of


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
