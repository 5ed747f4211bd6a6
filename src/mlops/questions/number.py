"""How much: the label and the prediction are numbers in one unit.

The loss is the absolute error: it has the label's unit, and one extreme row does not decide a verdict. (Rejected: the
squared error, whose differences over a month are those of a few rows.) The absolute error rewards predicting the
median. So the gap compares the sum of the predictions with the sum of the labels, and the skill is the explained share
of the variance, which is low for a model that predicts the median of skewed labels.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mlops.contract import DataError, Metrics, Policy
from mlops.questions.base import Question, Sums, group_means
from mlops.questions.columns import figure_columns
from mlops.questions.figures import Curve, FigureNames, MetricColumn
from mlops.questions.ranking import Array, group_labels, measure_order

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from sklearn.pipeline import Pipeline

_POINTS = 2000
"""Largest number of points of a plot."""
_BINS = 20


class NumberQuestion(Question):
    """Loss is the absolute error, ranking is concordance, the gap is the bias relative to the sum of |labels|."""

    names = FigureNames(
        ranking="concordance",
        loss="absolute_error",
        gap="bias",
        ranking_words="concordance",
        loss_words="mean absolute error",
        gap_words="bias",
        gap_meaning="sum of predictions minus sum of labels, as a share of the sum of |labels|",
        gap_sentence="predictions are {gap} off the labels, as a share of the mean size of a label",
        gap_rule="bias",
        level="mean",
        known_figures={"root_mean_squared_error": "root mean squared error"},
    )
    method = "predict"
    skill_words = "explained share of the variance"
    answer = "a number"
    has_expected_loss = False

    def encode_labels(self, labels: pd.Series[Any]) -> pd.Series[float]:
        """As `Question`; a label is a finite number."""
        numbers = labels.astype("float64")
        wrong = numbers[numbers.notna() & ~np.isfinite(numbers)]
        if len(wrong):
            raise self._refuse_labels(wrong, int(numbers.notna().sum()), "a finite number")
        return numbers

    def check_training(self, y: pd.Series[float], where: str) -> None:
        """As `Question`; at least two different labels have to be there."""
        if y.nunique() == 1:
            raise DataError(
                f"all {len(y)} matured labels {where} are {y.iloc[0]:g}, and a model needs different ones: check the "
                f"rows of {self.label.source} and the label's SQL, or land more days"
            )

    def training_target(self, y: pd.Series[float]) -> pd.Series[Any]:
        """The labels as they are."""
        return y.astype("float64")

    def predict_scores(self, pipeline: Pipeline, inputs: pd.DataFrame) -> Array:
        """The predicted number, shape (n_rows,)."""
        return np.asarray(pipeline.predict(inputs), "float64")

    def describe_odd_scores(self, p: Array) -> str:
        """As `Question`; a score is a finite number."""
        return "" if np.isfinite(p).all() else "are no finite numbers"

    @property
    def prediction_comment(self) -> str:
        """As `Question`."""
        return "Predicted number for"

    def _wrong_values(self, y: Array, p: Array) -> Sequence[tuple[str, Array]]:
        del p
        return (("labels are missing or infinite", ~np.isfinite(y)),)

    def _check_variety(self, y: Array) -> None:
        if not _varies(y):
            raise DataError(f"all {len(y)} labels are {y[0]:g}: quality can only be measured on different labels")

    def compute_metrics(self, y: ArrayLike, p: ArrayLike) -> Metrics:
        """As `Question`; the skill is the share of the variance of these labels that is explained."""
        y, p = self.check_arrays(y, p)
        loss, order, gap = float(np.abs(p - y).mean()), measure_order(group_labels(y), p), self.compute_gap(y, p)
        squared = float(((p - y) ** 2).mean())
        skill = float(1 - squared / y.var())
        figures = {
            "rows": len(y), "concordance": order, "absolute_error": loss, "skill": skill, "bias": gap,
            "root_mean_squared_error": float(np.sqrt(squared)),
        }  # fmt: skip
        return Metrics(len(y), order, loss, skill, gap, figures)

    def row_losses(self, y: Array, p: Array) -> Array:
        """Absolute error, in the label's unit."""
        return np.asarray(np.abs(p - y))

    def row_residuals(self, y: Array, p: Array) -> Array:
        """Prediction - label."""
        return p - y

    def row_scales(self, y: Array) -> Array:
        """|label|, so that the gap has no unit, for labels of both signs too."""
        return np.asarray(np.abs(y))

    def is_measurable(self, y: Array, policy: Policy) -> bool:
        """As `Question`."""
        varies = _varies(y) and group_labels(y).max() > 0
        return self.has_enough({"labelled": len(y), "pairs": float(varies)}, policy)

    def has_enough(self, sums: Sums, policy: Policy) -> bool:
        """Enough rows, and pairs of different labels."""
        return sums["labelled"] >= max(policy.slice_min_rows, 2) and sums["pairs"] > 0

    def describe_minimum(self, policy: Policy) -> str:
        """As `Question`."""
        return f"{policy.slice_min_rows} rows with different labels"

    def describe_rows(self, y: Array) -> str:
        """As `Question`."""
        return f"the labels go from {y.min():g} to {y.max():g}"

    def explain_implausible(self, sums: Sums, factor: float) -> str:
        """The mean |label| may differ from the mean |prediction| by `factor`, plus three standard errors."""
        rows = sums["labelled"]
        actual, expected = sums["size"] / rows, sums["predicted_size"] / sums["rows"]
        chance = 3 * math.sqrt(max(sums["squared_label"] / rows - actual**2, 0) / rows)
        low, high = expected / factor - chance, expected * factor + chance
        if low <= actual <= high:
            return ""
        return (
            f"mean size of the labels is {actual:.4g}, of the predictions {expected:.4g}; {low:.4g} to "
            f"{high:.4g} is allowed"
        )

    def list_prediction_terms(self, p: Array) -> dict[str, Array]:
        """As `Question`."""
        return {**super().list_prediction_terms(p), "predicted_size": np.abs(p)}

    def list_label_terms(self, y: Array) -> dict[str, Array]:
        """As `Question`."""
        return {"size": np.abs(y), "squared_label": y**2}

    def list_error_terms(self, y: Array, p: Array) -> dict[str, Array]:
        """As `Question`."""
        return {**super().list_error_terms(y, p), "squared": (p - y) ** 2}

    def compute_skill(self, sums: Sums) -> float:
        """As `Question`; NaN if rounding leaves the labels no variance."""
        rows = sums["labelled"]
        variance = sums["squared_label"] / rows - (sums["level"] / rows) ** 2
        return 1 - sums["squared"] / rows / variance if variance > 0 else math.nan

    def compute_others(self, sums: Sums) -> dict[str, float]:
        """As `Question`."""
        return {"root_mean_squared_error": math.sqrt(sums["squared"] / sums["labelled"])}

    def metric_columns(self) -> tuple[MetricColumn, ...]:
        """As `Question`; there is no expected loss, since a predicted number does not tell how far off it may be."""
        unit = ", in the unit of the label"
        rmse = "root_mean_squared_error"
        return figure_columns(
            self.names,
            levels=("Mean label", "Mean prediction"),
            ranking="Share of pairs of rows with different labels that the predictions put in the right order",
            loss="Mean absolute error",
            unit=unit,
            gap="(Sum of predictions - sum of labels) / sum of |labels|",
            others=(MetricColumn(rmse, rmse, f"Root of the mean squared error{unit}"),),
            has_expected_loss=self.has_expected_loss,
        )

    def baseline_estimators(self) -> tuple[Any, Any]:
        """The mean label, and a linear regression."""
        from sklearn.dummy import DummyRegressor
        from sklearn.linear_model import LinearRegression

        return DummyRegressor(), LinearRegression()

    def draw_curves(self, y: Array, scores: Mapping[str, Array]) -> list[Curve]:
        """Mean label over mean prediction of equally large groups, and single rows."""
        grouped, single = {}, {}
        for who, p in scores.items():
            parts = np.array_split(np.argsort(p, kind="stable"), min(_BINS, len(p)))
            grouped[who] = (group_means(p, parts), group_means(y, parts))
            rows = np.linspace(0, len(p) - 1, min(_POINTS, len(p))).astype("int64")
            single[who] = (p[rows], y[rows])
        return [
            Curve(
                "calibration", "Mean of twentieths", "mean prediction", "mean label", grouped, "points", diagonal=True
            ),
            Curve("rows", "Single rows", "prediction", "label", single, "cloud", diagonal=True),
        ]


def _varies(y: Array) -> bool:
    """Whether labels differ: equal ones may have a variance by rounding, and differences below 1e-154 have none."""
    return bool(y.min() < y.max() and y.var() > 0)
