"""Limits of the gate, of monitoring and of retraining."""

from __future__ import annotations

from datetime import timedelta

from mlops.contract import Policy, Share

POLICY = Policy(
    # TODO: set the limits from what notebooks/train.py shows, as "Set the limits" of docs/tutorial/your-data.md says.
    holdout=timedelta(days=28),
    # TODO: the time after an event from which its outcome is there.
    maturity=timedelta(days=2),
    min_ranking=0.6,  # share of pairs in the right order
    min_skill=0.1,  # share of the variance that is explained
    max_ranking=0.98,
    margin_ranking=0.01,
    margin_loss=Share(0.03),
    # Shares of the labels' sum: predictions that are a tenth too high or too low on the whole.
    max_gap=0.1,
    retrain_gap=0.1,
    slice_gap=0.05,
)
