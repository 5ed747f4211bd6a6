"""Fit a pipeline on rows that may have weights."""

from __future__ import annotations

from typing import Any

import pandas as pd
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import has_fit_parameter

from mlops.contract import Values


def takes_weights(pipeline: Pipeline) -> bool:
    """Whether the last step of a pipeline can be fitted with a weight per row."""
    steps = getattr(pipeline, "steps", [])  # a use case may build an estimator that is no pipeline
    return bool(steps and hasattr(steps[-1][1], "fit") and has_fit_parameter(steps[-1][1], "sample_weight"))


def fit_pipeline(
    pipeline: Pipeline, inputs: pd.DataFrame, labels: pd.Series[Any], weights: Values | None = None
) -> Pipeline:
    """Fit a pipeline, its last step with the weights; None: every row weighs the same. Returns the pipeline."""
    named = {} if weights is None else {f"{pipeline.steps[-1][0]}__sample_weight": weights}
    fitted: Pipeline = pipeline.fit(inputs, labels, **named)
    return fitted
