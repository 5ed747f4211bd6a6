"""Limits of the gate, of monitoring and of retraining."""

from __future__ import annotations

from datetime import timedelta

from mlops.contract import Policy

POLICY = Policy(
    # TODO: set them from what `notebooks/train.py` shows of your data; the docstrings of Policy say what each one does.
    holdout=timedelta(days=28),
    maturity=timedelta(days=2),
    min_ranking=0.6,
    min_skill=0.02,
    max_ranking=0.95,
    margin_ranking=0.01,
    margin_loss=0.005,
    max_gap=0.05,
)
