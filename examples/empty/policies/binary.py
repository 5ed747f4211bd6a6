"""Limits of the gate, of monitoring and of retraining."""

from __future__ import annotations

from datetime import timedelta

from mlops.contract import Policy, Share

POLICY = Policy(
    # TODO: set the limits from what notebooks/train.py shows, as "Set the limits" of docs/tutorial/your-data.md says.
    holdout=timedelta(days=28),
    # TODO: the time after an event from which its outcome is there.
    maturity=timedelta(days=2),
    min_ranking=0.6,  # AUC
    min_skill=0.02,
    max_ranking=0.95,
    margin_ranking=0.01,
    margin_loss=Share(0.01),
    margin_precision=Share(0.1),
    # Shares of the mean label, so that they fit a rare yes, too. With less than 200 of label 1 in the holdout: 0.3.
    max_gap=Share(0.2),
    retrain_gap=Share(0.2),
    slice_gap=Share(0.05),
)
