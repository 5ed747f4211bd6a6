"""Which of several: the label is one of the declared classes, the prediction is a probability for each of them.

Labels are positions in `Label.classes`, so that every library is fitted on 0, 1, 2 and columns have one fixed order.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mlops.contract import DataError, Metrics, Policy, Value
from mlops.questions.base import Sums, group_means
from mlops.questions.columns import figure_columns
from mlops.questions.figures import Curve, FigureNames, MetricColumn
from mlops.questions.probabilities import ProbabilityQuestion, draw_event_curves, log_losses, plausible_rates
from mlops.questions.ranking import Array, measure_order

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from sklearn.pipeline import Pipeline

_BINS = 10
_DRAWN = 6
"""Largest number of classes that have curves of their own."""
_SUM_ERROR = 1e-3
"""Largest distance of a row's probabilities from 1 that rounding to single precision explains."""


class ClassesQuestion(ProbabilityQuestion):
    """Loss is log-loss, ranking is the mean AUC of each class against the rest, the gap is that of the confidence."""

    names = FigureNames(
        ranking="macro_auc",
        loss="log_loss",
        gap="confidence_gap",
        ranking_words="macro AUC",
        loss_words="log-loss",
        gap_words="confidence gap",
        gap_meaning="mean probability of the predicted class minus the share of right predictions",
        gap_sentence="probabilities are {gap} off the shares of the labels",
        gap_rule="calibration",
        level="accuracy",
        known_figures={"accuracy": "accuracy"},
        gap_sides=("it is less sure than it is right", "it is surer than it is right"),
    )
    label_type = "string"
    score_column = "probabilities"
    answer = "a probability for each class"

    @property
    def classes(self) -> tuple[str, ...]:
        """The declared classes."""
        return self.label.classes

    def encode_labels(self, labels: pd.Series[Any]) -> pd.Series[float]:
        """Convert text to positions in `Label.classes`; a label that is none of them is refused."""
        text = labels.where(labels.isna(), labels.astype("str"))
        wrong = text[text.notna() & ~text.isin(self.classes)]
        if len(wrong):
            raise self._refuse_labels(wrong, int(text.notna().sum()), f"one of {', '.join(self.classes)}")
        codes = text.map({name: float(code) for code, name in enumerate(self.classes)})
        return codes.astype("float64")

    def check_training(self, y: pd.Series[float], where: str) -> None:
        """As `Question`; every declared class has to be there."""
        lacking = [name for code, name in enumerate(self.classes) if not (y == code).any()]
        if lacking:
            raise DataError(
                f"none of the {len(y)} matured labels {where} is {' or '.join(lacking)}, and a model learns only the "
                f"classes that it sees: land more days, or take the class out of the label's classes"
            )

    def predict_scores(self, pipeline: Pipeline, inputs: pd.DataFrame) -> Array:
        """Probability of each class, columns as `Label.classes`, shape (n_rows, n_classes)."""
        scores = np.zeros((len(inputs), len(self.classes)))
        scores[:, np.asarray(pipeline.classes_, "int64")] = pipeline.predict_proba(inputs)
        return scores

    def describe_odd_scores(self, p: Array) -> str:
        """As `Question`; scores of a row are probabilities with sum 1."""
        whole = np.abs(p.sum(axis=1) - 1) <= _SUM_ERROR
        return "" if ((p >= 0) & (p <= 1)).all() and whole.all() else "are no probabilities with sum 1"

    def score_shape(self, rows: int) -> tuple[int, ...]:
        """As `Question`."""
        return rows, len(self.classes)

    @property
    def score_columns(self) -> tuple[tuple[str, Any, str], ...]:
        """The predicted class, and all probabilities by class, from which quality is measured."""
        return (
            ("prediction", "string", self.prediction_comment),
            (self.score_column, "map", "Probability by class"),
        )

    @property
    def prediction_comment(self) -> str:
        """As `Question`."""
        return "Most probable class of"

    def pack_scores(self, p: Array) -> dict[str, Any]:
        """As `Question`. A map by name stays right when classes are added or change their order."""
        names = np.array(self.classes, "object")
        return {
            "prediction": names[p.argmax(axis=1)],
            self.score_column: [dict(zip(self.classes, row, strict=True)) for row in p.tolist()],
        }

    def unpack_scores(self, column: pd.Series[Any]) -> Array:
        """As `Question`; a class that a version did not know has probability 0."""
        rows = [[dict(row).get(name, 0.0) for name in self.classes] for row in column]
        return np.array(rows, "float64").reshape(-1, len(self.classes))

    def _wrong_values(self, y: Array, p: Array) -> Sequence[tuple[str, Array]]:
        return (
            ("predictions lie outside 0..1", (p < 0) | (p > 1)),
            ("predictions do not add up to 1", np.abs(p.sum(axis=1) - 1) > _SUM_ERROR),
            ("labels are no position of a class", ~np.isin(y, np.arange(len(self.classes)))),
        )

    def _check_variety(self, y: Array) -> None:
        if y.min() == y.max():
            name = self.classes[int(y[0])]
            raise DataError(f"all {len(y)} labels are {name}: quality can only be measured on several classes")

    def compute_metrics(self, y: ArrayLike, p: ArrayLike) -> Metrics:
        """As `Question`; classes without a row do not count in the ranking figure."""
        y, p = self.check_arrays(y, p)
        loss = float(self.row_losses(y, p).mean())
        shares = np.bincount(y.astype("int64"), minlength=len(self.classes)) / len(y)
        entropy = float(-(shares[shares > 0] * np.log(shares[shares > 0])).sum())
        aucs = [measure_order((y == code).astype("int64"), p[:, code]) for code in np.flatnonzero(shares)]
        gap = self.compute_gap(y, p)
        figures = {
            "rows": len(y), "classes": len(aucs), "macro_auc": float(np.mean(aucs)), "log_loss": loss,
            "skill": 1 - loss / entropy, "confidence_gap": gap,
            "class_gap": float(np.abs(p.mean(axis=0) - shares).max()), "accuracy": self.compute_level(y, p),
        }  # fmt: skip
        return Metrics(len(y), figures["macro_auc"], loss, figures["skill"], gap, figures)

    def row_losses(self, y: Array, p: Array) -> Array:
        """Log-loss, nats."""
        return log_losses(p[np.arange(len(y)), y.astype("int64")])

    def list_orders(self, y: Array, p: Array) -> list[tuple[Array, Array]]:
        """Each class against the rest; a class that is not there has no order."""
        return [((y == code).astype("float64"), p[:, code]) for code in range(len(self.classes))]

    def row_residuals(self, y: Array, p: Array) -> Array:
        """Probability of the predicted class, minus 1 where it is right."""
        return np.asarray(p.max(axis=1) - (p.argmax(axis=1) == y))

    def worst_gap(self, metrics: Metrics) -> float:
        """The gap of the confidence, or of the class whose predicted share is furthest off, whichever is larger."""
        return max(abs(metrics.gap), metrics.figures["class_gap"])

    def row_expected_losses(self, p: Array) -> Array:
        """Entropy of each prediction, nats."""
        p = np.clip(np.asarray(p, "float64"), 1e-12, 1)
        return np.asarray(-(p * np.log(p)).sum(axis=1))

    def has_enough(self, sums: Sums, policy: Policy) -> bool:
        """Enough rows, and enough of the rarest class that is there: it decides how uncertain the macro AUC is."""
        counts = [count for name in self.classes if (count := sums[f"label {name}"])]
        return (
            sums["labelled"] >= policy.slice_min_rows and len(counts) > 1 and min(counts) >= policy.slice_min_positives
        )

    def describe_rows(self, y: Array) -> str:
        """As `Question`."""
        counts = np.bincount(y.astype("int64"), minlength=len(self.classes))
        return ", ".join(f"{count} are {name}" for name, count in zip(self.classes, counts, strict=True))

    def explain_implausible(self, sums: Sums, factor: float) -> str:
        """The odds of each class may differ from the predicted odds by `factor`, plus three standard errors."""
        for name in self.classes:
            expected, rate = sums[f"predicted {name}"] / sums["rows"], sums[f"label {name}"] / sums["labelled"]
            low, high = plausible_rates(expected, int(sums["labelled"]), factor)
            if not low <= rate <= high:
                return (
                    f"share of labels that are {name} is {rate:.3f}, the predicted share is {expected:.3f}; {low:.3f} "
                    f"to {high:.3f} is allowed"
                )
        return ""

    def row_levels(self, y: Array, p: Array) -> Array:
        """1 where the most probable class is the label."""
        return np.asarray(p.argmax(axis=1) == y, "float64")

    def row_expected_levels(self, p: Array) -> Array:
        """Probability of the most probable class."""
        return np.asarray(p.max(axis=1))

    def list_prediction_terms(self, p: Array) -> dict[str, Array]:
        """As `Question`."""
        own = {f"predicted {name}": p[:, code] for code, name in enumerate(self.classes)}
        return {**super().list_prediction_terms(p), **own}

    def list_label_terms(self, y: Array) -> dict[str, Array]:
        """As `Question`."""
        return {f"label {name}": (y == code).astype("float64") for code, name in enumerate(self.classes)}

    def compute_skill(self, sums: Sums) -> float:
        """As `Question`."""
        shares = np.array([sums[f"label {name}"] for name in self.classes]) / sums["labelled"]
        return 1 - sums["loss"] / sums["labelled"] / self.estimate_loss(shares[None])

    def metric_columns(self) -> tuple[MetricColumn, ...]:
        """As `Question`."""
        return figure_columns(
            self.names,
            levels=("Share of rows whose most probable class is the label", "Mean probability of that class"),
            ranking="Mean area under the ROC curve of each class against the rest",
            loss="Mean log-loss",
            unit=", nats",
            gap="Mean probability of the most probable class - share of rows where it is the label",
        )

    def _decide(self, p: Array, value: Value) -> Array:
        del value
        return np.asarray(p.argmax(axis=1))

    def draw_curves(self, y: Array, scores: Mapping[str, Array]) -> list[Curve]:
        """Share of right predictions over their probability, shares of classes, and the curves of single classes."""
        confidence, shares = {}, {}
        for who, p in scores.items():
            best, right = p.max(axis=1), p.argmax(axis=1) == y
            parts = np.array_split(np.argsort(best, kind="stable"), min(_BINS, len(y)))
            confidence[who] = (group_means(best, parts), group_means(right, parts))
            actual = np.bincount(y.astype("int64"), minlength=len(self.classes)) / len(y)
            shares[who] = (p.mean(axis=0), actual)
        return [
            Curve(
                "calibration",
                "Confidence",
                "mean probability",
                "share of right predictions",
                confidence,
                "points",
                diagonal=True,
            ),
            Curve(
                "classes", "Shares of classes", "mean prediction", "share of labels", shares, "points", diagonal=True
            ),
            *self._draw_class_curves(y, scores),
        ]

    def _draw_class_curves(self, y: Array, scores: Mapping[str, Array]) -> Iterator[Curve]:
        """Draw each of the most frequent classes against the rest."""
        counts = np.bincount(y.astype("int64"), minlength=len(self.classes))
        for code in sorted(np.argsort(-counts, kind="stable")[:_DRAWN]):
            if 0 < counts[code] < len(y):
                own = {who: p[:, code] for who, p in scores.items()}
                yield from draw_event_curves((y == code).astype("int64"), own, self.classes[code], f"_{code}")

    def daily_level(self, y: Array, p: Array) -> tuple[str, Array, Array]:
        """The share of the most frequent class."""
        code = int(np.bincount(y.astype("int64")).argmax())
        return f"share of {self.classes[code]}", (y == code).astype("float64"), p[:, code]
