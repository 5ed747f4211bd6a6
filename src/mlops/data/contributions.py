"""Split scores into exact contributions of the features, which sum to the score of their row.

Trees: `tree_contributions`. Linear models: coefficient times input. LightGBM computes its own, by the same definition.
(Rejected: the package shap, whose compiler, numba, would come into the lock and into each worker.)
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mlops.contract import ModelError, UseCase
from mlops.data.predictions import model_input
from mlops.data.tree_contributions import Array, split_boosting

if TYPE_CHECKING:
    from sklearn.compose import ColumnTransformer
    from sklearn.pipeline import Pipeline


@dataclass(frozen=True)
class Explanation:
    """The score of one row and what each feature added to it."""

    scale: str
    """Scale of the score: logit, number, or score of a class."""
    base: float
    """The score of a row of which nothing is known; for a linear model its intercept."""
    contributions: dict[str, float]
    """Contribution by feature, largest first."""

    @property
    def score(self) -> float:
        """The sum of base and contributions."""
        return self.base + math.fsum(self.contributions.values())


@dataclass(frozen=True)
class Contributions:
    """What each feature added to the score of each row."""

    names: Sequence[str]
    """Features; those that one step mixes are one, joined by " + "."""
    values: Array
    """Rows x features."""
    bases: Array
    """The score of a row of which nothing is known, by row; for a linear model its intercept."""
    scores: Array
    """The model's own scores, by row: logits, numbers, or scores of the predicted class."""
    scales: Sequence[str]
    """Scale of each score: logit, number, or score of a class."""

    @property
    def is_exact(self) -> Array:
        """Whether base and contributions of a row sum to its score."""
        return np.isclose(self.bases + self.values.sum(axis=1), self.scores, rtol=1e-6, atol=1e-6)


def explain_row(pipeline: Pipeline, inputs: pd.DataFrame) -> Explanation:
    """Explain the score of one row; with several classes the score of the predicted class.

    Args:
        pipeline: a fitted pipeline.
        inputs: one row, one column per feature that the pipeline was fitted on.

    Raises:
        ModelError: its last step has no exact contributions, or their sum differs from the pipeline's own score.
    """
    of = explain_rows(pipeline, inputs)
    listed = sorted(zip(of.names, of.values[0].tolist(), strict=True), key=lambda item: -abs(item[1]))
    explanation = Explanation(of.scales[0], float(of.bases[0]), dict(listed))
    if not of.is_exact[0]:
        raise ModelError(f"the contributions sum to {explanation.score:.6f}, and the model answers {of.scores[0]:.6f}")
    return explanation


def explain_rows(pipeline: Pipeline, inputs: pd.DataFrame) -> Contributions:
    """Explain the scores of rows, as `explain_row`, but for the check of their sums.

    Raises:
        ModelError: the last step of the pipeline has no exact contributions.
    """
    if problem := check_explainable(pipeline):
        raise ModelError(problem)
    model, rows = pipeline[-1], pipeline[:-1].transform(inputs) if len(pipeline) > 1 else inputs
    untyped: Any = rows  # a matrix, which may be sparse, or a frame
    dense = np.asarray(untyped.toarray() if hasattr(untyped, "toarray") else untyped, dtype=np.float64)
    owners = _input_names(pipeline)
    if len(owners) != dense.shape[1]:
        raise ModelError(f"the {dense.shape[1]} inputs of {type(model).__name__} cannot be traced to features")
    split = _SPLITS[type(model).__name__]
    raw, classes = _ask(model, rows)
    chosen = np.argmax(raw, axis=1) if classes else np.zeros(len(dense), dtype=np.int64)
    values, bases = np.empty(dense.shape), np.empty(len(dense))
    for index in np.unique(chosen):
        is_chosen = chosen == index
        bases[is_chosen], values[is_chosen] = split(model, dense[is_chosen], int(index))
    names = list(dict.fromkeys(owners))
    summed = np.zeros((len(dense), len(names)))
    for place, owner in enumerate(owners):
        summed[:, names.index(owner)] += values[:, place]
    if classes:
        return Contributions(
            names, summed, bases, raw[np.arange(len(raw)), chosen], [f"score of {classes[at]}" for at in chosen]
        )
    scale = "logit" if hasattr(model, "predict_proba") else "number"
    return Contributions(names, summed, bases, np.ravel(raw), [scale] * len(dense))


