"""Measure the quality of a window and of its slices, with intervals, and the log-loss expected before labels come."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from mlops.contract import Policy
from mlops.modeling.metrics import bootstrap_paired_days, compute_metrics

NAN = float("nan")
_REPLICATES, _SEED = 200, 0
_LEVELS = (0.025, 0.975)


@dataclass(frozen=True, kw_only=True)
class Quality:
    """Figures of one window and slice. Without labels, or on hold, only counts and expected figures are not NaN."""

    start: datetime
    end: datetime
    slice: str
    """"" for all rows, else as "origin=JFK"."""
    state: str
    """judged; hold: too few outcomes are reported, or too few rows of one class; waiting: labels are not due yet."""
    rows: int
    """Predictions, with or without label."""
    labelled: int
    positives: int
    unreported: float
    """Share of predictions whose outcome has not been reported."""
    expected_rate: float
    """Mean prediction."""
    expected_log_loss: float
    """Mean log-loss, nats, if the predictions are calibrated."""
    rate: float = NAN
    auc: float = NAN
    auc_low: float = NAN
    auc_high: float = NAN
    log_loss: float = NAN
    log_loss_low: float = NAN
    log_loss_high: float = NAN
    brier: float = NAN
    calibration_gap: float = NAN
    """Mean prediction - mean label of the labelled rows."""
    gap_low: float = NAN
    gap_high: float = NAN
    excess_log_loss: float = NAN
    """Log-loss minus the expected log-loss, nats. Above 0 the predictions are worse than they claim to be."""
    offset_error: float = NAN
    """Slices only: standard error, over days, of the slice's calibration gap minus the window's."""


def mean_entropy(p: ArrayLike) -> float:
    """Mean entropy of the predicted probabilities `p`, nats: their log-loss if they are calibrated."""
    p = np.clip(np.asarray(p, "float64"), 1e-12, 1 - 1e-12)
    return float(-(p * np.log(p) + (1 - p) * np.log1p(-p)).mean())


def measure_slices(
    rows: pd.DataFrame, start: datetime, end: datetime, policy: Policy, *, due: bool
) -> Iterator[Quality]:
    """Measure a window and, where its labels are due, each group of the policy's slice columns.

    Args:
        rows: one row per prediction, with the columns prediction, label (NaN: none), reported (True: the outcome is
            known, with or without label), day and the policy's slice columns.
        start: first moment of the window, UTC.
        end: end of the window, excluded, UTC.
        policy: `slices`, `max_unlabelled`, `slice_min_rows`, `slice_min_positives`.
        due: True if every label of the window should have come.

    Returns:
        The window first, then its slices.
    """
    span = {"start": start, "end": end}
    yield _measure_slice(rows, "", policy, span, due=due, least=(1, 1))
    for name in policy.slices if due else ():
        for value, part in rows.groupby(name):
            least = (policy.slice_min_rows, policy.slice_min_positives)
            quality = _measure_slice(part, f"{name}={value}", policy, span, due=due, least=least)
            yield replace(quality, offset_error=_offset_error(rows, part)) if quality.state == "judged" else quality


def _measure_slice(
    rows: pd.DataFrame, slice_: str, policy: Policy, span: dict[str, Any], *, due: bool, least: tuple[int, int]
) -> Quality:
    known = rows[rows["label"].notna()]
    unreported = float(1 - rows["reported"].mean())
    base: dict[str, Any] = {
        **span,
        "slice": slice_,
        "rows": len(rows),
        "labelled": len(known),
        "positives": int(known["label"].sum()),
        "unreported": unreported,
        "expected_rate": float(rows["prediction"].mean()),
        "expected_log_loss": mean_entropy(rows["prediction"]) if len(rows) else NAN,
    }
    if not due:
        return Quality(**base, state="waiting")
    classes = min(base["positives"], len(known) - base["positives"])
    if not unreported <= policy.max_unlabelled or len(known) < least[0] or classes < least[1]:
        return Quality(**base, state="hold")
    return Quality(**base, state="judged", **_compute_figures(known))


def _compute_figures(known: pd.DataFrame) -> dict[str, Any]:
    y, p = known["label"].to_numpy("float64"), known["prediction"].to_numpy("float64")
    metrics = compute_metrics(y, p)
    figures: dict[str, Any] = {
        "rate": float(y.mean()),
        "auc": metrics.auc,
        "log_loss": metrics.log_loss,
        "brier": float(((p - y) ** 2).mean()),
        "calibration_gap": metrics.calibration_gap,
        "excess_log_loss": metrics.log_loss - mean_entropy(p),
    }
    days, index = np.unique(known["day"].to_numpy(), return_inverse=True)
    if len(days) < 2:
        return figures
    # The bootstrap returns differences. A constant .5 has AUC .5 and log-loss log 2 in every draw, so adding these back
    # gives the draws of the model's own AUC and log-loss.
    coin = np.full(len(y), 0.5)
    auc, loss = bootstrap_paired_days(y=y, challenger=p, champion=coin, day=index, replicates=_REPLICATES, seed=_SEED)
    drawn = np.random.default_rng(_SEED).multinomial(len(days), np.full(len(days), 1 / len(days)), size=_REPLICATES)
    # `drawn` counts how often each day was drawn, shape (replicates, n_days). Sums of residuals and rows per day give
    # the mean residual of every draw by two matrix products.
    gaps = drawn @ np.bincount(index, p - y) / (drawn @ np.bincount(index))
    for name, draws in (("auc", auc + 0.5), ("log_loss", loss + math.log(2)), ("gap", gaps)):
        figures[f"{name}_low"], figures[f"{name}_high"] = (float(v) for v in np.nanquantile(draws, _LEVELS))
    return figures


def _offset_error(whole: pd.DataFrame, part: pd.DataFrame) -> float:
    """Standard error, over days, of the mean residual of `part` minus that of `whole`; `part` is a subset of `whole`.

    Each day's contribution to the difference is one observation, so that the overlap of the two is accounted for.
    """
    days = np.unique(whole["day"].to_numpy())
    if len(days) < 2:
        return NAN
    shares = []
    for rows in (part, whole):
        known = rows[rows["label"].notna()]
        residual = (known["prediction"] - known["label"]).to_numpy()
        residual = residual - residual.mean()
        day_index = np.searchsorted(days, known["day"].to_numpy())
        shares.append(np.bincount(day_index, residual, len(days)) / len(known))
    contributions = shares[0] - shares[1]  # of each day to the difference, shape (n_days,)
    return float(math.sqrt((contributions**2).sum() * len(days) / (len(days) - 1)))


@dataclass(frozen=True)
class ModelComparison:
    """Figures of a baseline model on the champion's rows, and the log-loss that the champion gains over it."""

    auc: float
    log_loss: float
    log_loss_gain: float
    """The baseline's log-loss minus the champion's, nats. Above 0 the champion is better."""
    low: float
    """Lower end of the 95 % day-block interval of `log_loss_gain`."""
    high: float


def compare_models(y: ArrayLike, champion: ArrayLike, baseline: ArrayLike, day: ArrayLike) -> ModelComparison:
    """Compare the champion's predictions with a baseline's on labelled rows.

    Args:
        y: labels, 1 or 0, shape (n_rows,).
        champion: the champion's predictions, shape (n_rows,).
        baseline: the baseline's predictions, shape (n_rows,).
        day: day of each row, shape (n_rows,).

    Raises:
        DataError: as `bootstrap_paired_days`.
    """
    metrics = compute_metrics(y, baseline)
    gain = metrics.log_loss - compute_metrics(y, champion).log_loss
    _, drawn_gains = bootstrap_paired_days(
        y=y, challenger=baseline, champion=champion, day=day, replicates=_REPLICATES, seed=_SEED
    )
    low, high = (float(v) for v in np.quantile(drawn_gains, _LEVELS))
    return ModelComparison(metrics.auc, metrics.log_loss, gain, low, high)
