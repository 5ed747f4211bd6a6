"""Rules of the gate that compare a challenger with the champion."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pandas as pd

from mlops.contract import DataError, Policy, Value, resolve_limit
from mlops.modeling.gate_case import SEED, Case, Finding, Judge, at_least, at_most
from mlops.questions import Array, Question, bootstrap_paired_days, draw_days
from mlops.questions.precision import draw_precision


@dataclass(frozen=True)
class _Comparison:
    """A figure of both versions on the same draws of days."""

    name: str
    words: str
    is_loss: bool
    draw: Callable[[Case], Array]
    """Draws of challenger minus champion, shape (replicates,)."""
    margin: Callable[[Case], float]
    """How much worse the challenger may be."""

    def judge(self, case: Case, *, prove_worse: bool) -> Finding:
        """Compare a bound of the difference with the margin.

        Args:
            case: both versions' scores.
            prove_worse: whether a version passes unless it is worse with confidence; else it passes if it is, with
                confidence, not worse.
        """
        draws, confidence = self.draw(case), case.policy.confidence
        margin = self.margin(case)
        if prove_worse:
            draws = draws[np.isfinite(draws)]  # a draw of few rows may have one class only
        upper = float(np.quantile(draws, confidence if self.is_loss != prove_worse else 1 - confidence))
        begin = f"with {confidence:.1%} confidence, {self.words} minus the champion's is"
        side = "most" if self.is_loss != prove_worse else "least"
        end = f" {{value:+.4f}}; {'up' if self.is_loss else 'down'} to {{limit:+.4f}} is allowed"
        return (at_most if self.is_loss else at_least)(
            upper, margin if self.is_loss else -margin, f"{begin} at {side}{end}"
        )


def comparison_rules(question: Question, policy: Policy) -> dict[str, Judge]:
    """List the gate's rules against the champion by name; figures of the kind of question are part of the names."""
    return {
        "champion": _check_champion,
        **{
            f"non_inferior_{one.name}": partial(one.judge, prove_worse=False) for one in _list_figures(question, policy)
        },
        **{f"slice_{column}": partial(_check_slice, column=column) for column in policy.slices},
    }


def rollout_rules(question: Question, policy: Policy) -> dict[str, Judge]:
    """List the rules that a version fails which is, with confidence, worse than the one before it.

    The gate wants the proof that a version is not worse. On the rows of a rollout even a better version cannot give it:
    of 23 samples of 1,000 flights, the gate's rules pass two (`benchmarks rollout`).
    """
    return {
        **{f"not_worse_{one.name}": partial(_check_worse, figure=one) for one in _list_figures(question, policy)},
        **{f"not_worse_by_{column}": partial(_check_worse_slice, column=column) for column in policy.slices},
    }


def _check_worse(case: Case, *, figure: _Comparison) -> Finding:
    y, question = np.asarray(case.champion_scores.y, "float64"), case.question
    is_ranking = figure.name in {question.names.ranking, "average_precision"}
    if is_ranking and not question.is_measurable(y, case.policy):
        minimum = question.describe_minimum(case.policy)
        return True, None, None, f"not judged: the {len(y)} rows lack what ranking takes, {minimum}"
    return figure.judge(case, prove_worse=True)


def _list_figures(question: Question, policy: Policy) -> list[_Comparison]:
    names = question.names
    figures = [
        _Comparison(
            names.ranking, names.ranking_words, False,
            lambda case: case.differences[0], lambda case: case.policy.margin_ranking,
        ),
        _Comparison(
            names.loss, names.loss_words, True, lambda case: case.differences[1],
            lambda case: resolve_limit(case.policy.margin_loss, case.champion_metrics.loss),
        ),
    ]  # fmt: skip
    if policy.margin_precision is not None:
        figures.append(_Comparison("average_precision", "average precision", False, _draw_precision, _precision_margin))
    if (value := policy.value) is not None:
        draw = partial(_draw_value, value=value)
        figures.append(_Comparison("value", "value per row", False, draw, lambda _: value.margin))
    return figures


def _check_champion(case: Case) -> Finding:
    ranking, rows = case.champion_metrics.ranking, case.champion_metrics.rows
    words = case.question.names.ranking_words
    return True, ranking, None, f"the champion answered the same {rows} rows with {words} {ranking:.4f}"


def _precision_margin(case: Case) -> float:
    margin = case.policy.margin_precision
    champion = case.champion_metrics.figures.get("average_precision")
    if margin is None or champion is None:
        kind = case.question.label.kind
        raise DataError(f"a label of kind {kind} has no average precision: unset margin_precision")
    return resolve_limit(margin, champion)


