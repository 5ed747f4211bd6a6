"""Measure the quality of a window and its slices with intervals, and the expected quality before labels come."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from mlops.contract import Policy
from mlops.questions import Array, Question, bootstrap_paired_days, draw_days

NAN = float("nan")
DRAWS, SEED = 200, 0
"""Number of draws of days, and their seed."""
_LEVELS, _ENDS = (0.025, 0.975), ("low", "high")


@dataclass(frozen=True, kw_only=True)
class Quality:
    """Figures of one window and slice. Without labels, or on hold, only counts and expected figures are not NaN."""

    start: datetime
    end: datetime
    slice: str
    """"" for all rows, else as "origin=JFK"."""
    state: str
    """judged; hold: too few outcomes are reported, or too few rows to be judged; waiting: labels are not due yet."""
    rows: int
    """Predictions, with or without label."""
    labelled: int
    positives: int
    """Labels that are 1, of a binary question."""
    unreported: float
    """Share of predictions whose outcome has not been reported."""
    expected_level: float
    """The value of `level` that the predictions imply."""
    expected_loss: float
    """Mean loss if the predictions are calibrated; NaN: it cannot be computed from predictions of this kind."""
    level: float = NAN
    """binary: mean label. classes: share of right predictions. number: mean label."""
    ranking: float = NAN
    ranking_low: float = NAN
    ranking_high: float = NAN
    loss: float = NAN
    loss_low: float = NAN
    loss_high: float = NAN
    gap: float = NAN
    """As `Metrics.gap`, of the labelled rows."""
    gap_low: float = NAN
    gap_high: float = NAN
    excess_loss: float = NAN
    """Loss minus the expected loss. Above 0 the predictions are worse than they claim to be."""
    offset_error: float = NAN
    """Slices only: standard error, over days, of the slice's gap minus the window's."""
    gap_reference: float = NAN
    """The figure that a `Share` in a limit of the gap is relative to."""
    implausible: str = ""
    """Why the labels cannot be right; "": they can."""
    others: Mapping[str, float] = field(default_factory=dict)
    """Figures of the kind of question alone."""
    words: str = ""
    """The figures in words; "" unless judged."""


def measure_slices(
    question: Question, rows: pd.DataFrame, start: datetime, end: datetime, policy: Policy, *, due: bool
) -> Iterator[Quality]:
    """Measure a window and, where its labels are due, each group of the policy's slice columns.

    Args:
        question: the kind of question.
        rows: one row per prediction, with the question's score column, label (NaN: none), reported (True: the outcome
            is known, with or without label), day and the policy's slice columns.
        start: first moment of the window, UTC.
        end: end of the window, excluded, UTC.
        policy: `slices`, `max_unlabelled`, `drift_factor`, `slice_min_rows`, `slice_min_positives`.
        due: True if every label of the window should have come.

    Returns:
        The window first, then its slices.
    """
    span = {"start": start, "end": end}
    whole = replace(policy, slice_min_rows=1, slice_min_positives=1)  # a window of any size is judged
    yield _measure_slice(question, rows, "", whole, span, due=due)
    for name in policy.slices if due else ():
        for value, part in rows.groupby(name):
            quality = _measure_slice(question, part, name_slice(name, value), policy, span, due=due)
            if quality.state == "judged":
                quality = replace(quality, offset_error=_offset_error(question, rows, part))
            yield quality


def name_slice(column: str, value: object) -> str:
    """Name the slice of a column's value, as "origin=JFK".

    Pandas has floats for whole numbers as soon as one is missing, and in parts of a table different ones are missing.
    """
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return f"{column}={value}"


def _measure_slice(
    question: Question, rows: pd.DataFrame, slice_: str, policy: Policy, span: dict[str, Any], *, due: bool
) -> Quality:
    labelled = rows["label"].notna().to_numpy("bool")
    scores = question.unpack_scores(rows[question.score_column])
    y, p = rows["label"].to_numpy("float64")[labelled], scores[labelled]
    unreported = float(1 - rows["reported"].mean())
    base: dict[str, Any] = {
        **span,
        "slice": slice_,
        "rows": len(rows),
        "labelled": len(y),
        "positives": int(question.sum_labels(y).get("positives", 0)),
        "unreported": unreported,
        "expected_level": float(question.row_expected_levels(scores).mean()) if len(rows) else NAN,
        "expected_loss": question.estimate_loss(scores) if len(rows) else NAN,
    }
    if not due:
        return Quality(**base, state="waiting")
    if len(y):
        base["implausible"] = question.describe_implausible(y, scores, policy.drift_factor)
    if not unreported <= policy.max_unlabelled or not len(y) or not question.is_measurable(y, policy):
        return Quality(**base, state="hold")
    day = rows["day"].to_numpy()[labelled]
    return Quality(**base, state="judged", **_compute_figures(question, y, p, day, base["expected_loss"]))


def _compute_figures(question: Question, y: Array, p: Array, day: Array, expected_loss: float) -> dict[str, Any]:
    metrics = question.compute_metrics(y, p)
    figures: dict[str, Any] = {
        "level": question.compute_level(y, p),
        "ranking": metrics.ranking,
        "loss": metrics.loss,
        "gap": metrics.gap,
        "excess_loss": metrics.loss - question.estimate_loss(p),
        "gap_reference": question.gap_reference(y),
        "others": question.other_figures(y, p),
        "words": question.describe_metrics(metrics, expected_loss),
    }
    if len(np.unique(day)) < 2:
        return figures
    index, drawn = draw_days(day, len(y), DRAWS, SEED)
    # `drawn` counts how often each day was drawn, shape (replicates, n_days). Sums per day give the means of every draw
    # by two matrix products.
    rows = drawn @ np.bincount(index)
    scales = drawn @ np.bincount(index, question.row_scales(y))
    draws = {
        "ranking": question.draw_ranking(y, p, index, drawn),
        "loss": drawn @ np.bincount(index, question.row_losses(y, p)) / rows,
        "gap": drawn @ np.bincount(index, question.row_residuals(y, p)) / np.where(scales > 0, scales, np.nan),
    }
    return figures | find_interval(draws)


def find_interval(draws: Mapping[str, Array]) -> dict[str, float]:
    """Find both ends of each figure's 95 % interval, as `<name>_low` and `<name>_high`; draws that are NaN are none."""
    ends = {name: np.nanquantile(values, _LEVELS) for name, values in draws.items()}
    return {f"{name}_{end}": float(v) for name, both in ends.items() for end, v in zip(_ENDS, both, strict=True)}


