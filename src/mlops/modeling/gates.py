"""The gate decides whether a version may serve. It checks and reports every rule; a rule that cannot be judged refuses.

A challenger that ties with the champion passes: it was trained on newer days, and demanding superiority would hold back
a third of the true gains. While there is no champion, the rules against it pass and their reason says so.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property, partial

import numpy as np
import pandas as pd

from mlops.contract import DataError, ExtraRule, GateCase, Metrics, MlopsError, Policy, Rule, Verdict
from mlops.modeling.coverage import COUNTS, Coverage, find_gaps
from mlops.modeling.metrics import Array, bootstrap_paired_days, compute_metrics

_SEED = 0
"""Seed of the bootstrap, fixed so that the same rows always get the same verdict."""
_CALIBRATION_SLACK = 0.01
"""A challenger above the limit still passes if its calibration gap exceeds the champion's by at most this much."""


@dataclass(frozen=True)
class ServingChecks:
    """Measured properties of a version other than its quality."""

    problems: tuple[str, ...]
    """One sentence per input that differs from the features and per unusual value that gets no probability."""
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
    """Labels, 1 or 0, shape (n_rows,)."""
    p: Array
    """Predicted probabilities of 1, shape (n_rows,)."""
    day: Array
    """UTC day of the event, datetime64, shape (n_rows,)."""
    slices: pd.DataFrame
    """The columns `policy.slices`, n_rows rows; only the challenger's are read."""
    trained_until: datetime
    """End of the version's training days, excluded, with time zone."""


def decide_verdict(
    *,
    challenger: Scored | Exception,
    contract: ServingChecks | Exception,
    champion: Scored | Exception | None,
    coverage: Coverage,
    policy: Policy,
) -> Verdict:
    """Judge a challenger on the holdout. An error within a rule refuses that rule; the function itself raises nothing.

    Rules, by name: `contract`, `latency`, `size`, `complete`, `unseen`, `floor_auc`, `floor_skill`, `leak`,
    `calibration`; against the champion `champion`, `non_inferior_auc`, `non_inferior_log_loss` and `slice_<column>` for
    each of `policy.slices`; then the functions of `policy.extra_rules`, each by its own name.

    Args:
        challenger: the scores of the version to judge; the exception if it could not be loaded or scored.
        contract: the serving checks of the same version; the exception if they could not be measured.
        champion: the scores of the champion; the exception if it could not be scored; None if there is no champion.
        coverage: how many of the holdout's entities have features, a reported outcome and a label.
        policy: the limits and the extra rules. A figure equal to its limit passes.
    """
    case = _Case(challenger, contract, champion, coverage, policy)
    against: dict[str, _Judge] = {
        "champion": _check_champion,
        "non_inferior_auc": _non_inferior_auc,
        "non_inferior_log_loss": _non_inferior_log_loss,
        **{f"slice_{column}": partial(_check_slice, column=column) for column in policy.slices},
    }
    rules: dict[str, _Judge] = {
        "contract": _check_signature,
        "latency": _check_latency,
        "size": _check_size,
        "complete": _check_complete,
        "unseen": _check_unseen,
        "floor_auc": _floor_auc,
        "floor_skill": _floor_skill,
        "leak": _check_leak,
        "calibration": _check_calibration,
        **(dict.fromkeys(against, _no_champion) if champion is None else against),
    }
    extra = [_run_extra_rule(rule, case, taken=rules.keys()) for rule in policy.extra_rules]
    return Verdict((*(_run_rule(name, judge, case) for name, judge in rules.items()), *extra))


