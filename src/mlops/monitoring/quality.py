"""Quality of a window and of its slices, how sure it is, and what could be expected before the labels came."""

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
from mlops.modeling.metrics import compute_metrics, paired_day_bootstrap

NAN = float("nan")
_REPLICATES, _SEED = 200, 0
_LEVELS = (0.025, 0.975)


@dataclass(frozen=True, kw_only=True)
class Quality:
    """One window and slice. Without labels, or on hold, all but the counts and the expectation is NaN."""

    start: datetime
    end: datetime
    slice: str
    """"" for all rows, else as "origin=JFK"."""
    state: str
    """judged; hold: too few outcomes have been reported, or too few rows of a class; waiting: labels are not due."""
    rows: int
    """Predictions, with or without label."""
    labelled: int
    positives: int
    unreported: float
    """Share of predictions whose outcome has not been reported."""
    expected_rate: float
    """Mean prediction."""
    expected_log_loss: float
    """What the log-loss will be if the predictions are calibrated."""
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
    surprise: float = NAN
    """Log-loss minus the expected one: above 0, the predictions are worse than they claim."""
    offset_error: float = NAN
    """Of a slice: standard error, over days, of its calibration gap minus its window's."""


def expected_log_loss(p: ArrayLike) -> float:
    """Mean entropy of predicted probabilities, nats: their log-loss if they are calibrated."""
    p = np.clip(np.asarray(p, "float64"), 1e-12, 1 - 1e-12)
    return float(-(p * np.log(p) + (1 - p) * np.log1p(-p)).mean())


def measure_slices(
    rows: pd.DataFrame, start: datetime, end: datetime, policy: Policy, *, due: bool
) -> Iterator[Quality]:
    """Quality of a window and, where its labels are due, of each of the policy's slices.

    Args:
        rows: one row per prediction: prediction, label (NaN: none), reported (its outcome is known, label or not),
            day, and the policy's slices.
        start: of the window, UTC.
        end: its end, excluded, UTC.
        policy: `slices`, `max_unlabelled`, `slice_min_rows`, `slice_min_positives`.
        due: whether all labels should have come.
    """
    span = {"start": start, "end": end}
    yield _measure_slice(rows, "", policy, span, due=due, least=(1, 1))
    for name in policy.slices if due else ():
        for value, part in rows.groupby(name):
            least = (policy.slice_min_rows, policy.slice_min_positives)
            found = _measure_slice(part, f"{name}={value}", policy, span, due=due, least=least)
            yield replace(found, offset_error=_offset_error(rows, part)) if found.state == "judged" else found


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
        "expected_log_loss": expected_log_loss(rows["prediction"]) if len(rows) else NAN,
    }
    if not due:
        return Quality(**base, state="waiting")
    classes = min(base["positives"], len(known) - base["positives"])
    if not unreported <= policy.max_unlabelled or len(known) < least[0] or classes < least[1]:
        return Quality(**base, state="hold")
    return Quality(**base, state="judged", **_compute_figures(known))


def _compute_figures(known: pd.DataFrame) -> dict[str, Any]:
    y, p = known["label"].to_numpy("float64"), known["prediction"].to_numpy("float64")
    found = compute_metrics(y, p)
    figures: dict[str, Any] = {
        "rate": float(y.mean()),
        "auc": found.auc,
        "log_loss": found.log_loss,
        "brier": float(((p - y) ** 2).mean()),
        "calibration_gap": found.calibration_gap,
        "surprise": found.log_loss - expected_log_loss(p),
    }
    days, index = np.unique(known["day"].to_numpy(), return_inverse=True)
    if len(days) < 2:
        return figures
    # Against a coin every draw's AUC is .5 and its log-loss log 2, so the differences are the figures themselves.
    coin = np.full(len(y), 0.5)
    auc, loss = paired_day_bootstrap(y=y, challenger=p, champion=coin, day=index, replicates=_REPLICATES, seed=_SEED)
    drawn = np.random.default_rng(_SEED).multinomial(len(days), np.full(len(days), 1 / len(days)), size=_REPLICATES)
    gaps = drawn @ np.bincount(index, p - y) / (drawn @ np.bincount(index))
    for name, draws in (("auc", auc + 0.5), ("log_loss", loss + math.log(2)), ("gap", gaps)):
        figures[f"{name}_low"], figures[f"{name}_high"] = (float(v) for v in np.nanquantile(draws, _LEVELS))
    return figures


def _offset_error(whole: pd.DataFrame, part: pd.DataFrame) -> float:
    """Standard error of the difference of two mean residuals, one of a part of the other's rows, days as units."""
    days = np.unique(whole["day"].to_numpy())
    if len(days) < 2:
        return NAN
    shares = []
    for rows in (part, whole):
        known = rows[rows["label"].notna()]
        residual = (known["prediction"] - known["label"]).to_numpy()
        residual = residual - residual.mean()
        place = np.searchsorted(days, known["day"].to_numpy())
        shares.append(np.bincount(place, residual, len(days)) / len(known))
    moved = shares[0] - shares[1]  # how far each day moves the difference
    return float(math.sqrt((moved**2).sum() * len(days) / (len(days) - 1)))


@dataclass(frozen=True)
class ModelComparison:
    """What another model would have done on the same rows, and how sure the difference is."""

    auc: float
    log_loss: float
    log_loss_saved: float
    """Its log-loss minus the champion's, with the 95 % day-block interval below: above 0, the champion is better."""
    low: float
    high: float


def compare_models(y: ArrayLike, champion: ArrayLike, other: ArrayLike, day: ArrayLike) -> ModelComparison:
    """Hold the champion's predictions against another model's on labelled rows.

    Args:
        y: labels, shape (n_rows,).
        champion: its predictions.
        other: those of the other model.
        day: of each row.

    Raises:
        DataError: as `paired_day_bootstrap`.
    """
    found = compute_metrics(y, other)
    _, saved = paired_day_bootstrap(
        y=y, challenger=other, champion=champion, day=day, replicates=_REPLICATES, seed=_SEED
    )
    low, high = (float(v) for v in np.quantile(saved, _LEVELS))
    return ModelComparison(found.auc, found.log_loss, found.log_loss - compute_metrics(y, champion).log_loss, low, high)
