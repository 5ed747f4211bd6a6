"""Decide whether retraining is due: the gap on matured labels is too large, or the champion is old; never for drift."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime, timedelta

from mlops.contract import Decision, Policy, Rule, resolve_limit
from mlops.questions import FigureNames

_DAY = timedelta(days=1)


def decide_retraining(
    *,
    names: FigureNames,
    gap: float | None,
    gap_reference: float,
    trained_until: datetime,
    last_training: datetime | None,
    as_of: datetime,
    policy: Policy,
    label_problem: str = "",
) -> Decision:
    """Decide whether retraining is due: at least one rule did not pass.

    Args:
        names: names of the figures of the kind of question.
        gap: the champion's gap in the matured window; None if the window is on hold or its labels cannot be right.
        gap_reference: the figure that a `Share` in `policy.retrain_gap` is relative to; NaN if it is not known.
        trained_until: end of the champion's training days, excluded, UTC.
        last_training: when a training last ran, UTC, also if its model was refused; None if unknown.
        as_of: the moment of the decision, UTC.
        policy: `retrain_gap`, `retrain_age`, `cool_down`.
        label_problem: why the newest labels are late or cannot be right. No training is due then, however old the
            champion is, since it would learn from them. "": there is no problem.
    """
    obstacle = label_problem and f"its labels cannot be used: {label_problem}"
    obstacle = obstacle or _describe_cooling(last_training, as_of, policy)
    rules = (
        _check_gap(names, gap, resolve_limit(policy.retrain_gap, gap_reference), obstacle),
        _check_age(trained_until, as_of, obstacle, policy),
    )
    return Decision(due=not all(rule.passed for rule in rules), rules=rules)


def find_answer(as_of: datetime, trainings: Sequence[datetime], next_run: datetime | None) -> str:
    """Return the reason why a decision starts no training although a rule fired; "": it starts one.

    Args:
        as_of: the moment of the decision, UTC.
        trainings: moments as of which versions were trained, UTC.
        next_run: the moment of the next decision, UTC; None: this one is the newest.
    """
    answers = [moment for moment in trainings if moment >= as_of]
    if answers:
        return f"a version was trained as of {min(answers):%Y-%m-%d %H:%M} already: one cause starts one training"
    if next_run is not None:
        return f"a later run, as of {next_run:%Y-%m-%d %H:%M}, has decided since: a run in the past starts nothing"
    return ""


def _check_gap(names: FigureNames, gap: float | None, limit: float, obstacle: str) -> Rule:
    name = names.gap
    if gap is None:
        reason, known = "on hold: labels have not matured, or cannot be right", limit if math.isfinite(limit) else None
        return Rule(name, passed=True, value=None, limit=known, reason=reason)
    if not math.isfinite(gap):
        return Rule(name, passed=True, value=None, limit=limit, reason=f"COULD NOT BE JUDGED: the gap is {gap}")
    sentence = f"{names.gap_sentence.format(gap=f'{gap:+.4f}')}{names.describe_side(gap)}"
    reason = f"{sentence}; {limit:.4f} either way is allowed"
    return _make_rule(name, gap, limit, reason, fired=abs(gap) > limit, obstacle=obstacle)


def _check_age(trained_until: datetime, as_of: datetime, obstacle: str, policy: Policy) -> Rule:
    age, limit = (as_of - trained_until) / _DAY, policy.retrain_age / _DAY
    reason = f"the newest training day is {age:.1f} days old; from {limit:.1f} on it is too old"
    return _make_rule("age", age, limit, reason, fired=as_of - trained_until >= policy.retrain_age, obstacle=obstacle)


def _make_rule(name: str, value: float, limit: float, reason: str, *, fired: bool, obstacle: str) -> Rule:
    held = fired and obstacle
    return Rule(name, not fired or bool(held), value, limit, f"{reason}, but {obstacle}" if held else reason)


def _describe_cooling(last_training: datetime | None, as_of: datetime, policy: Policy) -> str:
    """Return the reason why no training may start yet; "": it may start."""
    if last_training is None or as_of - last_training >= policy.cool_down:
        return ""
    since = (as_of - last_training) / _DAY
    return f"the last training was {since:.1f} days ago and the next may come after {policy.cool_down / _DAY:.1f}"