@dataclass(frozen=True)
class _Case:
    """The inputs of all rules. A property raises DataError if its value cannot be computed."""

    challenger: Scored | Exception
    contract: ServingChecks | Exception
    champion: Scored | Exception | None
    coverage: Coverage
    policy: Policy

    @cached_property
    def serving_checks(self) -> ServingChecks:
        if isinstance(self.contract, ServingChecks):
            return self.contract
        raise DataError(f"the challenger's contract was not measured: {_format_value(self.contract)}")

    @cached_property
    def challenger_scores(self) -> Scored:
        return _check_readable(self.challenger, "challenger")

    @cached_property
    def champion_scores(self) -> Scored:
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
        return compute_metrics(self.challenger_scores.y, self.challenger_scores.p)

    @cached_property
    def champion_metrics(self) -> Metrics:
        return compute_metrics(self.champion_scores.y, self.champion_scores.p)

    @cached_property
    def days(self) -> Array:
        days = np.asarray(self.challenger_scores.day, "datetime64[D]")
        if len(days) != self.metrics.rows or np.isnat(days).any():
            raise DataError(f"not every one of the {self.metrics.rows} rows has its day")
        return days

    @cached_property
    def differences(self) -> tuple[Array, Array]:
        return bootstrap_paired_days(
            y=self.challenger_scores.y,
            challenger=self.challenger_scores.p,
            champion=self.champion_scores.p,
            day=self.days,
            replicates=self.policy.replicates,
            seed=_SEED,
        )

    @property
    def public(self) -> GateCase:
        """The case as extra rules see it: copies, so that no rule changes what the next one reads."""
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


def _read_only(values: Array) -> Array:
    copied = np.array(values)
    copied.flags.writeable = False
    return copied


_Finding = tuple[bool, float | None, float | None, str]
"""Passed, value, limit, reason."""
_Judge = Callable[[_Case], _Finding]


def _run_rule(name: str, judge: _Judge, case: _Case) -> Rule:
    try:
        passed, value, limit, reason = judge(case)
    except Exception as error:  # noqa: BLE001 (fail closed: an error within a rule refuses the version)
        return _refuse(name, _format_value(error))
    if not all(figure is None or math.isfinite(figure) for figure in (value, limit)):
        return _refuse(name, f"the figure is {value}, its limit {limit}")
    return Rule(name, bool(passed), value, limit, reason)


def _run_extra_rule(rule: ExtraRule, case: _Case, taken: Collection[str]) -> Rule:
    name = rule.__name__

    def judge(case: _Case) -> _Finding:
        if name in taken:
            raise DataError(f"the gate has a rule {name!r} of its own: rename the function in Policy.extra_rules")
        result = rule(case.public)
        if not isinstance(result, Rule):
            raise DataError(f"{name} returned {type(result).__name__}: it must return a Rule")
        return result.passed, result.value, result.limit, result.reason

    return _run_rule(name, judge, case)


def _refuse(name: str, why: str) -> Rule:
    return Rule(name, passed=False, value=None, limit=None, reason=f"could not be judged: {why}")


def _format_value(error: object) -> str:
    return str(error) if isinstance(error, MlopsError) else repr(error)


def _check_readable(version: Scored | Exception | None, who: str) -> Scored:
    if isinstance(version, Scored):
        return version
    raise DataError(f"the {who} gave no answers: {_format_value(version)}")


def _at_least(value: float, limit: float, reason: str) -> _Finding:
    return value >= limit, value, limit, reason.format(value=value, limit=limit)


def _at_most(value: float, limit: float, reason: str) -> _Finding:
    return value <= limit, value, limit, reason.format(value=value, limit=limit)


def _check_signature(case: _Case) -> _Finding:
    problems = case.serving_checks.problems
    return not problems, len(problems), 0, "; ".join(problems) or "it takes the features, unseen and missing values too"


def _check_latency(case: _Case) -> _Finding:
    reason = "99 of 100 single rows take at most {value:.1f} ms of processor time; {limit:.1f} are allowed"
    return _at_most(case.serving_checks.latency_ms, case.policy.max_latency_ms, reason)


def _check_size(case: _Case) -> _Finding:
    reason = "its files have {value:.1f} MB; {limit:.1f} MB are allowed"
    return _at_most(case.serving_checks.size_mb, case.policy.max_size_mb, reason)


def _check_complete(case: _Case) -> _Finding:
    rows, positives, days = case.metrics.rows, case.metrics.positives, len(np.unique(case.days))
    total, due = case.coverage.holdout[list(COUNTS)].sum(), len(case.coverage.holdout)
    judged = f"{rows} rows of {days} days have a prediction and a label, {positives} are positive"
    expected = f"of {total['entities']} entities of {due} days"
    gaps = "; ".join(find_gaps(case.coverage, case.policy))
    return not gaps, rows, None, f"{expected} {judged}{': ' if gaps else ''}{gaps}"