def find_reasons(
    pipeline: Pipeline, rows: pd.DataFrame, use_case: UseCase, is_scored: Array, count: int
) -> list[str | None]:
    """Find the features with the largest contributions to the score of each row, by absolute value.

    It never raises: a row's prediction counts without its reasons, too.

    Args:
        pipeline: the fitted model.
        rows: rows with the features.
        use_case: whose features.
        is_scored: whether each row was scored.
        count: number of features for each row.

    Returns:
        By row `[{"feature": …, "contribution": …}, …]` as JSON, which every reader of Delta takes and SQL's
        `get_json_object` reads; None: the row was not scored, or its score has no exact contributions.
    """
    texts: list[str | None] = [None] * len(rows)
    positions = np.flatnonzero(is_scored)
    try:
        of = explain_rows(pipeline, model_input(rows, use_case, pipeline).iloc[positions])
    except Exception:  # noqa: BLE001 (as above; `append_predictions` counts the rows without reasons)
        return texts
    order = np.argsort(-np.abs(of.values), axis=1, kind="stable")[:, :count]
    largest = np.take_along_axis(of.values, order, axis=1).tolist()
    for row in np.flatnonzero(of.is_exact).tolist():
        pairs = zip(order[row].tolist(), largest[row], strict=True)
        listed = [{"feature": of.names[place], "contribution": value} for place, value in pairs]
        texts[positions[row]] = json.dumps(listed, ensure_ascii=False)
    return texts


def check_explainable(pipeline: Pipeline) -> str:
    """Say why a model's scores have no exact contributions; empty: they have."""
    name = type(pipeline[-1]).__name__
    return "" if name in _SPLITS else f"{name} has no exact contributions; there are some of {', '.join(_SPLITS)}"


def _ask(model: Any, rows: Any) -> tuple[Array, Sequence[Any]]:
    """Ask the last step for its scores, rows x classes and the classes if there are several; else one per row."""
    if hasattr(model, "decision_function"):
        raw = model.decision_function(rows)
    elif hasattr(model, "predict_proba"):
        raw = model.predict(rows, raw_score=True)  # the name of LightGBM's argument
    else:
        raw = model.predict(rows)
    scores: Array = np.asarray(raw, dtype=np.float64)
    return scores, list(model.classes_) if scores.ndim == 2 and scores.shape[1] > 1 else []


def _input_names(pipeline: Pipeline) -> list[str]:
    """Name the feature that each input of the last step comes from; several features are joined by " + "."""
    from sklearn.compose import ColumnTransformer

    names = [str(name) for name in pipeline.feature_names_in_]
    for step in pipeline[:-1]:
        if isinstance(step, ColumnTransformer):
            names = [name for _, name in sorted(_column_owners(step, names))]
        else:
            names = _output_owners(step, names)
    return names


def _column_owners(step: ColumnTransformer, names: Sequence[str]) -> Iterator[tuple[int, str]]:
    """Yield position and owner of each output of a column transformer."""
    for name, part, columns in step.transformers_:
        place = step.output_indices_[name]
        if place.stop == place.start:
            continue
        taken = [column if isinstance(column, str) else names[int(column)] for column in columns]
        owners = taken if isinstance(part, str) else _output_owners(part, taken, place.stop - place.start)
        yield from zip(range(place.start, place.stop), owners, strict=True)


def _output_owners(step: Any, names: Sequence[str], count: int | None = None) -> list[str]:
    """Return the owner of each output of one transformer with these inputs."""
    if hasattr(step, "_n_features_outs"):  # one-hot codes: several outputs per input
        return [name for name, outputs in zip(names, step._n_features_outs, strict=True) for _ in range(outputs)]  # noqa: SLF001
    size = len(step.get_feature_names_out()) if count is None else count
    return list(names) if size == len(names) else [" + ".join(names)] * size


def _split_lightgbm(model: Any, rows: Array, index: int) -> tuple[Array, Array]:
    """Ask LightGBM for its contributions: one block of columns per class, whose last column is the base."""
    given = np.asarray(model.booster_.predict(rows, pred_contrib=True)).reshape(len(rows), -1, rows.shape[1] + 1)
    return given[:, index, -1], given[:, index, :-1]


def _split_linear(model: Any, rows: Array, index: int) -> tuple[float, Array]:
    coefficients = np.atleast_2d(model.coef_)[index]
    return float(np.ravel(model.intercept_)[index]), coefficients * rows


_SPLITS: dict[str, Callable[[Any, Array, int], tuple[float | Array, Array]]] = {
    **dict.fromkeys(("HistGradientBoostingClassifier", "HistGradientBoostingRegressor"), split_boosting),
    **dict.fromkeys(("LGBMClassifier", "LGBMRegressor"), _split_lightgbm),
    **dict.fromkeys(("LogisticRegression", "LinearRegression", "Ridge", "Lasso"), _split_linear),
}
"""By class name: LightGBM is installed only for use cases that need it."""
