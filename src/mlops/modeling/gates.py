"""The gate decides whether a version may serve. It checks and reports every rule; a rule that cannot be judged refuses.

A challenger that ties with the champion passes: it was trained on newer days, and demanding superiority would hold back
a third of the true gains. While there is no champion, the rules against it pass and their reason says so.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from functools import partial

import numpy as np
import pandas as pd

from mlops.contract import DataError, ExtraRule, Policy, Rule, Share, Value, Verdict, resolve_limit
from mlops.modeling.coverage import COUNTS, Coverage, find_gaps
from mlops.modeling.gate_case import Case, Finding, Judge, Scored, ServingChecks, at_least, at_most, format_error
from mlops.modeling.gate_comparisons import comparison_rules, rollout_rules
from mlops.questions import Question

_SLACK = 0.01
"""A challenger above the limit of the gap still passes if it exceeds the champion's gap by at most this much; where the
limit is a `Share`, by a fifth of the limit."""


def decide_verdict(
    *,
    question: Question,
    challenger: Scored | Exception,
    contract: ServingChecks | Exception,
    champion: Scored | Exception | None,
    coverage: Coverage,
    policy: Policy,
) -> Verdict:
    """Judge a challenger on the holdout. An error within a rule refuses that rule; the function itself raises nothing.

    Rules, by name, for a binary question: `contract`, `latency`, `size`, `complete`, `unseen`, `floor_auc`,
    `floor_skill`, `leak`, `calibration`; against the champion `champion`, `non_inferior_auc`, `non_inferior_log_loss`
    and `slice_<column>` for each of `policy.slices`; then the functions of `policy.extra_rules`, each by its own name.
    Other kinds have their own figures in the names, and `bias` instead of `calibration`.

    Args:
        question: the kind of question.
        challenger: the scores of the version to judge; the exception if it could not be loaded or scored.
        contract: the serving checks of the same version; the exception if they could not be measured.
        champion: the scores of the champion; the exception if it could not be scored; None if there is no champion.
        coverage: how many of the holdout's entities have features, a reported outcome and a label.
        policy: the limits and the extra rules. A figure equal to its limit passes.
    """
    case = Case(question, challenger, contract, champion, coverage, policy)
    against = comparison_rules(question, policy)
    rules: dict[str, Judge] = {
        "contract": _check_signature,
        "latency": _check_latency,
        "size": _check_size,
        "complete": _check_complete,
        "unseen": _check_unseen,
        f"floor_{question.names.ranking}": _floor_ranking,
        "floor_skill": _floor_skill,
        "leak": _check_leak,
        question.names.gap_rule: _check_gap,
        **({} if policy.value is None else {"value": partial(_check_value, value=policy.value)}),
        **(dict.fromkeys(against, _no_champion) if champion is None else against),
    }
    extra = [_run_extra_rule(rule, case, taken=rules.keys()) for rule in policy.extra_rules]
    return Verdict((*(_run_rule(name, judge, case) for name, judge in rules.items()), *extra))


def compare_versions(question: Question, challenger: Scored, champion: Scored, policy: Policy) -> tuple[Rule, ...]:
    """Judge whether a version that serves already is worse than the one before it: `gate_comparisons.rollout_rules`."""
    no_days = Coverage(pd.DataFrame(columns=["day", *COUNTS]), pd.Timestamp(0))  # these rules do not read it
    case = Case(question, challenger, DataError("it was not measured"), champion, no_days, policy)
    return tuple(_run_rule(name, judge, case) for name, judge in rollout_rules(question, policy).items())


def _run_rule(name: str, judge: Judge, case: Case) -> Rule:
    try:
        passed, value, limit, reason = judge(case)
    except Exception as error:  # noqa: BLE001 (fail closed: an error within a rule refuses the version)
        return _refuse(name, format_error(error))
    if not all(figure is None or math.isfinite(figure) for figure in (value, limit)):
        return _refuse(name, f"the figure is {value}, its limit {limit}")
    return Rule(name, bool(passed), value, limit, reason)


def _run_extra_rule(rule: ExtraRule, case: Case, taken: Collection[str]) -> Rule:
    name = rule.__name__

    def judge(case: Case) -> Finding:
        if name in taken:
            raise DataError(f"the gate has a rule {name!r} of its own: rename the function in Policy.extra_rules")
        result = rule(case.public)
        if not isinstance(result, Rule):
            raise DataError(f"{name} returned {type(result).__name__}: it must return a Rule")
        return result.passed, result.value, result.limit, result.reason

    return _run_rule(name, judge, case)


def _refuse(name: str, why: str) -> Rule:
    return Rule(name, passed=False, value=None, limit=None, reason=f"could not be judged: {why}")


def _check_signature(case: Case) -> Finding:
    problems = case.serving_checks.problems
    return not problems, len(problems), 0, "; ".join(problems) or "it takes the features, unseen and missing values too"


def _check_latency(case: Case) -> Finding:
    reason = "99 of 100 single rows take at most {value:.1f} ms of processor time; {limit:.1f} are allowed"
    return at_most(case.serving_checks.latency_ms, case.policy.max_latency_ms, reason)


def _check_size(case: Case) -> Finding:
    reason = "its files have {value:.1f} MB; {limit:.1f} MB are allowed"
    return at_most(case.serving_checks.size_mb, case.policy.max_size_mb, reason)


def _check_complete(case: Case) -> Finding:
    rows, days = case.metrics.rows, len(np.unique(case.days))
    labels = case.question.describe_rows(np.asarray(case.challenger_scores.y, "float64"))
    total, due = case.coverage.holdout[list(COUNTS)].sum(), len(case.coverage.holdout)
    judged = f"{rows} of {total['entities']} entities have a prediction and a label, on {days} of {due} days; {labels}"
    gaps = "; ".join(find_gaps(case.coverage, case.policy))
    return not gaps, rows, None, f"{judged}{': ' if gaps else ''}{gaps}"


def _check_unseen(case: Case) -> Finding:
    versions = [case.challenger_scores] if case.champion is None else [case.challenger_scores, case.champion_scores]
    until = max(version.trained_until for version in versions)
    ahead = (pd.Timestamp(case.days.min(), tz="UTC") - until) / pd.Timedelta(days=1)
    return at_least(ahead, 0.0, f"the holdout begins {{value:.1f}} days after training ended on {until:%Y-%m-%d}")


def _floor_ranking(case: Case) -> Finding:
    reason = f"{case.question.names.ranking_words} is {{value:.4f}} and must be at least {{limit:.4f}}"
    return at_least(case.metrics.ranking, case.policy.min_ranking, reason)


def _floor_skill(case: Case) -> Finding:
    reason = f"{case.question.skill_words} is {{value:.4f}} and must be at least {{limit:.4f}}"
    return at_least(case.metrics.skill, case.policy.min_skill, reason)


def _check_leak(case: Case) -> Finding:
    words = case.question.names.ranking_words
    reason = f"{words} is {{value:.4f}}; above {{limit:.4f}} some feature would know the answer"
    return at_most(case.metrics.ranking, case.policy.max_ranking, reason)


def _check_gap(case: Case) -> Finding:
    question, reference = case.question, case.question.gap_reference(np.asarray(case.challenger_scores.y, "float64"))
    limit = resolve_limit(case.policy.max_gap, reference)
    if case.champion is not None:
        slack = limit / 5 if isinstance(case.policy.max_gap, Share) else _SLACK
        limit = max(limit, question.worst_gap(case.champion_metrics) + slack)
    side = question.names.describe_side(case.metrics.gap)
    reason = f"{question.names.gap_sentence.format(gap='{value:.4f}')}{side}; {{limit:.4f}} is allowed"
    return at_most(question.worst_gap(case.metrics), limit, reason)


def _check_value(case: Case, value: Value) -> Finding:
    scores = case.challenger_scores
    y = np.asarray(scores.y, "float64")
    worth = float(case.question.row_values(y, scores.p, value).mean())
    constant = float(np.asarray(value.matrix, "float64")[y.astype("int64")].mean(axis=0).max())
    reason = "a row is worth {value:.4f}; the best decision that is the same for all rows is worth {limit:.4f}"
    return at_least(worth, constant, reason)


def _no_champion(_: Case) -> Finding:
    return True, None, None, "there is no champion yet to compare with"
