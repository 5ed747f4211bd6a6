"""Protocol of a kind of question, and the code that all kinds share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import pandas as pd

from mlops.contract import DataError, Label, Metrics, Policy, Value

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from sklearn.pipeline import Pipeline

Array = np.ndarray[Any, Any]
ScoreType = Literal["double", "map"]


@dataclass(frozen=True)
class FigureNames:
    """Names of a kind's ranking, loss and gap: in metrics, rules and columns, and in sentences."""

    ranking: str
    loss: str
    gap: str
    ranking_words: str
    loss_words: str
    gap_words: str
    gap_meaning: str
    gap_sentence: str
    """With the place `{gap}`, as in "mean prediction is {gap} off the mean label"."""
    gap_rule: str
    """Name of the gate's rule and of the alert on the gap."""
    level: str
    """Name of what the gap compares: the column `<level>` for labels, `expected_<level>` for predictions."""
    known_figures: Mapping[str, str]
    """Words of the further figures that people of this kind know, by name in `Metrics.figures`."""
    gap_sides: tuple[str, str] = ("it predicts too little", "it predicts too much")
    """What a gap below 0 means, and what one above 0 does."""

    def describe_side(self, gap: float) -> str:
        """Say which way a gap goes, in brackets; "" for one that is printed as 0.0000."""
        return f" ({self.gap_sides[gap > 0]})" if round(gap, 4) else ""


@dataclass(frozen=True)
class MetricColumn:
    """A column of the table `metrics`."""

    field: str
    """Name of the figure in the code, which is the same for every kind."""
    name: str
    comment: str
    type: Literal["long", "double"] = "double"


@dataclass(frozen=True)
class Curve:
    """A plot of one line or cloud of points per model."""

    name: str
    title: str
    x: str
    y: str
    lines: Mapping[str, tuple[Array, Array]]
    """Points by name of the model."""
    style: Literal["line", "points", "cloud"] = "line"
    diagonal: bool = False
    """Whether a perfect model lies on x = y."""


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

    @abstractmethod
    def draw_ranking(self, y: Array, p: Array, day: Array, drawn: Array) -> Array:
        """Ranking figure of each replicate, shape (replicates,); arguments as `ranking.draw_order`."""

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
        del y
        return 1.0

    def worst_gap(self, metrics: Metrics) -> float:
        """The gap that the gate limits."""
        return abs(metrics.gap)

    def estimate_loss(self, p: Array) -> float:
        """Mean loss if the predictions are calibrated; NaN: it cannot be computed from predictions of this kind."""
        del p
        return float("nan")

    @abstractmethod
    def is_measurable(self, y: Array, policy: Policy) -> bool:
        """Whether a group of rows is large enough for its ranking figure to be judged."""

    @abstractmethod
    def describe_minimum(self, policy: Policy) -> str:
        """Describe what `is_measurable` requires."""

    @abstractmethod
    def describe_rows(self, y: Array) -> str:
        """Describe the labels of the holdout; the words follow "have a prediction and a label, on D of D days; "."""

    @abstractmethod
    def describe_implausible(self, y: Array, p: Array, factor: float) -> str:
        """Say why labels cannot be right, given the predictions; "" if they can.

        Args:
            y: the labels that have come.
            p: scores of all rows, with or without label.
            factor: `Policy.drift_factor`.
        """

    def compute_level(self, y: Array, p: Array) -> float:
        """The level of the labels, which the gap compares with `compute_expected_level`."""
        del p
        return float(y.mean())

    def compute_expected_level(self, p: Array) -> float:
        """The level that the predictions expect."""
        return float(p.mean())

    def count_positives(self, y: Array) -> int:
        """Number of labels that are 1; 0 for kinds without the column `positives`."""
        del y
        return 0

    def other_figures(self, y: Array, p: Array) -> dict[str, float]:
        """Figures of this kind alone, by column of the table `metrics`."""
        del y, p
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


def group_means(values: Array, parts: Sequence[Array]) -> Array:
    """Mean of the values at each part's positions, shape (n_parts,)."""
    return np.array([values[part].mean() for part in parts])
