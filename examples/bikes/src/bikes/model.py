"""The unfitted model: LightGBM on the hour as a circle, codes for the weather in words, and the numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OrdinalEncoder

from bikes.features import FEATURES
from bikes.transformers import HourCircle
from mlops.contract import Model

_CATEGORIES = [feature.name for feature in FEATURES if feature.dtype == "string"]
_SEED = 0
_DEFAULTS: Mapping[str, Any] = {"n_estimators": 200, "learning_rate": 0.05, "num_leaves": 15, "min_child_samples": 30}


def build_pipeline(parameters: Mapping[str, Any]) -> Pipeline:
    """An unfitted pipeline: columns as in `features.FEATURES`, shape (n_hours, n_features), to rentals."""
    from lightgbm import LGBMRegressor

    codes = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan, encoded_missing_value=np.nan)
    inputs = ColumnTransformer(
        [("circle", HourCircle(), ["hour"]), ("words", codes, _CATEGORIES)], remainder="passthrough"
    )
    fixed = {"random_state": _SEED, "n_jobs": 1, "deterministic": True, "verbose": -1}
    return Pipeline([("inputs", inputs), ("trees", LGBMRegressor(**{**_DEFAULTS, **parameters}, **fixed))])


MODEL = Model(
    build=build_pipeline,
    space={"n_estimators": (100, 200, 400), "learning_rate": (0.03, 0.05, 0.1), "num_leaves": (7, 15, 31)},
    trusted_types=(
        "bikes.transformers.HourCircle",
        "lightgbm.basic.Booster",
        "lightgbm.sklearn.LGBMRegressor",
        "collections.OrderedDict",
    ),
    seed=_SEED,
)
