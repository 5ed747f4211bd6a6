"""What a fitted model is shown, and what it answers; no Spark, so that a process of its own starts fast."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from pandas.api.types import is_numeric_dtype
from sklearn.pipeline import Pipeline

from mlops.contract import DataError, Feature, ModelError, UseCase


def model_input(rows: pd.DataFrame, use_case: UseCase, model: Pipeline | None = None) -> pd.DataFrame:
    """A model's input, one column per feature; missing categories are None.

    Raises:
        ModelError: as `select_features`.
        DataError: the rows lack a feature that is wanted, or have it with another type.
    """
    wanted = None if model is None else set(model.feature_names_in_)
    shown = [feature for feature in use_case.features if wanted is None or feature.name in wanted]
    for feature in shown:
        _check_column(rows, feature)
    inputs = rows[[feature.name for feature in shown]]
    return inputs if model is None else select_features(inputs, model)


def _check_column(rows: pd.DataFrame, feature: Feature) -> None:
    there = rows[feature.name].dtype if feature.name in rows else "missing"
    if there == "missing" or is_numeric_dtype(there) != (feature.dtype == "double"):
        raise DataError(
            f"column {feature.name!r} of table features is {there}, features.py makes it {feature.dtype}: run the job "
            f"'ingestion', which makes what is missing and says how to change a type"
        )


def select_features(inputs: pd.DataFrame, model: Pipeline) -> pd.DataFrame:
    """The columns that a model was fitted on: it goes on scoring while the use case gains others.

    Raises:
        ModelError: the model was fitted on a feature that the use case has no more.
    """
    wanted: Sequence[str] = list(model.feature_names_in_)
    if gone := sorted(set(wanted) - set(inputs.columns)):
        raise ModelError(
            f"the model was fitted on {', '.join(gone)}, which features.py makes no more: bring it back until a model "
            f"without it is champion"
        )
    return inputs[wanted]


def predict(pipeline: Pipeline, rows: pd.DataFrame, use_case: UseCase) -> np.ndarray[Any, Any]:
    """What a fitted model predicts for rows, shape (n_rows,); raises as `features_of`."""
    found: np.ndarray[Any, Any] = pipeline.predict_proba(model_input(rows, use_case, pipeline))[:, 1]
    return found
