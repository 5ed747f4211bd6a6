"""Fit a pipeline on rows that may have weights."""

from __future__ import annotations

from typing import Any

import pandas as pd
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import has_fit_parameter

from mlops.contract import ConfigError, Values


def takes_weights(pipeline: Pipeline) -> bool:
    """Whether the last step of a pipeline can be fitted with a weight per row."""
    steps = getattr(pipeline, "steps", [])  # a use case may build an estimator that is no pipeline
    return bool(steps and hasattr(steps[-1][1], "fit") and has_fit_parameter(steps[-1][1], "sample_weight"))


def fit_pipeline(
    pipeline: Pipeline, inputs: pd.DataFrame, labels: pd.Series[Any], weights: Values | None = None
) -> Pipeline:
    """Fit a pipeline, its last step with the weights; None: every row weighs the same. Returns the pipeline.

    Raises:
        ConfigError: a step cannot take the rows.
    """
    named = {} if weights is None else {f"{pipeline.steps[-1][0]}__sample_weight": weights}
    try:
        fitted: Pipeline = pipeline.fit(inputs, labels, **named)
    except (TypeError, ValueError) as error:  # what libraries raise on data that a step cannot take
        texts = ", ".join(map(str, inputs.select_dtypes(exclude=["number", "bool"]).columns)) or "none here"
        problem = str(error).strip().partition("\n")[0]
        raise ConfigError(
            f"the model cannot be fitted to {len(inputs)} rows: {problem}. A step must take what it is given: columns "
            f"of text or time ({texts}) need an encoder, missing values an imputer"
        ) from error
    return fitted
