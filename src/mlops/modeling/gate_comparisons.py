"""Rules of the gate that compare a challenger with the champion."""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd

from mlops.contract import DataError, Policy, Value, resolve_limit
from mlops.modeling.gate_case import SEED, Case, Finding, Judge, at_least, at_most
from mlops.questions import Array, Question, draw_days
from mlops.questions.precision import draw_precision


def comparison_rules(question: Question, policy: Policy) -> dict[str, Judge]:
    """List the rules against the champion by name; figures of the kind of question are part of the names."""
    names = question.names
    return {
        "champion": _check_champion,
        f"non_inferior_{names.ranking}": _non_inferior_ranking,
        f"non_inferior_{names.loss}": _non_inferior_loss,
        **({} if policy.margin_precision is None else {"non_inferior_average_precision": _non_inferior_precision}),
        **({} if policy.value is None else {"non_inferior_value": partial(_non_inferior_value, value=policy.value)}),
        **{f"slice_{column}": partial(_check_slice, column=column) for column in policy.slices},
    }


def _check_champion(case: Case) -> Finding:
    ranking, rows = case.champion_metrics.ranking, case.champion_metrics.rows
    words = case.question.names.ranking_words
    return True, ranking, None, f"the champion answered the same {rows} rows with {words} {ranking:.4f}"


def _non_inferior_ranking(case: Case) -> Finding:
    bound = float(np.quantile(case.differences[0], 1 - case.policy.confidence))
    reason = "minus the champion's is at least {value:+.4f}; down to {limit:+.4f} is allowed"
    return at_least(
        bound, -case.policy.margin_ranking, _with_confidence(case, case.question.names.ranking_words, reason)
    )


def _non_inferior_loss(case: Case) -> Finding:
    bound = float(np.quantile(case.differences[1], case.policy.confidence))
    limit = resolve_limit(case.policy.margin_loss, case.champion_metrics.loss)
    reason = "minus the champion's is at most {value:+.4f}; up to {limit:+.4f} is allowed"
    return at_most(bound, limit, _with_confidence(case, case.question.names.loss_words, reason))


def _non_inferior_precision(case: Case) -> Finding:
    margin = case.policy.margin_precision
    champion = case.champion_metrics.figures.get("average_precision")
    if margin is None or champion is None:
        raise DataError(f"a label of kind {case.question.label.kind} has no average precision: unset margin_precision")
    y, index, drawn = _draw_days(case)
    draws = [draw_precision(y, scores.p, index, drawn) for scores in (case.challenger_scores, case.champion_scores)]
    bound = float(np.quantile(draws[0] - draws[1], 1 - case.policy.confidence))
    reason = "minus the champion's is at least {value:+.4f}; down to {limit:+.4f} is allowed"
    return at_least(bound, -resolve_limit(margin, champion), _with_confidence(case, "average precision", reason))


def _non_inferior_value(case: Case, value: Value) -> Finding:
    y, index, drawn = _draw_days(case)
    mine, theirs = (case.question.row_values(y, s.p, value) for s in (case.challenger_scores, case.champion_scores))
    draws = drawn @ np.bincount(index, mine - theirs) / (drawn @ np.bincount(index))
    bound = float(np.quantile(draws, 1 - case.policy.confidence))
    reason = "minus the champion's is at least {value:+.4f}; down to {limit:+.4f} is allowed"
    return at_least(bound, -value.margin, _with_confidence(case, "value per row", reason))


def _draw_days(case: Case) -> tuple[Array, Array, Array]:
    y = np.asarray(case.challenger_scores.y, "float64")
    return y, *draw_days(case.days, len(y), case.policy.replicates, SEED)


def _with_confidence(case: Case, figure: str, reason: str) -> str:
    return f"with {case.policy.confidence:.1%} confidence, {figure} {reason}"


def _check_slice(case: Case, *, column: str) -> Finding:
    slices, rows, policy, question = case.challenger_scores.slices, case.metrics.rows, case.policy, case.question
    if column not in slices or len(slices) != rows:
        raise DataError(f"the holdout's {rows} rows do not all carry the slice column {column!r}")
    if not np.isfinite([policy.slice_min_rows, policy.slice_min_positives]).all():
        raise DataError("slice_min_rows and slice_min_positives have to be numbers")
    group, names = pd.factorize(slices[column], use_na_sentinel=False)
    y = np.asarray(case.champion_scores.y, "float64")
    large = [number for number in range(len(names)) if question.is_measurable(y[group == number], policy)]
    if not large:
        minimum = question.describe_minimum(policy)
        return True, None, None, f"not judged: none of the {len(names)} groups of {column!r} has {minimum}"
    # Of equally bad groups the first by name, so that the order of the rows does not matter.
    value, worst = min((_ranking_difference(case, group == number), str(names[number])) for number in large)
    limit = -policy.slice_margin_ranking
    words = question.names.ranking_words
    judged = f"{len(large)} of {len(names)} groups are large enough"
    reason = (
        f"{judged}; in the worst, {worst}, {words} is {value:+.4f} off the champion's; down to {limit:+.4f} is allowed"
    )
    return value >= limit, value, limit, reason


def _ranking_difference(case: Case, rows: Array) -> float:
    y = case.challenger_scores.y[rows]
    mine, theirs = (
        case.question.compute_metrics(y, scores.p[rows]).ranking
        for scores in (case.challenger_scores, case.champion_scores)
    )
    return mine - theirs
