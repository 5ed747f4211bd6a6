"""Results: metrics, rules, the gate's case and verdict, and the decision to retrain."""

from __future__ import annotations

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
    """Quality on one set of matured rows."""

    rows: int
    positives: int
    auc: float
    log_loss: float
    skill: float
    """1 - log-loss / entropy of the base rate."""
    calibration_gap: float
    """Mean prediction - mean label."""


@dataclass(frozen=True, eq=False)
class GateCase:
    """What a rule of `Policy.extra_rules` may read: the holdout and both versions' predictions for it.

    Row i of every array and of `slices` is the same matured entity. The arrays are read-only.
    """

    labels: np.ndarray[Any, Any]
    """1 or 0, shape (n_rows,)."""
    days: np.ndarray[Any, Any]
    """UTC day of the event, datetime64[D], shape (n_rows,)."""
    slices: pd.DataFrame
    """The feature columns that `Policy.slices` names, n_rows rows; a copy."""
    challenger: Metrics
    challenger_predictions: np.ndarray[Any, Any]
    """Predicted probabilities of 1, shape (n_rows,)."""
    champion: Metrics | None
    """None: there is no champion yet."""
    champion_predictions: np.ndarray[Any, Any] | None
    """As `challenger_predictions`; None: there is no champion yet."""
