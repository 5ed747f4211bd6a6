"""What the gate says if the holdout has no rows."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
from toy import TOY

from mlops.contract import DataError
from mlops.modeling import holdout


@pytest.mark.parametrize("parts", [[], [pd.DataFrame()]])
def test_a_holdout_without_rows_is_one_sentence_that_names_its_days(parts: list[pd.DataFrame]) -> None:
    job: Any = SimpleNamespace(use_case=TOY, config=SimpleNamespace(as_of=datetime(2024, 3, 2, 5, tzinfo=UTC)))
    rows: Any = SimpleNamespace(read_parts=lambda: parts)
    words = (
        r"no entity of the holdout, 2024-\d\d-\d\d to 2024-0\d-\d\d, has features and a label as of 2024-03-02: bring"
    )
    with pytest.raises(DataError, match=words):
        holdout.score_holdout(job, SimpleNamespace(), None, rows)  # type: ignore[arg-type] # no version is scored
