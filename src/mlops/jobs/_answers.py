"""What a fitted model is shown, and what it answers; no Spark, so that a process of its own starts fast."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from sklearn.pipeline import Pipeline

from mlops.contract import ModelError, UseCase


def features_of(rows: pd.DataFrame, use_case: UseCase, model: Pipeline | None = None) -> pd.DataFrame:
    """A model's input, one column per feature; missing categories are None.

    Raises:
        ModelError: as `select_features`.
    """
    made = [feature.name for feature in use_case.features]
    return rows[made] if model is None else select_features(rows[made], model)


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


def answers(pipeline: Pipeline, rows: pd.DataFrame, use_case: UseCase) -> np.ndarray[Any, Any]:
    """What a fitted model predicts for rows, shape (n_rows,); raises as `features_of`."""
    found: np.ndarray[Any, Any] = pipeline.predict_proba(features_of(rows, use_case, pipeline))[:, 1]
    return found
