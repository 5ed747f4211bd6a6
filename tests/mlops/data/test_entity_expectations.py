"""Expectations of an entity: Great Expectations names the rows that must not be scored."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import product

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from toy import TOY, rule

from mlops.contract import ConfigError, Expectation
from mlops.data.expectations import find_broken_rows
from mlops.data.row_contract import score_valid_rows

VALUES = product([None, 0.5, -1.0, 7.0], [None, "x", "y", "z", ""], [None, -1.0, 0.0, 0.5, 8.0])
ROWS = [{"size": size, "kind": kind, "due_around": due} for size, kind, due in VALUES]
PAIR = {"column_A": "size", "column_B": "due_around", "or_equal": True, "ignore_row_if": "either_value_is_missing"}


def expectations():
    rules = (
        rule("ExpectColumnValuesToBeInSet", "kind", value_set=["x", "y"]),
        rule("ExpectColumnValuesToNotBeNull", "due_around"),
        rule("ExpectColumnPairValuesAToBeGreaterThanB", None, **PAIR),
    )
    return [Expectation(made, "quarantine") for made in rules]


def broken_by(size, kind, due_around):
    """The oracle: the rules that one row by itself breaks."""
    breaks = {
        "kind:be_in_set": kind not in {"x", "y", None},
        "due_around:not_be_null": due_around is None,
        "size+due_around:a_to_be_greater_than_b": None not in {size, due_around} and size < due_around,
    }
    return sorted(name for name, is_broken in breaks.items() if is_broken)


class Fair:
    """Answers every row."""

    feature_names_in_ = ("size", "kind", "due_around")
    classes_ = (0, 1)

    def predict_proba(self, rows):
        return np.full((len(rows), 2), 0.5)


def test_rows_that_break_an_expectation_get_no_score_and_the_others_do():
    breaks = find_broken_rows(pa.Table.from_pylist(ROWS), expectations())
    scores, broken = score_valid_rows(Fair(), pd.DataFrame(ROWS), TOY, breaks)
    expected = {at: rules for at, row in enumerate(ROWS) if (rules := broken_by(**row))}
    assert {at: sorted(rules) for at, rules in broken.items()} == expected
    assert 0 < len(expected) < len(ROWS)
    assert set(np.flatnonzero(np.isnan(scores))) == {*expected}


def test_an_entity_judges_no_batch_as_a_whole():
    mean = Expectation(rule("ExpectColumnMeanToBeBetween", "size", max_value=3), "block")
    with pytest.raises(ConfigError, match="size:mean_to_be_between of the entity must have the action quarantine"):
        find_broken_rows(pa.table({"size": [1.0]}), [mean])


def conditional(condition):
    from great_expectations.expectations.row_conditions import PassThroughCondition

    return rule("ExpectColumnValuesToBeNull", "id", row_condition=PassThroughCondition(pass_through_filter=condition))


def test_a_row_gets_the_same_verdict_alone_and_beside_rows_that_lack_a_required_value():
    rules = (
        *(conditional(f"prediction_time.dt.hour.astype('str') == '{hour}'") for hour in ("3", "3.0")),
        conditional("id.astype('str').str.len() == 1"),
        conditional("n.astype('str') == '7'"),
        *(rule(f"ExpectColumnPairValues{kind}", None, column_A="id", column_B=other)
          for kind in ("AToBeGreaterThanB", "ToBeEqual") for other in ("n", "size")),
    )  # fmt: skip
    chosen, required = [Expectation(made, "quarantine") for made in rules], ("id", "prediction_time")
    ids, hours, longs = [1, None, 8, 2**53 + 1], [3, None, 4], [7, None]
    rows = [(id_, hour, n) for n in longs for id_, hour in product(ids, hours)]
    table = pa.table(
        {
            "id": pa.array([id_ for id_, _, _ in rows], pa.int64()),
            "prediction_time": pa.array(
                [None if hour is None else datetime(2024, 1, 1, hour, tzinfo=UTC) for _, hour, _ in rows],
                pa.timestamp("us", "UTC"),
            ),
            "n": pa.array([n for _, _, n in rows], pa.int64()),
            "size": pa.array([2.0 * at for at in range(len(rows))], pa.float64()),
        }
    )

    def judge(part):
        breaks = find_broken_rows(part, chosen, required)
        return [{name for name, positions in breaks.items() if at in positions} for at in range(part.num_rows)]

    whole = judge(table)
    assert [judge(table.slice(at, 1))[0] for at in range(len(rows))] == whole
    for (id_, hour, _), broken in zip(rows, whole, strict=True):
        lacks = {name for name, value in (("id:required", id_), ("prediction_time:required", hour)) if value is None}
        assert broken == lacks if lacks else not any(name.endswith("required") for name in broken)
    assert whole[0] == {
        "id:be_null[prediction_time.dt.hour.astype('str') == '3']", "id:be_null[id.astype('str').str.len() == 1]",
        "id:be_null[n.astype('str') == '7']", "id+n:a_to_be_greater_than_b", "id+n:to_be_equal", "id+size:to_be_equal",
    }  # fmt: skip
