"""What every kind of question takes as labels and as scores, and what it says of others."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from kinds import BINARY, CLASSES, NUMBER, SEVERAL

from mlops.contract import DataError


@pytest.mark.parametrize(
    ("question", "labels", "encoded"),
    [
        (BINARY, [1, 0, None], [1.0, 0.0, np.nan]),
        (BINARY, [True, False, None], [1.0, 0.0, np.nan]),
        (SEVERAL, ["blue", None, "red"], [2.0, np.nan, 0.0]),
        (NUMBER, [-2.5, None, 3], [-2.5, np.nan, 3.0]),
    ],
)
def test_labels_become_numbers_and_missing_ones_stay_missing(question, labels, encoded):
    made = question.encode_labels(pd.Series(labels))
    assert made.dtype == "float64"
    np.testing.assert_array_equal(made, encoded)


@pytest.mark.parametrize(
    ("question", "labels", "said"),
    [
        (BINARY, [1.0, 0.5, None, 7.0], "has to be 1 or 0, and 2 of 3 rows have another value (such as 0.5, 7)"),
        (SEVERAL, ["red", "rot", None], "has to be one of red, green, blue, and 1 of 2 rows have another value"),
        (NUMBER, [1.0, np.inf], "has to be a finite number, and 1 of 2 rows have another value (such as inf)"),
    ],
)
def test_a_label_of_another_kind_is_refused_with_its_sql(question, labels, said):
    with pytest.raises(DataError) as refused:
        question.encode_labels(pd.Series(labels))
    assert said in str(refused.value)
    assert "mend its SQL, 'delay > 15'" in str(refused.value)


@pytest.mark.parametrize(
    ("question", "labels", "said"),
    [
        (BINARY, [1.0, 1.0], "all 2 matured labels of May are 1, and a model needs both"),
        (SEVERAL, [0.0, 2.0], "none of the 2 matured labels of May is green"),
        (NUMBER, [4.5, 4.5], "all 2 matured labels of May are 4.5"),
    ],
)
def test_labels_that_teach_nothing_are_refused(question, labels, said):
    with pytest.raises(DataError, match=said):
        question.check_training(pd.Series(labels), "of May")


def test_one_class_alone_measures_no_quality():
    with pytest.raises(DataError, match="all 3 labels are blue"):
        SEVERAL.compute_metrics(np.full(3, 2.0), np.full((3, 3), 1 / 3))


@pytest.mark.parametrize(
    ("question", "right", "odd"),
    [
        (BINARY, [0.0, 1.0], [[1.01], [-0.1], [np.nan]]),
        (SEVERAL, [[0.2, 0.3, 0.5]], [[[0.2, 0.3, 0.6]], [[-0.5, 0.5, 1.0]], [[np.nan, 0.5, 0.5]]]),
        (NUMBER, [-1e9, 0.0], [[np.inf], [np.nan]]),
    ],
)
def test_scores_that_are_none_are_described(question, right, odd):
    assert question.describe_odd_scores(np.array(right)) == ""
    for scores in odd:
        assert question.describe_odd_scores(np.array(scores)).startswith("are no ")


@pytest.mark.parametrize(
    ("question", "names", "comment", "shape"),
    [
        (BINARY, ["prediction"], "Probability of", (4,)),
        (SEVERAL, ["prediction", "probabilities"], "Most probable class of", (4, len(CLASSES))),
        (NUMBER, ["prediction"], "Predicted number for", (4,)),
    ],
)
def test_predictions_have_the_columns_of_their_kind(question, names, comment, shape):
    assert [name for name, _, _ in question.score_columns] == names
    assert question.score_columns[0][2] == comment
    assert question.score_shape(4) == shape


def test_the_plot_per_day_shows_the_mean_or_the_most_frequent_class():
    assert NUMBER.daily_level(np.ones(2), np.zeros(2))[0] == "mean"
    name, share, p = SEVERAL.daily_level(np.array([1.0, 1.0, 0.0]), np.full((3, 3), 1 / 3))
    assert (name, share.tolist(), p.tolist()) == ("share of green", [1.0, 1.0, 0.0], [1 / 3] * 3)
