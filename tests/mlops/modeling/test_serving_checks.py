"""The time that a model takes for one row is the model's own."""

from __future__ import annotations

import gc

import numpy as np
import pandas as pd
import pytest
from kinds import BINARY

from mlops.modeling import serving_checks


class CollectorSeen:
    """A model of no work that notes whether Python's garbage collector is on while it answers."""

    def __init__(self):
        self.seen = []

    def predict_proba(self, rows):
        self.seen.append(gc.isenabled())
        return np.full((len(rows), 2), 0.5)


@pytest.mark.parametrize("before", [True, False])
def test_a_pass_of_the_garbage_collector_is_no_time_of_the_model(before):
    model, rows = CollectorSeen(), pd.DataFrame({"size": np.arange(50.0), "kind": "x"})
    (gc.enable if before else gc.disable)()
    try:
        _, latency = serving_checks.run_serving_checks(BINARY, model, rows)
        assert gc.isenabled() is before
    finally:
        gc.enable()
    assert not any(model.seen[-50:])  # the measured calls come last
    assert latency >= 0
