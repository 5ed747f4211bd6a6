"""Check how a version serves: its inputs, its predictions for unusual values, and its time for one row."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import numpy as np
import pandas as pd
from sklearn.pipeline import Pipeline
from threadpoolctl import threadpool_limits

from mlops.contract import UseCase

_CALLS, _WARM_UP = 100, 5
_NEVER_SEEN = "\N{SNOWMAN}"


def run_serving_checks(pipeline: Pipeline, inputs: pd.DataFrame) -> tuple[list[str], float]:
    """Score values that a holdout does not contain, and single rows.

    Args:
        pipeline: the version's pipeline.
        inputs: rows of the holdout, one column per feature.

    Returns:
        One sentence per kind of unusual value that gets no probability, and the time for one row, ms.
    """
    return list(_odd_values(pipeline, inputs.head(20))), _measure_latency(pipeline, inputs.head(_CALLS))


def signature_problems(given: Mapping[str, str], use_case: UseCase) -> Iterator[str]:
    """Yield one sentence per difference between the inputs that a version declares and the features."""
    expected = {feature.name: feature.dtype for feature in use_case.features}
    for name in sorted({*expected, *given}):
        if given.get(name) != expected.get(name):
            yield f"input {name} is {given.get(name, 'not there')}, the feature is {expected.get(name, 'not there')}"
    if not set(given) ^ set(expected) and list(given) != list(expected):
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
        except Exception as error:  # noqa: BLE001 (a served model may not raise any error)
            yield f"{what} raised {type(error).__name__}: {str(error)[:100]}"
            continue
        if not ((answers >= 0) & (answers <= 1)).all():
            yield f"{what} gave answers that are no probabilities"


@contextmanager
def _without_garbage_collection() -> Iterator[None]:
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _measure_latency(pipeline: Pipeline, rows: pd.DataFrame) -> float:
    """Measure the 99th percentile of the processor time for one row, ms; other processes do not change it.

    Only one thread is used and measured: waiting OpenMP threads spin, which counted 500 to 1,400 ms for a healthy
    model. Python's garbage collector waits: one pass over a large process counted 780 ms for a model of no work.
    """
    singles = [rows.iloc[[number]] for number in range(len(rows))]
    for single in singles[:_WARM_UP]:
        pipeline.predict_proba(single)
    times = []
    with threadpool_limits(limits=1), _without_garbage_collection():
        for single in singles:
            start = time.thread_time()
            pipeline.predict_proba(single)
            times.append(time.thread_time() - start)
    return float(np.quantile(times, 0.99)) * 1000