def _check_unseen(case: _Case) -> _Finding:
    versions = [case.challenger_scores] if case.champion is None else [case.challenger_scores, case.champion_scores]
    until = max(version.trained_until for version in versions)
    ahead = (pd.Timestamp(case.days.min(), tz="UTC") - until) / pd.Timedelta(days=1)
    return _at_least(ahead, 0.0, f"the holdout begins {{value:.1f}} days after training ended on {until:%Y-%m-%d}")


def _floor_auc(case: _Case) -> _Finding:
    return _at_least(case.metrics.auc, case.policy.min_auc, "AUC is {value:.4f} and must be at least {limit:.4f}")


def _floor_skill(case: _Case) -> _Finding:
    reason = "log-loss skill is {value:.4f} and must be at least {limit:.4f}"
    return _at_least(case.metrics.skill, case.policy.min_skill, reason)


def _check_leak(case: _Case) -> _Finding:
    reason = "AUC is {value:.4f}; above {limit:.4f} some feature would know the answer"
    return _at_most(case.metrics.auc, case.policy.max_auc, reason)


def _check_calibration(case: _Case) -> _Finding:
    limit = case.policy.max_calibration_gap
    if case.champion is not None:
        limit = max(limit, abs(case.champion_metrics.calibration_gap) + _CALIBRATION_SLACK)
    reason = "mean prediction is {value:.4f} off the mean label; {limit:.4f} is allowed"
    return _at_most(abs(case.metrics.calibration_gap), limit, reason)


def _no_champion(_: _Case) -> _Finding:
    return True, None, None, "there is no champion yet to compare with"


def _check_champion(case: _Case) -> _Finding:
    auc, rows = case.champion_metrics.auc, case.champion_metrics.rows
    return True, auc, None, f"the champion answered the same {rows} rows with AUC {auc:.4f}"


def _non_inferior_auc(case: _Case) -> _Finding:
    bound = float(np.quantile(case.differences[0], 1 - case.policy.confidence))
    reason = "AUC minus the champion's is at least {value:+.4f}; down to {limit:+.4f} is allowed"
    return _at_least(bound, -case.policy.margin_auc, f"with {case.policy.confidence:.1%} confidence, {reason}")


def _non_inferior_log_loss(case: _Case) -> _Finding:
    bound = float(np.quantile(case.differences[1], case.policy.confidence))
    reason = "log-loss minus the champion's is at most {value:+.4f}; up to {limit:+.4f} is allowed"
    return _at_most(bound, case.policy.margin_log_loss, f"with {case.policy.confidence:.1%} confidence, {reason}")


def _check_slice(case: _Case, *, column: str) -> _Finding:
    slices, rows, policy = case.challenger_scores.slices, case.metrics.rows, case.policy
    if column not in slices or len(slices) != rows:
        raise DataError(f"the holdout's {rows} rows do not all carry the slice column {column!r}")
    group, names = pd.factorize(slices[column], use_na_sentinel=False)
    sizes, positives = np.bincount(group), np.bincount(group, case.challenger_scores.y)
    # The floor for positives also holds for negatives: the rarer class decides how uncertain an AUC is.
    rarer = np.minimum(positives, sizes - positives)
    large = np.flatnonzero((sizes >= policy.slice_min_rows) & (rarer >= policy.slice_min_positives))
    if not len(large):
        floors = f"{policy.slice_min_rows} rows and {policy.slice_min_positives} of each class"
        raise DataError(f"none of the {len(names)} groups of {column!r} has {floors}")
    differences = [_auc_difference(case, group == number) for number in large]
    value, limit, worst = min(differences), -policy.slice_margin_auc, names[large[np.argmin(differences)]]
    judged = f"{len(large)} of {len(names)} groups are large enough"
    reason = f"{judged}; in the worst, {worst}, AUC is {value:+.4f} off the champion's; down to {limit:+.4f} is allowed"
    return value >= limit, value, limit, reason


def _auc_difference(case: _Case, rows: Array) -> float:
    y = case.challenger_scores.y[rows]
    return compute_metrics(y, case.challenger_scores.p[rows]).auc - compute_metrics(y, case.champion_scores.p[rows]).auc
