from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops.contract import ConfigError, DataError, Policy
from mlops.modeling.splits import Span, Windows, find_matured_window, split_folds, split_windows

DAY = timedelta(days=1)
moments = st.timedeltas(timedelta(0), timedelta(days=20_000)).map(lambda t: datetime(2000, 1, 1, tzinfo=UTC) + t)


def policy(**changes):
    limits = {"min_ranking": 0.7, "min_skill": 0.08, "max_ranking": 0.85, "margin_ranking": 0.005, "margin_loss": 0.002}
    given = {"holdout": 28 * DAY, "maturity": 36 * timedelta(hours=1), "max_gap": 0.05}
    return Policy(**(given | limits | changes))


def utc(month, day, hour=0, minute=0):
    return datetime(2013, month, day, hour, minute, tzinfo=UTC)


@pytest.mark.parametrize(
    ("as_of", "expected"),
    [
        # the last event of 30 March matures 36 hours later: at noon of 1 April, not a minute earlier
        (utc(4, 1, 12), Windows(utc(3, 1), utc(3, 3), utc(3, 31))),
        (utc(4, 1, 11, 59), Windows(utc(2, 28), utc(3, 2), utc(3, 30))),
        (utc(4, 2, 11, 59), Windows(utc(3, 1), utc(3, 3), utc(3, 31))),
    ],
)
def test_newest_matured_days_judge_and_what_matured_before_them_trains(as_of, expected):
    assert split_windows(as_of, policy()) == expected


def test_a_moment_in_another_zone_is_the_same_moment():
    elsewhere = utc(4, 1, 12).astimezone(timezone(timedelta(hours=-5)))
    assert split_windows(elsewhere, policy()) == split_windows(utc(4, 1, 12), policy())
    assert split_windows(elsewhere, policy()).holdout_from.utcoffset() == timedelta(0)


@given(
    as_of=moments,
    holdout=st.integers(1, 400).map(lambda n: n * DAY),
    maturity=st.timedeltas(timedelta(0), timedelta(days=30)),
)
def test_no_label_of_the_holdout_is_immature_and_no_training_label_matures_in_the_holdout(as_of, holdout, maturity):
    found = split_windows(as_of, policy(holdout=holdout, maturity=maturity))
    assert found.holdout_until - found.holdout_from == holdout
    # the last event of the holdout is matured, and one more day would not be
    assert found.holdout_until + maturity <= as_of < found.holdout_until + DAY + maturity
    assert found.train_until + maturity <= found.holdout_from < found.train_until + DAY + maturity
    assert all(moment.time() == datetime.min.time() for moment in vars(found).values())


def test_monitoring_judges_the_newest_matured_window():
    rules = policy(window=14 * DAY)
    assert find_matured_window(utc(4, 1, 12), rules) == Span(utc(3, 17), utc(3, 31))
    assert (
        len({split_windows(utc(4, 1), rules), find_matured_window(utc(4, 1), rules)}) == 2
    )  # plain values that can be keys


@pytest.mark.parametrize("length", [timedelta(0), -DAY, timedelta(hours=12), timedelta(hours=36)])
@pytest.mark.parametrize(("span", "name"), [(split_windows, "holdout"), (find_matured_window, "window")])
def test_spans_that_are_not_whole_days_are_refused_by_name(span, name, length):
    with pytest.raises(ConfigError) as refusal:
        span(utc(4, 1), policy(**{name: length}))
    assert str(refusal.value) == f"the policy's {name} is {length}: it must be a positive number of whole days"


@pytest.mark.parametrize("span", [split_windows, find_matured_window])
def test_a_moment_without_zone_is_refused(span):
    sentence = r"^as_of is 2013-04-01 00:00:00: give it a time zone, as in 2013-04-01 00:00:00\+00:00$"
    with pytest.raises(ConfigError, match=sentence):
        span(utc(4, 1).replace(tzinfo=None), policy())


def hours(*days):
    return np.array([np.datetime64("2013-01-01") + np.timedelta64(int(24 * day), "h") for day in days])


def test_folds_are_tested_on_newer_and_newer_days_with_a_gap_for_maturity():
    shuffled = np.random.default_rng(0).permutation(16)
    parts = split_folds(hours(*(shuffled + 0.5)), policy(), 3)
    seen = [(sorted(shuffled[train]), sorted(shuffled[test])) for train, test in parts]
    assert seen == [
        (list(range(2)), [4, 5, 6, 7]),
        (list(range(6)), [8, 9, 10, 11]),
        (list(range(10)), [12, 13, 14, 15]),
    ]


def test_days_without_rows_count_as_days():
    (train, test), *_, (_, newest) = split_folds(hours(0, 1, 5, 14, 15.9), policy(), 3)
    assert (list(train), list(test), list(newest)) == ([0, 1], [2], [3, 4])


@given(st.lists(st.floats(0, 60), min_size=30, max_size=60), st.integers(2, 4), st.integers(1, 100))
def test_no_fold_trains_on_what_had_not_matured_before_its_test(days, count, maturity):
    times = hours(0, 60, *days)
    given = policy(maturity=timedelta(hours=maturity))
    for train, test in split_folds(times, given, count):
        if len(train) and len(test):
            midnight = times[test].min().astype("datetime64[D]")
            assert times[train].max() + np.timedelta64(maturity, "h") < midnight + np.timedelta64(1, "D")
            assert times[train].max().astype("datetime64[D]") + given.maturity <= midnight


def test_too_few_days_for_folds_are_told():
    with pytest.raises(DataError, match="5 days are too few for 3 folds in time: land more days"):
        split_folds(hours(0, 1, 2, 3, 4), policy(), 3)
