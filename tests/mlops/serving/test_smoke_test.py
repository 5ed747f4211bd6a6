"""What a smoke test finds in the answers of an endpoint."""

from __future__ import annotations

import re

import numpy as np
import pytest

from mlops.platform.endpoints import Answer
from mlops.serving.smoke_test import find_faults

EXPECTED = np.array([[0.25, 0.75]])
RIGHT = [[0.25, 0.75]]


def answers(predictions=RIGHT, seconds=0.01, version=2):
    return [Answer(RIGHT, 0.01, 2)] * 4 + [Answer(predictions, seconds, version)]


def test_right_answers_have_no_fault():
    assert find_faults(EXPECTED, answers(), 2, 100) == []
    assert find_faults(EXPECTED, [Answer(RIGHT, 0.01, None)], 2, 100) == []  # an endpoint may not say who answered


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        ({"predictions": [[0.25]]}, r"the predictions have shape \(1, 1\), those of the files \(1, 2\)"),
        ({"predictions": [0.25, 0.75]}, "shape"),
        ({"predictions": None}, "shape|not finite"),
        ({"predictions": [["late", "early"]]}, "the predictions are no numbers"),
        ({"predictions": [[0.25, float("nan")]]}, "a prediction is not finite"),
        ({"predictions": [[25.0, 75.0]]}, "a prediction differs by 74.2 from that of the files"),
        ({"predictions": [[0.25, 0.76]]}, "a prediction differs by 0.01"),
        ({"version": 1}, "version 1 answered, not version 2"),
    ],
)
def test_one_wrong_answer_is_a_fault(given, fault):
    (sentence,) = find_faults(EXPECTED, answers(**given), 2, 100)
    assert re.search(fault, sentence)


def test_the_median_time_is_limited():
    slow = [Answer(RIGHT, 0.5, 2)] * 3 + [Answer(RIGHT, 0.01, 2)] * 2
    assert find_faults(EXPECTED, slow, 2, 100) == ["a request takes 500 ms (median), at most 100 are allowed"]
    assert find_faults(EXPECTED, answers(seconds=9.0), 2, 100) == []
