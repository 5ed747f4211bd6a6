"""Split the score of one row into exact contributions of its features, which sum to the score.

Trees: `tree_contributions`. Linear models: coefficient times input. LightGBM computes its own, by the same definition.
(Rejected: the package shap, whose compiler, numba, would come into the lock for one command.)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import Pipeline

from mlops.contract import ModelError
from mlops_cli.tree_contributions import Array, split_boosting


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


def explain_row(pipeline: Pipeline, inputs: pd.DataFrame) -> Explanation:
    """Explain the score of one row; with several classes the score of the predicted class.

    Args:
        pipeline: a fitted pipeline.
        inputs: one row, one column per feature that the pipeline was fitted on.

    Raises:
        ModelError: its last step has no exact contributions, or their sum differs from the pipeline's own score.
    """
    model = pipeline[-1]
    names = _input_names(pipeline)
    row = np.asarray(pipeline[:-1].transform(inputs) if len(pipeline) > 1 else inputs, dtype=np.float64)[0]
    split = _SPLITS.get(type(model).__name__)
    if split is None or len(names) != len(row):
        raise ModelError(f"{type(model).__name__} has no exact contributions; there are some of {', '.join(_SPLITS)}")
    answer, scale, index = _ask(pipeline, inputs)
    base, values = split(model, row, index)
    summed: dict[str, float] = {}
    for name, value in zip(names, values, strict=True):
        summed[name] = summed.get(name, 0.0) + float(value)
    explanation = Explanation(scale, float(base), dict(sorted(summed.items(), key=lambda item: -abs(item[1]))))
    if not math.isclose(explanation.score, answer, rel_tol=1e-6, abs_tol=1e-6):
        raise ModelError(f"the contributions sum to {explanation.score:.6f}, and the model answers {answer:.6f}")
    return explanation


def _ask(pipeline: Pipeline, inputs: pd.DataFrame) -> tuple[float, str, int]:
    """Score the row with the pipeline itself; returns the score, its scale, and the position of the class."""
    if not hasattr(pipeline, "predict_proba"):
        return float(pipeline.predict(inputs)[0]), "number", 0
    chances = pipeline.predict_proba(inputs)[0]
    if len(chances) == 2:
        return float(np.log(chances[1]) - np.log(chances[0])), "logit", 0
    index = int(np.argmax(chances))
    if hasattr(pipeline, "decision_function"):
        return float(pipeline.decision_function(inputs)[0][index]), f"score of {pipeline.classes_[index]}", index
    raw = pipeline[-1].predict(pipeline[:-1].transform(inputs), raw_score=True)  # the name of LightGBM's attribute
    return float(raw[0][index]), f"score of {pipeline.classes_[index]}", index


def _input_names(pipeline: Pipeline) -> list[str]:
    """Name the feature that each input of the last step comes from; several features are joined by " + "."""
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


def _split_lightgbm(model: Any, row: Array, index: int) -> tuple[float, Array]:
    """Ask LightGBM for its contributions: one block of columns per class, whose last column is the base."""
    given = np.asarray(model.booster_.predict(row[None, :], pred_contrib=True))[0].reshape(-1, len(row) + 1)[index]
    return float(given[-1]), given[:-1]


def _split_linear(model: Any, row: Array, index: int) -> tuple[float, Array]:
    coefficients = np.atleast_2d(model.coef_)[index]
    return float(np.ravel(model.intercept_)[index]), coefficients * row


_SPLITS: dict[str, Callable[[Any, Array, int], tuple[float, Array]]] = {
    **dict.fromkeys(("HistGradientBoostingClassifier", "HistGradientBoostingRegressor"), split_boosting),
    **dict.fromkeys(("LGBMClassifier", "LGBMRegressor"), _split_lightgbm),
    **dict.fromkeys(("LogisticRegression", "LinearRegression", "Ridge", "Lasso"), _split_linear),
}
"""By class name: LightGBM is installed only for use cases that need it."""
