"""Code shared by the kinds of question whose predictions are probabilities."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from mlops.contract import Policy
from mlops.questions.base import Question
from mlops.questions.figures import Curve
from mlops.questions.ranking import Array

_BINS = 10
"""Number of equally large groups of rows that a calibration curve compares."""
_EPSILON = float(np.finfo("float64").eps)
"""Lower clip of P(true class), so that log-loss stays finite."""


class ProbabilityQuestion(Question):
    """A question that a classifier answers with `predict_proba`."""

    method = "predict_proba"

    def describe_minimum(self, policy: Policy) -> str:
        """As `Question`."""
        return f"{policy.slice_min_rows} rows and {policy.slice_min_positives} of each class"

    def baseline_estimators(self) -> tuple[Any, Any]:
        """The shares of the classes, and a logistic regression."""
        from sklearn.dummy import DummyClassifier
        from sklearn.linear_model import LogisticRegression

        return DummyClassifier(strategy="prior"), LogisticRegression(max_iter=1000)


def log_losses(true_class: Array) -> Array:
    """Log-loss of each row, nats, from the probability that was predicted for its true class; shape (n_rows,)."""
    return np.asarray(-np.log(np.maximum(true_class, _EPSILON)))


def plausible_rates(expected: float, rows: int, factor: float) -> tuple[float, float]:
    """Lowest and highest share of a class that is plausible for a predicted share `expected` over `rows` rows.

    The odds may differ by `factor`, plus three standard errors of a rate over as many rows.
    """
    odds = expected / (1 - expected) if expected < 1 else np.inf
    # Odds, not rates, are divided and multiplied, so that both ends stay within 0..1 and treat 0 and 1 alike.
    low, high = (bound / (1 + bound) if bound < np.inf else 1.0 for bound in (odds / factor, odds * factor))
    low, high = (rate + sign * 3 * np.sqrt(rate * (1 - rate) / max(rows, 1)) for rate, sign in ((low, -1), (high, 1)))
    return max(float(low), 0.0), min(float(high), 1.0)


def draw_event_curves(y: Array, scores: Mapping[str, Array], event: str = "", name: str = "") -> list[Curve]:
    """Draw calibration, and precision over recall, of the probability of one event.

    Args:
        y: 1 where it happened, else 0, shape (n_rows,); both occur.
        scores: its probability, by name of the model, each of shape (n_rows,).
        event: the event in words, for titles; empty: the label.
        name: ends the names of the curves.
    """
    from sklearn.calibration import calibration_curve
    from sklearn.metrics import precision_recall_curve

    calibration, precision = {}, {}
    for who, p in scores.items():
        observed, predicted = calibration_curve(y, p, n_bins=_BINS, strategy="quantile")
        calibration[who] = (predicted, observed)
        precise, recall, _ = precision_recall_curve(y, p)
        kept = np.linspace(0, len(recall) - 1, 200).astype("int64")
        precision[who] = (recall[kept], precise[kept])
    of = f" of {event}" if event else ""
    axes = ("mean prediction", "mean label")
    return [
        Curve(f"calibration{name}", f"Calibration{of}", *axes, calibration, "points", diagonal=True),
        Curve(f"precision_recall{name}", f"Precision over recall{of}", "recall", "precision", precision),
    ]
