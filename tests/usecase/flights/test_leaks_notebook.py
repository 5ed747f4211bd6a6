"""The notebook on leaks: both win offline, and in service are worse than what was known when asked."""

from __future__ import annotations

import runpy
from pathlib import Path

import matplotlib as mpl
import pytest

NOTEBOOK = Path(__file__).parents[3] / "notebooks/leaks.py"


@pytest.mark.nightly
def test_both_leaks_win_offline_and_lose_in_service():
    mpl.use("Agg")
    scores = runpy.run_path(str(NOTEBOOK))["scores"]
    honest = scores["known when asked"]
    assert honest["served"] == honest["offline"] > scores["no history"]["offline"]
    for name in ("C: window to the departure", "D: rate of the same day"):
        assert scores[name]["offline"] > honest["offline"] + 0.02
        assert scores[name]["served"] < honest["served"] - 0.005