def _offset_error(question: Question, whole: pd.DataFrame, part: pd.DataFrame) -> float:
    """Standard error, over days, of the gap of `part` minus that of `whole`; `part` is a subset of `whole`.

    Each day's contribution to the difference is one observation, so that the overlap of the two is accounted for.
    """
    days = np.unique(whole["day"].to_numpy())
    if len(days) < 2:
        return NAN
    shares = []
    for rows in (part, whole):
        known = rows[rows["label"].notna()]
        y, p = known["label"].to_numpy("float64"), question.unpack_scores(known[question.score_column])
        residual, scale = question.row_residuals(y, p), question.row_scales(y)
        # A gap is a ratio of sums, sum(residual) / sum(scale). A row's influence on it is residual - gap * scale.
        residual = residual - residual.sum() / scale.sum() * scale
        day_index = np.searchsorted(days, known["day"].to_numpy())
        shares.append(np.bincount(day_index, residual, len(days)) / scale.sum())
    return find_offset_error(shares[0] - shares[1])


def find_offset_error(contributions: Array) -> float:
    """Standard error of a sum over days, of what each day contributes to it, shape (n_days,), at least 2."""
    days = len(contributions)
    return float(math.sqrt((contributions**2).sum() * days / (days - 1)))


@dataclass(frozen=True)
class ModelComparison:
    """Figures of a baseline model on the champion's rows, and the loss that the champion gains over it."""

    ranking: float
    loss: float
    gain: float
    """The baseline's loss minus the champion's. Above 0 the champion is better."""
    low: float
    """Lower end of the 95 % day-block interval of `gain`."""
    high: float


def compare_models(
    question: Question, y: ArrayLike, champion: ArrayLike, baseline: ArrayLike, day: ArrayLike
) -> ModelComparison:
    """Compare the champion's predictions with a baseline's on labelled rows.

    Args:
        question: the kind of question.
        y: labels, shape (n_rows,).
        champion: the champion's predictions.
        baseline: the baseline's predictions.
        day: day of each row, shape (n_rows,).

    Raises:
        DataError: as `bootstrap_paired_days`.
    """
    metrics = question.compute_metrics(y, baseline)
    gain = metrics.loss - question.compute_metrics(y, champion).loss
    _, drawn_gains = bootstrap_paired_days(
        question, y=y, challenger=baseline, champion=champion, day=day, replicates=DRAWS, seed=SEED
    )
    low, high = (float(v) for v in np.quantile(drawn_gains, _LEVELS))
    return ModelComparison(metrics.ranking, metrics.loss, gain, low, high)
