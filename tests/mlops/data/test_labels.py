"""A label is 1 or 0; whatever else a use case's SQL makes is told before anything learns from it."""

from __future__ import annotations

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from toy import TOY

from mlops.contract import DataError
from mlops.data import labels

START = pd.Timestamp("2024-01-01")


@given(st.lists(st.integers(-3, 3), max_size=300), st.sampled_from([0, 150, 400]))
def test_labels_that_were_known_at_their_questions_are_refused(hours, more):
    """`hours` from the question to the report, and `more` rows that are reported a day after it."""
    known = START + pd.to_timedelta([*hours, *[24] * more], unit="h")
    rows = pd.DataFrame({labels.KNOWN: known, "prediction_time": START})
    early = sum(hour <= 0 for hour in hours)
    if len(rows) >= 100 and early > len(rows) / 100:
        with pytest.raises(DataError, match=rf"{early} of {len(rows)} labels were known .* either judged of results"):
            labels._check_moments(rows, TOY)
    else:
        labels._check_moments(rows, TOY)


def test_labels_are_one_or_nothing():
    labels._check_labels(pd.Series([0.0, 1.0, 1.0]), TOY)
    with pytest.raises(DataError, match=r"label failed has to be 1 or 0, and 3 of 4 rows .* \(such as 16, 0\.5\)"):
        labels._check_labels(pd.Series([16.0, 0.5, 16.0, 0.0]), TOY)
