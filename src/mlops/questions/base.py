"""Protocol of a kind of question, and the code that all kinds share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import pandas as pd

from mlops.contract import DataError, Label, Metrics, Policy, Value
from mlops.questions.figures import Curve, FigureNames, MetricColumn
from mlops.questions.ranking import Array, draw_order, group_labels, mean_known

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from sklearn.pipeline import Pipeline

ScoreType = Literal["double", "map"]
Sums = Mapping[str, float]
"""Sums over rows by name: rows, labelled, and those of the terms of a `Question`."""


@dataclass(frozen=True)
class Question(ABC):
    """A kind of question. Labels `y` are numbers, shape (n_rows,); scores `p` are the pipeline's, one row per label."""

    label: Label

    names: ClassVar[FigureNames]
    method: ClassVar[Literal["predict_proba", "predict"]]
    """Method of the pipeline that scores rows, also in a served version."""
    label_type: ClassVar[Literal["double", "string"]] = "double"
    """Type of the label in SQL."""
    skill_words: ClassVar[str] = "log-loss skill"
    score_column: ClassVar[str] = "prediction"
    """Column of the table of predictions from which scores are read back."""
    answer: ClassVar[str]
    """What is predicted, in words, as in "a probability"."""
    has_expected_loss: ClassVar[bool] = True
    """Whether the expected loss can be computed from predictions alone, before labels come."""

    # --- labels -------------------------------------------------------------------------------------------------------

    @abstractmethod
    def encode_labels(self, labels: pd.Series[Any]) -> pd.Series[float]:
        """Convert labels to numbers; missing ones stay missing.

        Raises:
            DataError: a label is not what this kind allows.
        """

    @abstractmethod
    def check_training(self, y: pd.Series[float], where: str) -> None:
        """Raise DataError if a model cannot be fitted on these labels, or measured on them; `where` names the rows."""

    def training_target(self, y: pd.Series[float]) -> pd.Series[Any]:
        """Convert numbers to what the pipeline is fitted on."""
        return y.astype("int64")

    def _refuse_labels(self, wrong: pd.Series[Any], rows: int, expected: str) -> DataError:
        values = ", ".join(f"{value:g}" if isinstance(value, float) else repr(value) for value in wrong.unique()[:3])
        return DataError(
            f"the label {self.label.name} has to be {expected}, and {len(wrong)} of {rows} rows have another value "
            f"(such as {values}): mend its SQL, {self.label.value!r}, in the use case"
        )

    # --- predictions --------------------------------------------------------------------------------------------------

    @abstractmethod
    def predict_scores(self, pipeline: Pipeline, inputs: pd.DataFrame) -> Array:
        """Score rows with a fitted pipeline; returns one score, or one array of class scores, per row of `inputs`."""

    @abstractmethod
    def describe_odd_scores(self, p: Array) -> str:
        """Describe what is wrong with scores of unusual rows, to follow "answers that"; "": nothing is wrong."""

    def score_shape(self, rows: int) -> tuple[int, ...]:
        """Shape of the scores of `rows` rows."""
        return (rows,)

    @property
    def score_columns(self) -> tuple[tuple[str, ScoreType | Literal["string"], str], ...]:
        """Name, type and comment of each column that predictions take in their table."""
        return (("prediction", "double", self.prediction_comment),)

    @property
    @abstractmethod
    def prediction_comment(self) -> str:
        """Comment of the column `prediction`, before the question."""

    def pack_scores(self, p: Array) -> dict[str, Any]:
        """Convert scores to the columns of their table."""
        return {"prediction": p}

    def unpack_scores(self, column: pd.Series[Any]) -> Array:
        """Convert the column `score_column` back to scores."""
        return column.to_numpy("float64")

    # --- quality ------------------------------------------------------------------------------------------------------

    def check_arrays(self, y: ArrayLike, p: ArrayLike) -> tuple[Array, Array]:
        """Convert labels and scores to arrays.

        Raises:
            DataError: there are no rows, lengths differ, or a label or a score is not what this kind allows.
        """
        y, p = np.asarray(y, "float64"), np.asarray(p, "float64")
        if y.ndim != 1 or p.shape != self.score_shape(len(y)):
            raise DataError(f"labels of shape {y.shape} do not fit predictions of shape {p.shape}: each row needs both")
        rows = len(y)
        if not rows:
            raise DataError("there is no matured row to measure on")
        for what, wrong in (
            ("predictions are missing or infinite", ~np.isfinite(p)),
            *self._wrong_values(y, p),
        ):
            broken = wrong.any(axis=1) if wrong.ndim == 2 else wrong
            if broken.any():
                raise DataError(f"{broken.sum()} of {rows} {what}, first in row {broken.argmax()}")
        self._check_variety(y)
        return y, p

    @abstractmethod
    def _wrong_values(self, y: Array, p: Array) -> Sequence[tuple[str, Array]]:
        """List the faults of labels and scores: words and the rows that have the fault."""

    @abstractmethod
    def _check_variety(self, y: Array) -> None:
        """Raise DataError if all labels are equal."""

    @abstractmethod
    def compute_metrics(self, y: ArrayLike, p: ArrayLike) -> Metrics:
        """Compute the quality of predictions; raises as `check_arrays`."""

    def describe_metrics(self, metrics: Metrics, expected_loss: float = float("nan")) -> str:
        """List the figures in words, the way that the gap goes too, as in "AUC 0.7407, log-loss 0.5183, …"."""
        names = self.names
        expected = f" (expected {expected_loss:.4f})" if np.isfinite(expected_loss) else ""
        figures = [
            f"{names.ranking_words} {metrics.ranking:.4f}",
            f"{names.loss_words} {metrics.loss:.4f}{expected}",
            f"{names.gap_words} {metrics.gap:+.4f}{names.describe_side(metrics.gap)}",
            f"{self.skill_words} {metrics.skill:.4f}",
            *(
                f"{words} {metrics.figures[name]:.4f}"
                for name, words in names.known_figures.items()
                if name in metrics.figures
            ),
        ]
        return ", ".join(figures)

    @abstractmethod
    def row_losses(self, y: Array, p: Array) -> Array:
        """Loss of each row, shape (n_rows,)."""

    def list_orders(self, y: Array, p: Array) -> list[tuple[Array, Array]]:
        """Labels and scores whose order the ranking figure measures, each of shape (n_rows,); it is their mean."""
        return [(y, p)]

    def draw_ranking(self, y: Array, p: Array, day: Array, drawn: Array) -> Array:
        """Ranking figure of each replicate, shape (replicates,), NaN where a draw has none; see `draw_order`."""
        orders = self.list_orders(y, p)
        return mean_known(np.array([draw_order(group_labels(label), score, day, drawn) for label, score in orders]))

    @abstractmethod
    def row_residuals(self, y: Array, p: Array) -> Array:
        """What each row adds to the gap, shape (n_rows,): the gap is sum(residuals) / sum(scales)."""

    def row_scales(self, y: Array) -> Array:
        """What each row adds to the denominator of the gap, shape (n_rows,)."""
        return np.ones(len(y))

    def compute_gap(self, y: Array, p: Array) -> float:
        """The gap between predictions and labels, with its sign."""
        return float(self.row_residuals(y, p).sum() / self.row_scales(y).sum())

    def gap_reference(self, y: Array) -> float:
        """The figure that a `Share` in a limit of the gap is relative to."""
        return self.find_gap_reference(self.sum_labels(y))

    def worst_gap(self, metrics: Metrics) -> float:
        """The gap that the gate limits."""
        return abs(metrics.gap)

    def row_expected_losses(self, p: Array) -> Array:
        """Loss of each row if the predictions are calibrated; NaN: predictions of this kind do not tell it."""
        return np.full(len(p), np.nan)

    def estimate_loss(self, p: Array) -> float:
        """Mean of `row_expected_losses`."""
        return float(self.row_expected_losses(p).mean())

    def is_measurable(self, y: Array, policy: Policy) -> bool:
        """Whether a group of rows is large enough for its ranking figure to be judged."""
        return self.has_enough(self.sum_labels(y), policy)

    @abstractmethod
    def describe_minimum(self, policy: Policy) -> str:
        """Describe what `is_measurable` requires."""

    @abstractmethod
    def describe_rows(self, y: Array) -> str:
        """Describe the labels of the holdout; the words follow "have a prediction and a label, on D of D days; "."""

    def describe_implausible(self, y: Array, p: Array, factor: float) -> str:
        """Say why labels cannot be right, given the predictions; "" if they can.

        Args:
            y: the labels that have come.
            p: scores of all rows, with or without label.
            factor: `Policy.drift_factor`.
        """
        sums = {"rows": len(p), **_sum_terms(self.list_prediction_terms(p)), **self.sum_labels(y)}
        return self.explain_implausible(sums, factor)

    def row_levels(self, y: Array, p: Array) -> Array:
        """What the level of the labels is the mean of; the gap compares it with `row_expected_levels`."""
        del p
        return y

    def row_expected_levels(self, p: Array) -> Array:
        """What the level that the predictions expect is the mean of."""
        return p

    def compute_level(self, y: Array, p: Array) -> float:
        """The level of the labels."""
        return float(self.row_levels(y, p).mean())

    def other_figures(self, y: Array, p: Array) -> dict[str, float]:
        """Figures of this kind alone, by column of the table `metrics`."""
        return self.compute_others(self.sum_labels(y) | _sum_terms(self.list_error_terms(y, p)))

    # --- sums, for rows that are too many to be held ------------------------------------------------------------------

    def list_prediction_terms(self, p: Array) -> dict[str, Array]:
        """What each prediction adds to the sums, by their names, each of shape (n_rows,)."""
        return {"expected_level": self.row_expected_levels(p), "expected_loss": self.row_expected_losses(p)}

    def list_label_terms(self, y: Array) -> dict[str, Array]:
        """As `list_prediction_terms`, of each label."""
        del y
        return {}

    def list_error_terms(self, y: Array, p: Array) -> dict[str, Array]:
        """As `list_prediction_terms`, of each label with its prediction."""
        return {
            "loss": self.row_losses(y, p), "residual": self.row_residuals(y, p), "scale": self.row_scales(y),
            "level": self.row_levels(y, p), "labelled_expected_loss": self.row_expected_losses(p),
        }  # fmt: skip

    def sum_labels(self, y: Array) -> dict[str, float]:
        """Sum up the terms of labels; `labelled` is their number."""
        return {"labelled": len(y), **_sum_terms(self.list_label_terms(y))}

    @abstractmethod
    def has_enough(self, sums: Sums, policy: Policy) -> bool:
        """As `is_measurable`, from sums of labels; `pairs`: how many pairs of labels the ranking figure compares."""

    @abstractmethod
    def explain_implausible(self, sums: Sums, factor: float) -> str:
        """As `describe_implausible`, from sums of all predictions and of the labels."""

    @abstractmethod
    def compute_skill(self, sums: Sums) -> float:
        """As `Metrics.skill`, from sums."""

    def find_gap_reference(self, sums: Sums) -> float:
        """As `gap_reference`, from sums of labels."""
        del sums
        return 1.0

    def compute_others(self, sums: Sums) -> dict[str, float]:
        """As `other_figures`, from sums."""
        del sums
        return {}

    @abstractmethod
    def metric_columns(self) -> tuple[MetricColumn, ...]:
        """Columns of the table `metrics` that hold figures, in their order; `columns.figure_columns` makes most."""

    # --- decisions ----------------------------------------------------------------------------------------------------

    def row_values(self, y: Array, p: Array, value: Value) -> Array:
        """Value of each row under the predicted decisions, in the unit of `value.matrix`, shape (n_rows,)."""
        matrix: Array = np.asarray(value.matrix, "float64")
        return np.asarray(matrix[y.astype("int64"), self._decide(p, value)])

    def _decide(self, p: Array, value: Value) -> Array:
        del p, value
        raise DataError(f"a label of kind {self.label.kind} has no decisions: take `value` out of the policy")

    # --- models and pages ---------------------------------------------------------------------------------------------

    @abstractmethod
    def baseline_estimators(self) -> tuple[Any, Any]:
        """Unfitted estimators: one that knows no feature, and a linear one."""

    @abstractmethod
    def draw_curves(self, y: Array, scores: Mapping[str, Array]) -> list[Curve]:
        """Curves of the quality of models on the same rows, for pages."""

    def daily_level(self, y: Array, p: Array) -> tuple[str, Array, Array]:
        """What the plot per day shows: its name, and its value for labels and for predictions, shape (n_rows,)."""
        return "mean", y, p


def _sum_terms(terms: Mapping[str, Array]) -> dict[str, float]:
    return {name: float(values.sum()) for name, values in terms.items()}


def group_means(values: Array, parts: Sequence[Array]) -> Array:
    """Mean of the values at each part's positions, shape (n_parts,)."""
    return np.array([values[part].mean() for part in parts])
