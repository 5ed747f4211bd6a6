"""Yes or no: the label is 1 or 0, the prediction is the probability of 1."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mlops.contract import DataError, Metrics, Policy, Value
from mlops.questions.base import Sums
from mlops.questions.columns import figure_columns
from mlops.questions.figures import Curve, FigureNames, MetricColumn
from mlops.questions.precision import average_precision
from mlops.questions.probabilities import ProbabilityQuestion, draw_event_curves, log_losses, plausible_rates
from mlops.questions.ranking import Array, measure_order

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from sklearn.pipeline import Pipeline


class BinaryQuestion(ProbabilityQuestion):
    """Loss is log-loss, ranking is AUC, the gap is mean prediction - mean label."""

    names = FigureNames(
        ranking="auc",
        loss="log_loss",
        gap="calibration_gap",
        ranking_words="AUC",
        loss_words="log-loss",
        gap_words="calibration gap",
        gap_meaning="mean prediction minus mean label",
        gap_sentence="mean prediction is {gap} off the mean label",
        gap_rule="calibration",
        level="rate",
        known_figures={"average_precision": "average precision"},
    )
    answer = "a probability"

    def encode_labels(self, labels: pd.Series[Any]) -> pd.Series[float]:
        """As `Question`; a label is 1 or 0."""
        wrong = labels[labels.notna() & ~labels.isin([0, 1])]
        if len(wrong):
            raise self._refuse_labels(wrong, int(labels.notna().sum()), "1 or 0")
        return labels.astype("float64")

    def check_training(self, y: pd.Series[float], where: str) -> None:
        """As `Question`; both classes have to be there."""
        if y.nunique() == 1:
            raise DataError(
                f"all {len(y)} matured labels {where} are {y.iloc[0]:.0f}, and a model needs both 1 and 0: check the "
                f"rows of {self.label.source} and the label's SQL, or land more days"
            )

    def predict_scores(self, pipeline: Pipeline, inputs: pd.DataFrame) -> Array:
        """Probability of 1, shape (n_rows,)."""
        return np.asarray(pipeline.predict_proba(inputs)[:, 1])

    def describe_odd_scores(self, p: Array) -> str:
        """As `Question`; a score is a probability."""
        return "" if ((p >= 0) & (p <= 1)).all() else "are no probabilities"

    @property
    def prediction_comment(self) -> str:
        """As `Question`."""
        return "Probability of"

    def _wrong_values(self, y: Array, p: Array) -> Sequence[tuple[str, Array]]:
        return (
            ("predictions lie outside 0..1", (p < 0) | (p > 1)),
            ("labels are neither 0 nor 1", (y != 0) & (y != 1)),
        )

    def _check_variety(self, y: Array) -> None:
        if y.min() == y.max():
            raise DataError(f"all {len(y)} labels are {y[0]:.0f}: quality can only be measured on both classes")

    def compute_metrics(self, y: ArrayLike, p: ArrayLike) -> Metrics:
        """As `Question`; equal predictions share their rank. The best constant prediction is the base rate."""
        y, p = self.check_arrays(y, p)
        base, loss = y.mean(), self.row_losses(y, p).mean()
        entropy = -(base * np.log(base) + (1 - base) * np.log1p(-base))
        auc, gap = measure_order(y.astype("int64"), p), float(p.mean() - base)
        figures = {
            "rows": len(y), "positives": int(y.sum()), "auc": auc, "log_loss": float(loss),
            "skill": float(1 - loss / entropy), "calibration_gap": gap, "average_precision": average_precision(y, p),
        }  # fmt: skip
        return Metrics(len(y), auc, float(loss), figures["skill"], gap, figures)

    def row_losses(self, y: Array, p: Array) -> Array:
        """Log-loss, nats."""
        return log_losses(np.where(y == 1, p, 1 - p))

    def row_residuals(self, y: Array, p: Array) -> Array:
        """Prediction - label."""
        return p - y

    def find_gap_reference(self, sums: Sums) -> float:
        """The base rate, so that a gap of 0.01 counts more for an event of 1 % than for one of 30 %."""
        return sums["positives"] / sums["labelled"]

    def row_expected_losses(self, p: Array) -> Array:
        """Entropy of each prediction, nats."""
        p = np.clip(np.asarray(p, "float64"), 1e-12, 1 - 1e-12)
        return np.asarray(-(p * np.log(p) + (1 - p) * np.log1p(-p)))

    def has_enough(self, sums: Sums, policy: Policy) -> bool:
        """Enough rows, and enough of each class: the rarer class decides how uncertain an AUC is."""
        rows, positives = sums["labelled"], sums["positives"]
        return rows >= policy.slice_min_rows and min(positives, rows - positives) >= policy.slice_min_positives

    def describe_rows(self, y: Array) -> str:
        """As `Question`."""
        return f"{int(y.sum())} are positive"

    def explain_implausible(self, sums: Sums, factor: float) -> str:
        """The odds of label 1 may differ from the predicted odds by `factor`, plus three standard errors."""
        rate, expected = sums["positives"] / sums["labelled"], sums["expected_level"] / sums["rows"]
        low, high = plausible_rates(expected, int(sums["labelled"]), factor)
        if low <= rate <= high:
            return ""
        return (
            f"share of labels that are 1 is {rate:.3f}, the predicted share is {expected:.3f}; {low:.3f} to {high:.3f} "
            "is allowed"
        )

    def other_figures(self, y: Array, p: Array) -> dict[str, float]:
        """As `Question`."""
        return {"average_precision": average_precision(y, p), **super().other_figures(y, p)}

    def list_label_terms(self, y: Array) -> dict[str, Array]:
        """As `Question`."""
        return {"positives": y}

    def list_error_terms(self, y: Array, p: Array) -> dict[str, Array]:
        """As `Question`."""
        return {**super().list_error_terms(y, p), "squared": (p - y) ** 2}

    def compute_skill(self, sums: Sums) -> float:
        """As `Question`."""
        return 1 - sums["loss"] / sums["labelled"] / self.estimate_loss(np.array([self.find_gap_reference(sums)]))

    def compute_others(self, sums: Sums) -> dict[str, float]:
        """As `Question`."""
        precision = {name: sums[name] for name in ("average_precision",) if name in sums}
        return {**precision, "brier": sums["squared"] / sums["labelled"]}

    def metric_columns(self) -> tuple[MetricColumn, ...]:
        """As `Question`."""
        return figure_columns(
            self.names,
            levels=("Mean label", "Mean prediction"),
            ranking="Area under the ROC curve",
            loss="Mean log-loss",
            unit=", nats",
            gap="Mean prediction - mean label",
            counts=(MetricColumn("positives", "positives", "Of them with label 1", "long"),),
            others=(
                MetricColumn("average_precision", "average_precision", "Mean precision over recall"),
                MetricColumn("brier", "brier", "Mean squared error"),
            ),
        )

    def _decide(self, p: Array, value: Value) -> Array:
        return np.asarray(p >= value.threshold, "int64")

    def draw_curves(self, y: Array, scores: Mapping[str, Array]) -> list[Curve]:
        """Calibration, and precision over recall, which says more than a ROC curve for rare events."""
        return draw_event_curves(y, scores)
