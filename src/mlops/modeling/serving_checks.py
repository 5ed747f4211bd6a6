"""What a version promises beyond quality, measured: inputs, odd values, time for one row, size."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd
from sklearn.pipeline import Pipeline
from threadpoolctl import threadpool_limits

from mlops.contract import UseCase

_CALLS, _WARM_UP = 100, 5
_NEVER_SEEN = "\N{SNOWMAN}"


def run_serving_checks(pipeline: Pipeline, inputs: pd.DataFrame) -> tuple[list[str], float]:
    """Ask a version what no holdout asks: values it never saw, and single rows.

    Args:
        pipeline: of the version.
        inputs: rows of the holdout, one column per feature.

    Returns:
        The odd values that it gives no probability for, in words, and the time that one row takes, ms.
    """
    return list(_odd_values(pipeline, inputs.head(20))), _measure_latency(pipeline, inputs.head(_CALLS))


def signature_problems(given: Mapping[str, str], use_case: UseCase) -> Iterator[str]:
    """How the inputs that a version declares differ from the features, in words."""
    wanted = {feature.name: feature.dtype for feature in use_case.features}
    for name in sorted({*wanted, *given}):
        if given.get(name) != wanted.get(name):
            yield f"input {name} is {given.get(name, 'not there')}, the feature is {wanted.get(name, 'not there')}"
    if not set(given) ^ set(wanted) and list(given) != list(wanted):
        yield "its inputs stand in another order than the features"


def _odd_values(pipeline: Pipeline, rows: pd.DataFrame) -> Iterator[str]:
    categories = list(rows.select_dtypes(exclude="number").columns)
    numbers = [name for name in rows.columns if name not in categories]
    odd = {
        "a category it never saw": rows.assign(**dict.fromkeys(categories, _NEVER_SEEN)),
        "missing categories": rows.assign(**dict.fromkeys(categories)),
        "missing numbers": rows.assign(**dict.fromkeys(numbers, np.nan)),
    }
    for what, frame in odd.items():
        try:
            answers = pipeline.predict_proba(frame)[:, 1]
        except Exception as error:  # noqa: BLE001 (whatever it is, a served model may not raise it)
            yield f"{what} raised {type(error).__name__}: {str(error)[:100]}"
            continue
        if not ((answers >= 0) & (answers <= 1)).all():
            yield f"{what} gave answers that are no probabilities"


def _measure_latency(pipeline: Pipeline, rows: pd.DataFrame) -> float:
    """99th percentile of the processor time for one row, ms: unlike the clock's, what others do does not move it.

    On one thread and of this thread alone: OpenMP's others spin while they wait, which counted 500 to 1,400 ms for a
    healthy model.
    """
    singles = [rows.iloc[[number]] for number in range(len(rows))]
    for single in singles[:_WARM_UP]:
        pipeline.predict_proba(single)
    times = []
    with threadpool_limits(limits=1):
        for single in singles:
            start = time.thread_time()
            pipeline.predict_proba(single)
            times.append(time.thread_time() - start)
    return float(np.quantile(times, 0.99)) * 1000
