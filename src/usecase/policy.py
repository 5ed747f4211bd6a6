"""When a model is good enough to serve, and when it has stopped being so. Figures: benchmarks/RESULTS.md."""

from __future__ import annotations

from datetime import timedelta

from mlops.contract import Policy

POLICY = Policy(
    # 28 days: a month of flights says as much about the late rate as some 270 independent ones; 14 days are noise.
    holdout=timedelta(days=28),
    # Labels come 5 hours after the question in the median and 35 at most.
    maturity=timedelta(days=2),
    min_auc=0.68,
    min_skill=0.06,
    # Two hours ahead nobody knows this much: some feature would have seen the outcome.
    max_auc=0.85,
    margin_auc=0.005,
    margin_log_loss=0.001,
    max_calibration_gap=0.05,
    slices=("origin", "carrier"),
    # The timetable is steady from week to week; weather, delays and what follows from them never are.
    paging=("carrier", "origin", "dest", "distance", "minute_of_day"),
)
