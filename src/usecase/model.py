"""The unfitted model: ordinal codes for categories, then gradient-boosted trees, which accept missing values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OrdinalEncoder

from mlops.contract import Model
from usecase.features import FEATURES

_CATEGORIES = [feature.name for feature in FEATURES if feature.dtype == "string"]
_SEED = 0
# Small trees with large leaves: weeks differ more than flights do, and deep trees would learn the single weeks.
_DEFAULTS: Mapping[str, Any] = {
    "max_iter": 120,
    "learning_rate": 0.05,
    "max_leaf_nodes": 15,
    "min_samples_leaf": 300,
    "l2_regularization": 10.0,
    "max_features": 0.5,
}


def build_pipeline(parameters: Mapping[str, Any]) -> Pipeline:
    """An unfitted pipeline: columns as in `features.FEATURES`, shape (n_flights, n_features), to P(late)."""
    # An unseen category becomes a missing value, which every tree has a branch for.
    codes = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan, encoded_missing_value=np.nan)
    inputs = ColumnTransformer([("categories", codes, _CATEGORIES)], remainder="passthrough")
    trees = HistGradientBoostingClassifier(
        **{**_DEFAULTS, **parameters}, early_stopping=False, random_state=_SEED, categorical_features=None
    )
    return Pipeline([("inputs", inputs), ("trees", trees)])


MODEL = Model(
    build=build_pipeline,
    space={
        "max_iter": (80, 120, 200, 300),
        "learning_rate": (0.02, 0.03, 0.05, 0.08),
        "max_leaf_nodes": (7, 15, 31),
        "min_samples_leaf": (100, 300, 600),
        "l2_regularization": (1.0, 10.0, 50.0),
        "max_features": (0.3, 0.5, 0.8),
    },
    trusted_types=("sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",),
    seed=_SEED,
)
