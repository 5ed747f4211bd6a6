"""What the gate says if the holdout has no rows, and which entities it counts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
from pyspark.sql import SparkSession
from toy import TOY

from mlops.contract import DataError
from mlops.modeling import holdout, splits
from mlops.platform.tables import Schema

AS_OF = datetime(2024, 3, 2, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.mark.parametrize("parts", [[], [pd.DataFrame()]])
def test_a_holdout_without_rows_is_one_sentence_that_names_its_days(parts: list[pd.DataFrame]) -> None:
    job: Any = SimpleNamespace(use_case=TOY, config=SimpleNamespace(as_of=datetime(2024, 3, 2, 5, tzinfo=UTC)))
    rows: Any = SimpleNamespace(read_parts=lambda: parts)
    words = (
        r"no entity of the holdout, 2024-\d\d-\d\d to 2024-0\d-\d\d, has features and a label as of 2024-03-02: bring"
    )
    with pytest.raises(DataError, match=words):
        holdout.score_holdout(job, SimpleNamespace(), None, rows)  # type: ignore[arg-type] # no version is scored


def test_an_entity_that_was_moved_out_of_the_window_before_its_question_is_none_of_it(
    spark: SparkSession, tmp_path: Path
) -> None:
    """Orders are asked about two hours before they are due; 1 was put off before that, 3 after it."""
    data, windows = Schema(spark, tmp_path, "prod", "toy"), splits.split_windows(AS_OF, TOY.policy)
    inside, after = windows.holdout_until - 12 * HOUR, windows.holdout_until + 12 * HOUR
    orders = [
        (1, inside, inside - 50 * HOUR), (1, after, inside - 3 * HOUR), (2, inside, inside - 50 * HOUR),
        (3, inside, inside - 50 * HOUR), (3, after, inside - HOUR),
    ]  # fmt: skip
    made = {
        "orders": (orders, "id bigint, due timestamp, announced timestamp"),
        "features": (
            [(number, inside, inside - 2 * HOUR) for number in (2, 3)],
            "id bigint, event_time timestamp, prediction_time timestamp",
        ),
        "results": ([(2, inside + HOUR, 1)], "id bigint, judged timestamp, failed bigint"),
    }
    for name, (rows, columns) in made.items():
        spark.createDataFrame(rows, columns).writeTo(data.identifier(name)).using("delta").create()
    job: Any = SimpleNamespace(use_case=TOY, data=data, config=SimpleNamespace(as_of=AS_OF))
    coverage = holdout._count_days(job, windows, dict.fromkeys(made, 0))
    counts = coverage.holdout[["entities", "featured", "reported"]].sum().to_dict()
    assert counts == {"entities": 2, "featured": 2, "reported": 1}


@pytest.mark.parametrize("broken", ["challenger", "contract", "champion", None])
def test_scores_are_complete_where_no_error_prevented_one(broken: str | None) -> None:
    """Only then the verdict is recorded as that of its case; else the next validation judges anew."""
    given: dict[str, Any] = dict.fromkeys(("challenger", "contract", "champion"))
    given |= {broken: OSError("the file could not be loaded")} if broken else {}
    assert holdout.HoldoutScores(**given).is_complete == (broken is None)
