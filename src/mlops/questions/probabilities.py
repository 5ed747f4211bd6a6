"""Loss of predicted probabilities."""

from __future__ import annotations

import numpy as np

from mlops.questions.base import Array

_EPSILON = float(np.finfo("float64").eps)
"""Lower clip of P(true class), so that log-loss stays finite."""


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
