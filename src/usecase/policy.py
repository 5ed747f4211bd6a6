"""Limits of the gate, of monitoring and of retraining for flights. Figures: benchmarks/RESULTS.md."""

from __future__ import annotations

from datetime import timedelta

from mlops.contract import Policy

POLICY = Policy(
    # A month of flights says as much about the late rate as about 270 independent flights; 14 days say too little.
    holdout=timedelta(days=28),
    # Labels come 5 hours after the prediction in the median, and 35 hours at most.
    maturity=timedelta(days=2),
    min_ranking=0.68,
    min_skill=0.06,
    # No model can rank this well two hours ahead, unless a feature contains the outcome.
    max_ranking=0.85,
    margin_ranking=0.005,
    margin_loss=0.001,
    max_gap=0.05,
    slices=("origin", "carrier"),
    # Schedules are steady from week to week; weather, delays and features made of them are not.
    paging=("carrier", "origin", "dest", "distance", "minute_of_day"),
)