def _draw_precision(case: Case) -> Array:
    _precision_margin(case)  # says that this kind has none, before it is computed
    y, index, drawn = _draw_days(case)
    new, old = (draw_precision(y, scores.p, index, drawn) for scores in (case.challenger_scores, case.champion_scores))
    return new - old


def _draw_value(case: Case, value: Value) -> Array:
    y, index, drawn = _draw_days(case)
    mine, theirs = (case.question.row_values(y, s.p, value) for s in (case.challenger_scores, case.champion_scores))
    return drawn @ np.bincount(index, mine - theirs) / (drawn @ np.bincount(index))


def _draw_days(case: Case) -> tuple[Array, Array, Array]:
    y = np.asarray(case.challenger_scores.y, "float64")
    return y, *draw_days(case.days, len(y), case.policy.replicates, SEED)


def _check_slice(case: Case, *, column: str) -> Finding:
    groups = _find_large_groups(case, column)
    if not groups.large:
        return groups.not_judged(case)
    # Of equally bad groups the first by name, so that the order of the rows does not matter.
    value, worst = min((_ranking_difference(case, rows), name) for name, rows in groups.large)
    limit = -case.policy.slice_margin_ranking
    words = case.question.names.ranking_words
    reason = f"{groups.words}; in the worst, {worst}, {words} is {value:+.4f} off the champion's; "
    return value >= limit, value, limit, f"{reason}down to {limit:+.4f} is allowed"


def _check_worse_slice(case: Case, *, column: str) -> Finding:
    groups = _find_large_groups(case, column)
    # The rows of one day prove nothing.
    groups = replace(groups, large=[(name, rows) for name, rows in groups.large if len(np.unique(case.days[rows])) > 1])
    if not groups.large:
        return groups.not_judged(case)
    # All groups together are wrong as rarely as one figure of all rows is.
    confidence = 1 - (1 - case.policy.confidence) / len(groups.large)
    value, worst = min((_find_upper_difference(case, rows, confidence), name) for name, rows in groups.large)
    limit = -case.policy.slice_margin_ranking
    words = case.question.names.ranking_words
    reason = (
        f"{groups.words}; in the worst, {worst}, with {confidence:.1%} confidence, {words} minus the champion's is "
    )
    return value >= limit, value, limit, f"{reason}at most {value:+.4f}; down to {limit:+.4f} is allowed"


@dataclass(frozen=True)
class _Groups:
    """The groups of a slice column that are large enough to be judged."""

    column: str
    number: int
    large: list[tuple[str, Array]]
    """By group its name, and whether each row belongs to it."""

    @property
    def words(self) -> str:
        return f"{len(self.large)} of {self.number} groups are large enough"

    def not_judged(self, case: Case) -> Finding:
        minimum = case.question.describe_minimum(case.policy)
        return True, None, None, f"not judged: none of the {self.number} groups of {self.column!r} has {minimum}"


def _find_large_groups(case: Case, column: str) -> _Groups:
    slices, rows, policy = case.challenger_scores.slices, case.metrics.rows, case.policy
    if column not in slices or len(slices) != rows:
        raise DataError(f"the holdout's {rows} rows do not all carry the slice column {column!r}")
    if not np.isfinite([policy.slice_min_rows, policy.slice_min_positives]).all():
        raise DataError("slice_min_rows and slice_min_positives have to be numbers")
    group, names = pd.factorize(slices[column], use_na_sentinel=False)
    y = np.asarray(case.champion_scores.y, "float64")
    # Positions: a truth value for each row and group would be gigabytes.
    positions = np.split(np.argsort(group, kind="stable"), np.cumsum(np.bincount(group, minlength=len(names)))[:-1])
    members = ((str(name), positions[number]) for number, name in enumerate(names))
    large = [(name, rows) for name, rows in members if case.question.is_measurable(y[rows], policy)]
    return _Groups(column, len(names), large)


def _find_upper_difference(case: Case, rows: Array, confidence: float) -> float:
    """Find the upper bound of the ranking difference in some rows, of two days at least."""
    draws, _ = bootstrap_paired_days(
        case.question, y=case.challenger_scores.y[rows], challenger=case.challenger_scores.p[rows],
        champion=case.champion_scores.p[rows], day=case.days[rows], replicates=case.policy.replicates, seed=SEED,
    )  # fmt: skip
    return float(np.quantile(draws[np.isfinite(draws)], confidence))


def _ranking_difference(case: Case, rows: Array) -> float:
    y = case.challenger_scores.y[rows]
    mine, theirs = (
        case.question.compute_metrics(y, scores.p[rows]).ranking
        for scores in (case.challenger_scores, case.champion_scores)
    )
    return mine - theirs
