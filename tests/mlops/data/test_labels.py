"""A label is 1 or 0; whatever else a use case's SQL makes is told before anything learns from it."""

from __future__ import annotations

import pandas as pd
import pytest
from toy import TOY

from mlops.contract import DataError
from mlops.data import labels


def test_labels_are_one_or_nothing():
    labels._check_labels(pd.Series([0.0, 1.0, 1.0]), TOY)
    with pytest.raises(DataError, match=r"label failed has to be 1 or 0, and 3 of 4 rows .* \(such as 16, 0\.5\)"):
        labels._check_labels(pd.Series([16.0, 0.5, 16.0, 0.0]), TOY)
