"""Limits of the gate, of monitoring and of retraining."""

from __future__ import annotations

from datetime import timedelta

from mlops.contract import Policy, Share

POLICY = Policy(
    # TODO: set the limits from what notebooks/train.py shows, as "Set the limits" of docs/tutorial/your-data.md says.
    holdout=timedelta(days=28),
    # TODO: the time after an event from which its outcome is there.
    maturity=timedelta(days=2),
    min_ranking=0.6,  # mean AUC of each class against the rest
    min_skill=0.02,
    max_ranking=0.95,
    margin_ranking=0.01,
    margin_loss=Share(0.01),
    max_gap=0.05,
    retrain_gap=0.05,
)
