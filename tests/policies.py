"""The limits that tests of single decisions start from; each test changes what it is about."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from mlops.contract import Policy

PLAIN = Policy(
    holdout=timedelta(days=28),
    maturity=timedelta(days=2),
    min_ranking=0.7,
    min_skill=0.08,
    max_ranking=0.85,
    margin_ranking=0.005,
    margin_loss=0.002,
    max_gap=0.05,
)
BY_CARRIER = replace(PLAIN, slices=("carrier",))
