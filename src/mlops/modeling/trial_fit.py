"""Fit the model on a few rows before the real fit, so that training refuses an unreadable model within a second."""

from __future__ import annotations

from typing import Any

import pandas as pd
from threadpoolctl import threadpool_limits

from mlops.contract import ConfigError, Model
from mlops.modeling.fitting import fit_pipeline
from mlops.platform import autologging, model_scan

_FEW = 100
"""Number of rows per label that the trial is fitted on; of all labels four times as many at most."""


def check_types(model: Model, inputs: pd.DataFrame, labels: pd.Series[Any]) -> None:
    """Fit a few rows, and check the types that the file of the fitted model will hold.

    Raises:
        ConfigError: a step cannot take the rows, or the file would be refused; says what to write into the use case.
    """
    some = labels.groupby(labels, sort=False).head(_FEW).index[: 4 * _FEW]
    with threadpool_limits(limits=1), autologging.autolog_fit("off"):
        pipeline = fit_pipeline(model.build({}), inputs.loc[some], labels.loc[some])
    if missing := model_scan.find_missing_types(pipeline, model):
        types = "".join(f'"{name}", ' for name in sorted({*model.trusted_types, *missing}))
        raise ConfigError(
            f"a fitted model holds {', '.join(missing)}, and the use case trusts no such type: if you trust it, write "
            f"into Model(...): trusted_types=({types.strip()})"
        )
