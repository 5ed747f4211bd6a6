"""Limits of the gate, of monitoring and of retraining for the bikes: one series of 168 hours a week."""

from __future__ import annotations

from datetime import timedelta

from mlops.contract import Policy, Share

POLICY = Policy(
    holdout=timedelta(days=28),
    # An hour is reported 5 minutes after its end.
    maturity=timedelta(days=1),
    min_ranking=0.7,
    min_skill=0.4,
    max_ranking=0.97,
    margin_ranking=0.01,
    margin_loss=Share(0.03),
    # Rentals grow through spring and fall in autumn, and the model knows no year: weeks are off by a tenth and more.
    max_gap=0.2,
    slices=("workingday",),
    slice_min_rows=150,
    paging=("hour", "weekday"),
    retrain_gap=0.15,
    slice_gap=0.1,
    retrain_age=timedelta(days=56),
)
