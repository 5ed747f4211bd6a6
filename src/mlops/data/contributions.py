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

type Owner = tuple[int, ...]
"""Positions of the features that an input of the model depends on."""

# Normalizer is none of them, though its outputs have the names of its inputs: it divides a row by the row's length.
_ONE_TO_ONE = (
    "Binarizer", "MaxAbsScaler", "MinMaxScaler", "OrdinalEncoder", "PowerTransformer", "QuantileTransformer",
    "RobustScaler", "StandardScaler", "TargetEncoder",
)  # fmt: skip
"""Transformers of scikit-learn that compute each output from the input at its place."""


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
    # A first step that keeps no names takes columns by position, so that those of the rows are the ones.
    features = [str(name) for name in getattr(pipeline, "feature_names_in_", inputs.columns)]
    steps = [step for _, step in pipeline.steps[:-1]]
    traced = _trace_steps(steps, [(place,) for place in range(len(features))], dense.shape[1])
    owners = [" + ".join(features[place] for place in owner) for owner in traced]
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


def _trace_steps(steps: Sequence[Any], owners: Sequence[Owner], size: int) -> list[Owner]:
    """Trace each of the outputs that some steps make one after the other, as `_trace_outputs`."""
    parts = [part for step in steps for part in _list_parts(step)]
    sizes = [*(getattr(part, "n_features_in_", None) for part in parts[1:]), size]
    for part, made in zip(parts, sizes, strict=False):
        owners = _trace_outputs(part, owners, made)
    return list(owners)


def _list_parts(step: Any) -> Iterator[Any]:
    """Yield the transformers of a step, which may be a pipeline or nothing."""
    from sklearn.pipeline import Pipeline

    if isinstance(step, Pipeline):
        for _, part in step.steps:
            yield from _list_parts(part)
    elif step is not None and not isinstance(step, str):  # "passthrough"
        yield step


def _trace_outputs(step: Any, owners: Sequence[Owner], size: int | None) -> list[Owner]:
    """Trace each output of a fitted transformer to the features that it depends on.

    An output belongs to one input only where the kind of step is known to compute it from that input. Numbers and names
    of outputs do not say so: PCA makes as many outputs as inputs, and Normalizer gives them the inputs' names.

    Args:
        step: a transformer.
        owners: the features of each input.
        size: number of outputs; None: the step tells it.
    """
    from sklearn.compose import ColumnTransformer

    if type(step) is ColumnTransformer:
        return [owner for _, owner in sorted(_trace_columns(step, owners), key=lambda item: item[0])]
    if size is None:
        try:
            size = len(step.get_feature_names_out())
        except AttributeError:
            raise ModelError(f"{type(step).__name__} does not name its outputs: they cannot be traced") from None
    own = _own_columns(step)
    if own is not None and len(own) == size:
        return [owners[place] for place in own]
    return [tuple(sorted({place for owner in owners for place in owner}))] * size


def _trace_columns(step: ColumnTransformer, owners: Sequence[Owner]) -> Iterator[tuple[int, Owner]]:
    """Yield position and owner of each output of a column transformer."""
    for name, part, _ in step.transformers_:
        place = step.output_indices_[name]
        if place.stop == place.start:
            continue
        # The columns as they were declared may be names, positions, a slice or a mask; these are positions always.
        taken = [owners[column] for column in step._transformer_to_input_indices[name]]  # noqa: SLF001
        made = _trace_steps([part], taken, place.stop - place.start)
        yield from zip(range(place.start, place.stop), made, strict=True)


def _own_columns(step: Any) -> Sequence[int] | None:
    """Return the position of the one input that each output is computed from; None: that is not known."""
    from sklearn import preprocessing
    from sklearn.feature_selection import SelectorMixin
    from sklearn.impute import SimpleImputer

    every = range(getattr(step, "n_features_in_", 0))
    if type(step) in {getattr(preprocessing, name) for name in _ONE_TO_ONE}:
        return every
    if type(step) is preprocessing.FunctionTransformer:
        return every if step.func is None or (isinstance(step.func, np.ufunc) and not step.func.signature) else None
    if type(step) is preprocessing.OneHotEncoder:
        return np.repeat(every, step._n_features_outs).tolist()  # noqa: SLF001
    if isinstance(step, SelectorMixin):
        chosen: list[int] = step.get_support(indices=True).tolist()
        return chosen
    if type(step) is SimpleImputer:
        keeps = step.strategy == "constant" or step.keep_empty_features
        kept = every if keeps else np.flatnonzero(~pd.isna(step.statistics_)).tolist()
        return [*kept, *(step.indicator_.features_.tolist() if step.add_indicator else ())]
    return None


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
