"""Fit a pipeline on rows that may have weights."""

from __future__ import annotations

import sys
from importlib.metadata import entry_points, packages_distributions
from traceback import walk_tb
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
        raise ConfigError(f"the model cannot be fitted to {len(inputs)} rows: {_describe(error, inputs)}") from error
    return fitted


def _describe(error: Exception, inputs: pd.DataFrame) -> str:
    problem = str(error).strip().partition("\n")[0]
    if place := _find_own_place(error):
        name = type(error).__name__
        return f"{name}: {problem}. The use case's own code raised it at {place}: mend it, or the columns it is given"
    texts = ", ".join(map(str, inputs.select_dtypes(exclude=["number", "bool"]).columns)) or "none here"
    return (
        f"{problem}. A step must take what it is given: columns of text or time ({texts}) need an encoder, missing "
        "values an imputer"
    )


def _find_own_place(error: Exception) -> str:
    """Find the last line of the use case's own code that an error came through; "" if it came through libraries only.

    A wheel's modules stand among those of libraries on Databricks, so that no path tells them apart.
    """
    packages = packages_distributions()
    wheels = {entry.dist.name for entry in entry_points(group="mlops.use_case") if entry.dist}
    place = ""
    for frame, line in walk_tb(error.__traceback__):
        module = str(frame.f_globals.get("__name__", "")).partition(".")[0]
        if module not in {"mlops", *sys.stdlib_module_names} and not {*packages.get(module, ())} - wheels:
            place = f"{frame.f_code.co_filename}:{line}"
    return place
