"""Find the limits of a policy that can never be judged, because the use case has too few rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta

import pandas as pd

from mlops.contract import DRIFT_MIN_ROWS, Policy, Share
from mlops.questions import Question


def find_unjudged(question: Question, rows: pd.DataFrame, length: timedelta, policy: Policy) -> tuple[str, ...]:
    """Describe what is never judged, one sentence each, to follow "never judged: "; empty: everything is judged.

    Args:
        question: the kind of question.
        rows: labelled rows of a usual stretch, with label (a number) and the policy's slice columns.
        length: length of the stretch.
        policy: the limits.
    """
    groups = {
        column: {
            str(name): question.is_measurable(y.to_numpy("float64"), policy)
            for name, y in rows.groupby(column, dropna=False)["label"]
        }
        for column in policy.slices
    }
    y = rows["label"].to_numpy("float64")
    reference = question.gap_reference(y) if len(y) else 1.0
    return describe_unjudged(question, groups, len(rows), reference, length=length, policy=policy)


def describe_unjudged(
    question: Question,
    groups: Mapping[str, Mapping[str, bool]],
    rows: int,
    reference: float,
    *,
    length: timedelta,
    policy: Policy,
) -> tuple[str, ...]:
    """As `find_unjudged`, from figures of the labelled rows.

    Args:
        question: the kind of question.
        groups: per slice column, whether each of its groups is large enough to be judged.
        rows: number of labelled rows.
        reference: `Question.gap_reference` of the rows.
        length: length of the stretch.
        policy: the limits.
    """
    days = length / timedelta(days=1)
    return (
        *_find_small_groups(question, groups, days, policy),
        *_find_small_weeks(rows / days * 7, policy),
        *_find_loose_gaps(reference, policy),
    )


def _find_small_groups(
    question: Question, groups: Mapping[str, Mapping[str, bool]], days: float, policy: Policy
) -> Iterator[str]:
    minimum = f"none has {question.describe_minimum(policy)} in {days:.0f} days"
    for column, large in groups.items():
        small = [name for name, is_large in large.items() if not is_large]
        if len(small) == len(large):
            yield f"all groups of {column}: {minimum}"
        elif small:
            named = ", ".join(small[:5]) + (", ..." if len(small) > 5 else "")
            yield f"{len(small)} of {len(large)} groups of {column} ({named}): {minimum}"


def _find_small_weeks(rows: float, policy: Policy) -> Iterator[str]:
    needed = DRIFT_MIN_ROWS[0] if policy.drift_min_rows is None else policy.drift_min_rows
    if rows < needed:
        yield f"drift and volume of weeks: a week has about {rows:.0f} rows, and {needed} are needed"


def _find_loose_gaps(reference: float, policy: Policy) -> Iterator[str]:
    """Find limits of the gap above the base rate: a model that never predicts the event would pass them."""
    for name in ("max_gap", "retrain_gap"):
        limit = getattr(policy, name)
        if not isinstance(limit, Share) and limit >= reference:
            yield f"predictions that are too low: {name} is {limit:g}, the mean label {reference:.4f}; give a Share"
