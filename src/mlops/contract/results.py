"""Results: metrics, rules, the gate's case and verdict, and the decision to retrain."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd


@dataclass(frozen=True)
class Rule:
    """The result of one rule: whether it passed, its figure, the limit of the figure and the reason in a sentence."""

    name: str
    passed: bool
    value: float | None
    limit: float | None
    reason: str


@dataclass(frozen=True)
class Verdict:
    """The gate's answer: the result of every rule, in the order of the report."""

    rules: tuple[Rule, ...]

    @property
    def is_accepted(self) -> bool:
        """True only if there are rules and every one passed."""
        return bool(self.rules) and all(rule.passed for rule in self.rules)


@dataclass(frozen=True)
class Decision:
    """Whether retraining is due. A rule that did not pass asks for a retraining."""

    due: bool
    rules: tuple[Rule, ...]


@dataclass(frozen=True)
class Metrics:
    """Quality on one set of matured rows, whatever the kind of question."""

    rows: int
    ranking: float
    """binary: AUC. classes: macro AUC, one class against the rest. number: concordance. 0.5 is chance, 1 the best."""
    loss: float
    """binary and classes: log-loss, nats. number: mean absolute error, in the label's unit."""
    skill: float
    """1 - loss / loss of the best constant prediction. number: the share of the label's variance that is explained."""
    gap: float
    """binary: mean prediction - mean label. classes: mean probability of the predicted class - share of right ones.
    number: (sum of predictions - sum of labels) / sum of |labels|."""
    figures: Mapping[str, float]
    """All figures by the names of the kind of question, such as `auc`, `log_loss` and `average_precision`."""


@dataclass(frozen=True, eq=False)
class GateCase:
    """What a rule of `Policy.extra_rules` may read: the holdout and both versions' predictions for it.

    Row i of every array and of `slices` is the same matured entity. The arrays are read-only.
    """

    labels: np.ndarray[Any, Any]
    """binary: 1 or 0. classes: position in `Label.classes`. number: the label. Shape (n_rows,)."""
    days: np.ndarray[Any, Any]
    """UTC day of the event, datetime64[D], shape (n_rows,)."""
    slices: pd.DataFrame
    """The feature columns that `Policy.slices` names, n_rows rows; a copy."""
    challenger: Metrics
    challenger_predictions: np.ndarray[Any, Any]
    """binary: probabilities of 1; number: predicted numbers; both of shape (n_rows,). classes: probabilities, columns
    as `Label.classes`, shape (n_rows, n_classes)."""
    champion: Metrics | None
    """None: there is no champion yet."""
    champion_predictions: np.ndarray[Any, Any] | None
    """As `challenger_predictions`; None: there is no champion yet."""
