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
from mlops.questions import Question, question_of

_CALLS, _WARM_UP = 100, 5
_NEVER_SEEN = "\N{SNOWMAN}"


def run_serving_checks(question: Question, pipeline: Pipeline, inputs: pd.DataFrame) -> tuple[list[str], float]:
    """Score values that a holdout does not contain, and single rows.

    Args:
        question: the kind of question.
        pipeline: the version's pipeline.
        inputs: rows of the holdout, one column per feature.

    Returns:
        One sentence per kind of unusual value that gets no prediction, and the time for one row, ms.
    """
    return list(_odd_values(question, pipeline, inputs.head(20))), _measure_latency(
        question, pipeline, inputs.head(_CALLS)
    )


def signature_problems(given: Mapping[str, str], method: str, use_case: UseCase) -> Iterator[str]:
    """Yield one sentence per difference between what a version declares and what the use case needs.

    Args:
        given: type of each declared input by name, in order.
        method: method of the pipeline that the served version calls.
        use_case: whose features and kind of question.
    """
    expected_method = question_of(use_case.label).method
    if method != expected_method:
        yield f"it answers with {method}, a label of kind {use_case.label.kind} needs {expected_method}"
    expected = {feature.name: feature.input_type for feature in use_case.features}
    for name in sorted({*expected, *given}):
        if given.get(name) != expected.get(name):
            yield f"input {name} is {given.get(name, 'not there')}, the feature is {expected.get(name, 'not there')}"
    if not set(given) ^ set(expected) and list(given) != list(expected):
        yield "its inputs stand in another order than the features"


def _odd_values(question: Question, pipeline: Pipeline, rows: pd.DataFrame) -> Iterator[str]:
    categories = list(rows.select_dtypes(exclude="number").columns)
    numbers = [name for name in rows.columns if name not in categories]
    odd = {
        "a category it never saw": rows.assign(**dict.fromkeys(categories, _NEVER_SEEN)),
        "missing categories": rows.assign(**dict.fromkeys(categories)),
        "missing numbers": rows.assign(**dict.fromkeys(numbers, np.nan)),
    }
    for what, frame in odd.items():
        try:
            scores = question.predict_scores(pipeline, frame)
        except Exception as error:  # noqa: BLE001 (a served model may not raise any error)
            yield f"{what} raised {type(error).__name__}: {str(error)[:100]}"
            continue
        if fault := question.describe_odd_scores(scores):
            yield f"{what} gave answers that {fault}"


@contextmanager
def _without_garbage_collection() -> Iterator[None]:
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _measure_latency(question: Question, pipeline: Pipeline, rows: pd.DataFrame) -> float:
    """Measure the 99th percentile of the processor time for one row, ms; other processes do not change it.

    Only one thread is used and measured: waiting OpenMP threads spin, which counted 500 to 1,400 ms for a healthy
    model. Python's garbage collector waits: one pass over a large process counted 780 ms for a model of no work.
    """
    singles = [rows.iloc[[number]] for number in range(len(rows))]
    for single in singles[:_WARM_UP]:
        question.predict_scores(pipeline, single)
    times = []
    with threadpool_limits(limits=1), _without_garbage_collection():
        for single in singles:
            start = time.thread_time()
            question.predict_scores(pipeline, single)
            times.append(time.thread_time() - start)
    return float(np.quantile(times, 0.99)) * 1000
