"""The unfitted model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.pipeline import Pipeline

from mlops.contract import Model

_SEED = 0


def build_pipeline(parameters: Mapping[str, Any]) -> Pipeline:
    """An unfitted pipeline: columns as in `features.FEATURES`, shape (n_events, n_features), to the label."""
    # TODO: encode the features of dtype string here; trees accept missing values.
    trees = HistGradientBoostingClassifier(**parameters, early_stopping=False, random_state=_SEED)
    return Pipeline([("trees", trees)])


MODEL = Model(
    build=build_pipeline,
    # TODO: values that a search may try.
    space={"max_iter": (60, 120), "learning_rate": (0.03, 0.1)},
    trusted_types=("sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",),
    seed=_SEED,
)
