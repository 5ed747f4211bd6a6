"""Check the return value of a feature's function, and convert it to the feature's column."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from mlops.contract import DataError, Feature, Values


def make_column(feature: Feature, values: Values, rows: int) -> pd.Series[Any]:
    """Make a feature's column from the values that its function returned for `rows` entities.

    Raises:
        DataError: another number of values, another type, or a value outside the feature's limits.
    """
    if np.shape(values) != (rows,):
        raise DataError(
            f"feature {feature.name!r} returned shape {np.shape(values)} for {rows} entities: "
            f"it must return one value per entity"
        )
    if feature.dtype == "double":
        return pd.Series(_within_limits(feature, np.asarray(values, "float64")))
    if feature.dtype != "string":
        return _to_whole(feature, values)
    text = pd.Series(values, dtype="object")
    text[text.isna()] = None
    return text


def _to_whole(feature: Feature, values: Values) -> pd.Series[Any]:
    """Make a column of whole numbers or truth values, with missing ones."""
    try:
        whole = pd.Series(values).astype("Int64" if feature.dtype == "long" else "boolean")
    except (TypeError, ValueError):
        wanted = "whole numbers" if feature.dtype == "long" else "truth values, or 1 and 0"
        raise DataError(f"feature {feature.name!r} of dtype {feature.dtype} must return {wanted}: mend it") from None
    _within_limits(feature, whole.to_numpy("float64", na_value=np.nan))
    return whole


def _within_limits(feature: Feature, values: Values) -> Values:
    low, high = feature.limits
    wrong = np.isinf(values) | (values < low) | (values > high)
    if wrong.any():
        raise DataError(
            f"feature {feature.name!r} is {values[wrong][0]:g} for {wrong.sum()} of {len(values)} entities: "
            f"its limits are {low:g} to {high:g}; mend the feature, or quarantine the rows that it is computed from"
        )
    return values
