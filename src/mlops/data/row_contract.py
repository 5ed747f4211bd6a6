"""Score rows with a model so that a row that cannot be scored stops no other row. Imports no Spark.

A row is broken if it breaks the contract of a feature that the model reads or an expectation of the entity, if the
model raises for it alone, or if its score is none of its kind of question. Each rule that it breaks has a name, as at
ingestion: `<column>:<rule>`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mlops.contract import Feature, MlopsError, ModelError, UseCase
from mlops.data.predictions import model_input
from mlops.questions import Question, question_of

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

MOST_BROKEN = 20
"""If a model raises for so many rows and scores none, the model is at fault, and no row."""
type Positions = np.ndarray[Any, Any]


def score_valid_rows(
    pipeline: Pipeline,
    rows: pd.DataFrame,
    use_case: UseCase,
    breaks: Mapping[str, Positions],
    *,
    is_tolerant: bool = False,
    groups: Positions | None = None,
) -> tuple[np.ndarray[Any, Any], dict[int, list[str]]]:
    """Score the rows that can be scored.

    Args:
        pipeline: the fitted model.
        rows: rows with the features, n_rows of them.
        use_case: whose features and kind of question.
        breaks: positions of rows that break a rule that this function does not judge, by the rule's name.
        is_tolerant: whether a model that raises for each of many rows is no error: these rows may be a chosen few.
        groups: number of each row's group, shape (n_rows,). If the model raises for one row of a group, none of them is
            scored. None: each row is a group.

    Returns:
        Scores, of the shape `Question.score_shape(n_rows)`, NaN for broken rows; and by position of a broken row the
        rules that it breaks.

    Raises:
        DataError: a feature's column is missing or has another type: no row is at fault.
        ModelError: the model raises for each of many rows and `is_tolerant` is False, or it misses a feature.
    """
    question, inputs = question_of(use_case.label), model_input(rows, use_case, pipeline)
    broken: dict[int, list[str]] = {}
    for rule, positions in [*_find_limit_breaks(inputs, use_case), *breaks.items()]:
        for position in positions.tolist():
            broken.setdefault(position, []).append(rule)
    scores = np.full(question.score_shape(len(rows)), np.nan)
    whole = np.setdiff1d(np.arange(len(rows)), [*broken])
    groups = np.arange(len(rows)) if groups is None else groups
    raised = _score_parts(pipeline, inputs, whole, question, scores, groups=groups)
    if len(raised) == len(whole) >= MOST_BROKEN and not is_tolerant:
        raise _make_fault(raised) from next(iter(raised.values()))
    broken |= {position: [f"prediction:{type(error).__name__}"] for position, error in raised.items()}
    scored = np.setdiff1d(whole, [*raised])
    broken |= {position: ["prediction:odd"] for position in _find_odd_scores(question, scores, scored)}
    scores[[*broken]] = np.nan
    return scores, broken


def days_of(moments: Positions) -> Positions:
    """Number of the day of each moment, counted since 1970."""
    return moments.astype("datetime64[D]").astype("int64")


def _make_fault(raised: Mapping[int, Exception]) -> ModelError:
    error = next(iter(raised.values()))
    return ModelError(
        f"the model raises for each of {len(raised)} rows, first {type(error).__name__}: {error}: it fits neither "
        "the features nor the packages here; train it again, or roll back"
    )


def _find_limit_breaks(inputs: pd.DataFrame, use_case: UseCase) -> Iterator[tuple[str, Positions]]:
    """Yield each feature's rule, and the rows whose value is infinite or outside its limits; a missing one is not."""
    features: dict[str, Feature] = {feature.name: feature for feature in use_case.features}
    for name in inputs.columns:
        if features[name].input_type == "double":
            low, high = features[name].limits
            values = inputs[name].to_numpy("float64")
            yield f"{name}:limits", np.flatnonzero(np.isinf(values) | (values < low) | (values > high))


def _score_parts(
    pipeline: Pipeline,
    inputs: pd.DataFrame,
    positions: Positions,
    question: Question,
    scores: np.ndarray[Any, Any],
    *,
    groups: Positions,
) -> dict[int, Exception]:
    """Write the scores of rows into `scores`; of rows of groups for which the model raises, return the error.

    If the model raises, each half of the groups is tried by itself, so that k broken ones of n cost k * log2(n) calls
    and not n.
    """
    if not len(positions):
        return {}
    try:
        scores[positions] = question.predict_scores(pipeline, inputs.iloc[positions])
    except (MlopsError, MemoryError):
        raise
    except Exception as error:  # noqa: BLE001 (whatever a model raises for a row must not cost the other rows)
        numbers = np.unique(groups[positions])
        if len(numbers) == 1:
            return dict.fromkeys(positions.tolist(), error)
        is_first = groups[positions] < numbers[len(numbers) // 2]
        halves = positions[is_first], positions[~is_first]
        return {
            position: known
            for half in halves
            for position, known in _score_parts(pipeline, inputs, half, question, scores, groups=groups).items()
        }
    return {}


def _find_odd_scores(question: Question, scores: np.ndarray[Any, Any], positions: Positions) -> list[int]:
    """Find the rows whose scores are none, such as NaN or a probability above 1."""
    if not len(positions) or not question.describe_odd_scores(scores[positions]):
        return []
    return [int(at) for at in positions if question.describe_odd_scores(scores[at : at + 1])]
