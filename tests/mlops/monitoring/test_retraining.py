import json
import math
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kinds import BINARY
from policies import PLAIN

from mlops.monitoring.retraining import decide_retraining, find_answer

DAY = timedelta(days=1)
NOW = datetime(2013, 7, 1, tzinfo=UTC)
POLICY = replace(
    PLAIN,
    retrain_gap=0.03,
    retrain_age=84 * DAY,
    cool_down=28 * DAY,
)
LOW = "off the mean label (it predicts too little); 0.0300 either way is allowed"
HIGH = "off the mean label (it predicts too much); 0.0300 either way is allowed"
COOLING = "the last training was 7.0 days ago and the next may come after 28.0"
INSTANT = timedelta(microseconds=1)


def decided(gap=0.0, age=40 * DAY, last=None, policy=POLICY, **given):
    last_training = None if last is None else NOW - last
    return decide_retraining(
        names=BINARY.names, gap=gap, gap_reference=0.2, trained_until=NOW - age, last_training=last_training,
        as_of=NOW, policy=policy, **given,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("case", "fired"),
    [
        ({}, set()),
        ({"gap": 0.03}, set()),
        ({"gap": -0.03}, set()),
        ({"gap": math.nextafter(0.03, 1)}, {"calibration_gap"}),
        ({"gap": -math.nextafter(0.03, 1)}, {"calibration_gap"}),
        ({"gap": 0.05, "last": 28 * DAY - INSTANT}, set()),
        ({"gap": 0.05, "last": 28 * DAY}, {"calibration_gap"}),
        ({"age": 84 * DAY - INSTANT}, set()),
        ({"age": 84 * DAY}, {"age"}),
        ({"age": 85 * DAY, "last": 28 * DAY - INSTANT}, set()),  # one cause starts one training
        ({"age": 85 * DAY, "last": 28 * DAY}, {"age"}),
        ({"age": 85 * DAY, "gap": None}, {"age"}),
        ({"age": 85 * DAY, "gap": 0.05}, {"calibration_gap", "age"}),
        ({"gap": None}, set()),
        ({"gap": math.nan}, set()),
        ({"gap": math.inf}, set()),
    ],
)
def test_retraining_is_due_exactly_when_a_rule_fires(case, fired):
    decision = decided(**case)
    assert [rule.name for rule in decision.rules] == ["calibration_gap", "age"]
    assert {rule.name for rule in decision.rules if not rule.passed} == fired
    assert decision.due == bool(fired)


@pytest.mark.parametrize(
    ("case", "value", "reason"),
    [
        ({"gap": -0.05}, -0.05, f"mean prediction is -0.0500 {LOW}"),
        (
            {"gap": 0.05, "last": 7 * DAY},
            0.05,
            f"mean prediction is +0.0500 {HIGH}, but {COOLING}",
        ),
        (
            {"gap": 0.01, "last": DAY},
            0.01,
            f"mean prediction is +0.0100 {HIGH}",
        ),
        ({"gap": None}, None, "on hold: labels have not matured, or cannot be right"),
        ({"gap": math.nan}, None, "COULD NOT BE JUDGED: the gap is nan"),
    ],
)
def test_the_gap_rule_says_what_it_saw(case, value, reason):
    rule = decided(**case).rules[0]
    assert (rule.value, rule.limit, rule.reason) == (value, 0.03, reason)


def test_no_rule_starts_a_training_on_labels_that_cannot_be_used():
    decision = decided(None, 85 * DAY, label_problem="share of labels that are 1 is 1.000")
    assert not decision.due
    assert decision.rules[1].reason == (
        "the newest training day is 85.0 days old; from 84.0 on it is too old, but its labels cannot be used: share of "
        "labels that are 1 is 1.000"
    )


def test_the_age_rule_says_how_old_the_model_is():
    rule = decided(age=100 * DAY).rules[1]
    assert (rule.value, rule.limit) == (100.0, 84.0)
    assert rule.reason == "the newest training day is 100.0 days old; from 84.0 on it is too old"


@given(
    gap=st.none() | st.floats(),
    age=st.timedeltas(-DAY, 400 * DAY),
    last=st.none() | st.timedeltas(-DAY, 400 * DAY),
    problem=st.sampled_from(["", "late"]),
)
def test_due_always_says_by_which_rule_and_can_be_written_as_json(gap, age, last, problem):
    decision = decided(gap, age, last, label_problem=problem)
    assert not (problem and decision.due)
    assert decision.due == any(not rule.passed for rule in decision.rules)
    assert all(rule.reason for rule in decision.rules)
    json.dumps(asdict(decision), allow_nan=False)


TRAINED = "a version was trained as of 2013-07-0{} 00:00 already: one cause starts one training"
DECIDED = "a later run, as of 2013-07-02 00:00, has decided since: a run in the past starts nothing"


@pytest.mark.parametrize(
    ("trainings", "next_run", "answer"),
    [
        ([], None, ""),
        ([NOW - DAY], None, ""),
        ([NOW - DAY, NOW, NOW + DAY], None, TRAINED.format("1")),
        ([NOW + DAY], NOW + DAY, TRAINED.format("2")),
        ([NOW - DAY], NOW + DAY, DECIDED),
    ],
)  # fmt: skip
def test_one_cause_starts_one_training_and_a_run_in_the_past_none(trainings, next_run, answer):
    assert find_answer(NOW, trainings, next_run) == answer
