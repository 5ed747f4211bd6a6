"""Limits of the gate, of monitoring and of retraining."""

from __future__ import annotations

from datetime import timedelta

from mlops.contract import Policy

POLICY = Policy(
    # TODO: set them from what `notebooks/train.py` shows of your data; the docstrings of Policy say what each one does.
    holdout=timedelta(days=28),
    maturity=timedelta(days=2),
    min_auc=0.6,
    min_skill=0.02,
    max_auc=0.95,
    margin_auc=0.01,
    margin_log_loss=0.005,
    max_calibration_gap=0.05,
)
