"""What the machinery answers: rules, verdict, decision, figures."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Rule:
    """One rule of the gate, with the figure it looked at."""

    name: str
    passed: bool
    value: float | None
    limit: float | None
    reason: str


@dataclass(frozen=True)
class Verdict:
    """The gate's answer: every rule, passed or not."""

    rules: tuple[Rule, ...]

    @property
    def accepted(self) -> bool:
        """True only if there are rules and every one passed."""
        return bool(self.rules) and all(rule.passed for rule in self.rules)


@dataclass(frozen=True)
class Decision:
    """Whether retraining is due: every rule with its figure; a rule that did not pass is one that fired."""

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
