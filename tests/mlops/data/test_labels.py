"""A label is what its kind allows; whatever else a use case's SQL makes is told before anything learns from it."""

from __future__ import annotations

import re
from contextlib import nullcontext

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kinds import BINARY, NUMBER, SEVERAL
from toy import TOY

from mlops.contract import ConfigError, DataError, Label
from mlops.data import labels
from mlops.modeling.holdout import check_parts

START = pd.Timestamp("2024-01-01")


@given(st.lists(st.integers(-3, 3), max_size=300), st.sampled_from([0, 150, 400]))
def test_labels_that_were_known_at_their_questions_are_refused(hours, more):
    """`hours` from the question to the report, and `more` rows that are reported a day after it."""
    known = START + pd.to_timedelta([*hours, *[24] * more], unit="h")
    early = int(labels.find_early(pd.Series(known), pd.Series(START, range(len(known)))).sum())
    assert early == sum(hour <= 0 for hour in hours)
    reason = labels.describe_early(early, len(known), TOY)
    assert bool(reason) == (len(known) >= 100 and early > len(known) / 100)
    if reason:
        assert re.match(rf"{early} of {len(known)} labels were known .* either judged of results", reason)


@given(st.lists(st.tuples(st.integers(0, 120), st.integers(0, 3)), max_size=8))
def test_early_labels_of_a_holdout_in_parts_are_judged_as_those_of_the_whole(counts):
    """`counts` has the number of labels of each part, and of the early ones among them."""
    parts = [(pd.DataFrame({"label": [1.0] * rows}), min(early, rows)) for rows, early in counts]
    rows, early = sum(len(part) for part, _ in parts), sum(early for _, early in parts)
    read = []
    with pytest.raises(DataError) if labels.describe_early(early, rows, TOY) else nullcontext():
        read.extend(check_parts(parts, TOY))
    assert sum(map(len, read)) == rows or labels.describe_early(early, rows, TOY)


def test_labels_of_each_kind_become_numbers_and_missing_ones_stay_missing():
    assert BINARY.encode_labels(pd.Series([0.0, 1.0, None])).tolist()[:2] == [0.0, 1.0]
    assert NUMBER.encode_labels(pd.Series([-2.5, 0.0, None])).tolist()[:2] == [-2.5, 0.0]
    found = SEVERAL.encode_labels(pd.Series(["blue", None, "red"]))
    assert found.isna().tolist() == [False, True, False]
    assert found.dropna().tolist() == [2.0, 0.0]
    assert SEVERAL.encode_labels(pd.Series([None, None], dtype="object")).isna().all()


@pytest.mark.parametrize(
    ("question", "given_labels", "said"),
    [
        (BINARY, [16.0, 0.5, 16.0, 0.0], r"has to be 1 or 0, and 3 of 4 rows .* \(such as 16, 0\.5\)"),
        (NUMBER, [1.0, float("inf")], r"has to be a finite number, and 1 of 2 rows .* \(such as inf\)"),
        (SEVERAL, ["red", "pink", None], r"has to be one of red, green, blue, and 1 of 2 rows .* \(such as 'pink'\)"),
        (SEVERAL, ["red", "1.5"], r"1 of 2 rows have another value \(such as '1\.5'\): mend its SQL, 'delay > 15'"),
    ],
)
def test_other_labels_are_refused_with_their_values(question, given_labels, said):
    with pytest.raises(DataError, match=said):
        question.encode_labels(pd.Series(given_labels))


@pytest.mark.parametrize(
    ("question", "given_labels", "said"),
    [
        (BINARY, [1.0, 1.0], "all 2 matured labels before May are 1, and a model needs both 1 and 0"),
        (NUMBER, [7.5, 7.5], "all 2 matured labels before May are 7.5, and a model needs different ones"),
        (SEVERAL, [0.0, 0.0, 2.0], "none of the 3 matured labels before May is green, and a model learns only"),
    ],
)
def test_labels_that_no_model_can_learn_from_are_refused(question, given_labels, said):
    with pytest.raises(DataError, match=said):
        question.check_training(pd.Series(given_labels), "before May")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"kind": "regression"}, "kind is 'regression', and one of binary, classes, number"),
        ({"kind": "classes"}, "of kind classes has classes .*: name every class"),
        ({"classes": ("a", "b")}, "of kind binary has classes .*: leave classes empty"),
        ({"kind": "classes", "classes": ("a",)}, "name at least two, each once"),
        ({"kind": "classes", "classes": ("a", "b", "a")}, "name at least two, each once"),
        ({"kind": "classes", "classes": ("a", "")}, "none empty"),
    ],
)
def test_a_kind_that_does_not_exist_and_classes_that_do_not_fit_are_refused(changes, said):
    with pytest.raises(ConfigError, match=said):
        Label(name="x", source="s", value="v", matured="m", **changes)
