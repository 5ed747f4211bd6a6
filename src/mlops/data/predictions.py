"""Make a fitted model's input and its predictions. Imports no Spark, so that the isolated process starts fast."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from pandas.api.types import infer_dtype, is_numeric_dtype

from mlops.contract import DataError, Feature, ModelError, UseCase
from mlops.questions import question_of

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline


def model_input(rows: pd.DataFrame, use_case: UseCase, model: Pipeline | None = None) -> pd.DataFrame:
    """Make a model's input: one row per row, one column per feature; missing categories are None.

    Args:
        rows: rows with the features.
        use_case: whose features.
        model: selects the features that it was fitted on; None: all features.

    Raises:
        ModelError: as `select_features`.
        DataError: the rows lack a needed feature, or have it with another type.
    """
    fitted = None if model is None else set(model.feature_names_in_)
    features = [feature for feature in use_case.features if fitted is None or feature.name in fitted]
    for feature in features:
        _check_column(rows, feature)
    inputs = rows[[feature.name for feature in features]]
    if numbers := [feature.name for feature in features if feature.dtype in {"long", "boolean"}]:
        inputs = inputs.astype(dict.fromkeys(numbers, "float64"))
    return inputs if model is None else select_features(inputs, model)


def _check_column(rows: pd.DataFrame, feature: Feature) -> None:
    actual = rows[feature.name].dtype if feature.name in rows else "missing"
    if actual == "missing" or not _has_type(rows[feature.name], feature):
        raise DataError(
            f"column {feature.name!r} of table features is {actual}, features.py makes it {feature.dtype}: run the job "
            f"'ingestion', which adds missing features and says how to change a type"
        )


def _has_type(values: pd.Series[Any], feature: Feature) -> bool:
    if feature.dtype == "boolean":  # with missing ones they are objects in pandas, as text is
        return infer_dtype(values, skipna=True) in {"boolean", "empty"}
    return bool(is_numeric_dtype(values) == (feature.input_type == "double"))


def select_features(inputs: pd.DataFrame, model: Pipeline) -> pd.DataFrame:
    """Select the columns that a model was fitted on, so that it still scores after the use case gains features.

    Raises:
        ModelError: the model was fitted on a feature that the use case no longer has.
    """
    fitted: Sequence[str] = list(model.feature_names_in_)
    if gone := sorted(set(fitted) - set(inputs.columns)):
        raise ModelError(
            f"the model was fitted on {', '.join(gone)}, which features.py no longer makes: bring it back until a "
            f"model without it is champion"
        )
    return inputs[fitted]


def predict(pipeline: Pipeline, rows: pd.DataFrame, use_case: UseCase) -> np.ndarray[Any, Any]:
    """Predict the scores of the use case's kind of question, one per row; raises as `model_input`."""
    return question_of(use_case.label).predict_scores(pipeline, model_input(rows, use_case, pipeline))


def pick_example(inputs: pd.DataFrame) -> pd.DataFrame:
    """Pick five rows, if possible without missing texts: MLflow infers no type from a missing text."""
    whole = inputs.dropna(subset=list(inputs.select_dtypes(exclude="number").columns))
    return (whole if len(whole) else inputs).head(5)
