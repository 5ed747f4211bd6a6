"""What the gate judges: scores and serving checks of both versions, and the figures computed from them once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

import numpy as np
import pandas as pd

from mlops.contract import DataError, GateCase, Metrics, MlopsError, Policy
from mlops.modeling.coverage import Coverage
from mlops.questions import Array, Question, bootstrap_paired_days

SEED = 0
"""Seed of the bootstrap, fixed so that the same rows always get the same verdict."""


@dataclass(frozen=True)
class ServingChecks:
    """Measured properties of a version other than its quality."""

    problems: tuple[str, ...]
    """One sentence per input that differs from the features and per unusual value that gets no prediction."""
    latency_ms: float
    """99th percentile of the processor time for one row, ms."""
    size_mb: float
    """Size of all files of the version, MiB."""


@dataclass(frozen=True, eq=False)
class Scored:
    """One version's predictions for the holdout, one row per matured entity.

    Champion and challenger hold the same rows in the same order.
    """

    y: Array
    """Labels as numbers, shape (n_rows,)."""
    p: Array
    """Scores, as the kind of question has them: shape (n_rows,), or (n_rows, n_classes)."""
    day: Array
    """UTC day of the event, datetime64, shape (n_rows,)."""
    slices: pd.DataFrame
    """The columns `policy.slices`, n_rows rows; only the challenger's are read."""
    trained_until: datetime
    """End of the version's training days, excluded, with time zone."""


@dataclass(frozen=True)
class Case:
    """The inputs of all rules. A property raises DataError if its value cannot be computed."""

    question: Question
    challenger: Scored | Exception
    contract: ServingChecks | Exception
    champion: Scored | Exception | None
    coverage: Coverage
    policy: Policy

    @cached_property
    def serving_checks(self) -> ServingChecks:
        """The challenger's serving checks."""
        if isinstance(self.contract, ServingChecks):
            return self.contract
        raise DataError(f"the challenger's contract was not measured: {format_error(self.contract)}")

    @cached_property
    def challenger_scores(self) -> Scored:
        """The challenger's scores."""
        return _check_readable(self.challenger, "challenger")

    @cached_property
    def champion_scores(self) -> Scored:
        """The champion's scores for the same rows."""
        champion = _check_readable(self.champion, "champion")
        if not (
            np.array_equal(champion.y, self.challenger_scores.y)
            and np.array_equal(champion.day, self.challenger_scores.day)
        ):
            raise DataError(
                "champion and challenger did not answer the same rows: score both on one holdout, in one order"
            )
        return champion

    @cached_property
    def metrics(self) -> Metrics:
        """The challenger's quality."""
        return self.question.compute_metrics(self.challenger_scores.y, self.challenger_scores.p)

    @cached_property
    def champion_metrics(self) -> Metrics:
        """The champion's quality."""
        return self.question.compute_metrics(self.champion_scores.y, self.champion_scores.p)

    @cached_property
    def days(self) -> Array:
        """The UTC day of each row."""
        days = np.asarray(self.challenger_scores.day, "datetime64[D]")
        if len(days) != self.metrics.rows or np.isnat(days).any():
            raise DataError(f"not every one of the {self.metrics.rows} rows has its day")
        return days

    @cached_property
    def differences(self) -> tuple[Array, Array]:
        """Draws of challenger minus champion, in ranking and in loss."""
        return bootstrap_paired_days(
            self.question,
            y=self.challenger_scores.y,
            challenger=self.challenger_scores.p,
            champion=self.champion_scores.p,
            day=self.days,
            replicates=self.policy.replicates,
            seed=SEED,
        )

    @cached_property
    def public(self) -> GateCase:
        """What rules of a use case may read."""
        champion = None if self.champion is None else self.champion_scores
        return GateCase(
            labels=_read_only(self.challenger_scores.y),
            days=_read_only(self.days),
            slices=self.challenger_scores.slices.copy(),
            challenger=self.metrics,
            challenger_predictions=_read_only(self.challenger_scores.p),
            champion=None if champion is None else self.champion_metrics,
            champion_predictions=None if champion is None else _read_only(champion.p),
        )


Finding = tuple[bool, float | None, float | None, str]
"""Passed, value, limit, reason."""
Judge = Callable[[Case], Finding]


def at_least(value: float, limit: float, reason: str) -> Finding:
    """Pass if the value is not below the limit; `reason` has the places `{value}` and `{limit}`."""
    return value >= limit, value, limit, reason.format(value=value, limit=limit)


def at_most(value: float, limit: float, reason: str) -> Finding:
    """Pass if the value is not above the limit; `reason` has the places `{value}` and `{limit}`."""
    return value <= limit, value, limit, reason.format(value=value, limit=limit)


def format_error(error: object) -> str:
    """Write an error for a reason: our own by its text, another with its type."""
    return str(error) if isinstance(error, MlopsError) else repr(error)


def _check_readable(version: Scored | Exception | None, who: str) -> Scored:
    if isinstance(version, Scored):
        return version
    raise DataError(f"the {who} gave no answers: {format_error(version)}")


def _read_only(values: Array) -> Array:
    copied = np.array(values)
    copied.flags.writeable = False
    return copied
