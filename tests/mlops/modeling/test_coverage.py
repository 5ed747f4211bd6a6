import itertools
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from policies import PLAIN

from mlops.modeling.coverage import COUNTS, Coverage, find_gaps

FROM = pd.Timestamp("2013-06-29")
DAYS = pd.date_range(FROM - pd.Timedelta(days=28), periods=56)
POLICY = replace(PLAIN, max_unlabelled=0.02, missing_floor=0.1, min_volume=0.7)
DAILY = {"entities": 900, "featured": 900, "reported": 895, "labelled": 870}


def covered(**holdout):
    """56 plain days; of the holdout's days some counts are others."""
    days = pd.DataFrame({"day": DAYS, **{name: np.full(56, rows) for name, rows in DAILY.items()}})
    for name, rows in holdout.items():
        days.loc[28:, name] = rows
    return Coverage(days, FROM)


def gaps(coverage):
    return find_gaps(coverage, POLICY)


def test_plain_days_have_no_gap_and_neither_has_a_day_of_cancellations():
    assert gaps(covered()) == ()
    blizzard = covered(labelled=[870] * 20 + [40] + [870] * 7)
    assert gaps(blizzard) == ()


def test_the_first_holdout_has_no_days_before_it():
    coverage = covered()
    assert gaps(replace(coverage, days=coverage.holdout)) == ()


@pytest.mark.parametrize(
    ("holdout", "said"),
    [
        ({"featured": 880, "reported": 875}, "560 of 25,200 entities have no features"),
        ({"reported": [895] * 8 + [0] * 20, "labelled": [870] * 8 + [0] * 20}, "have no reported outcome"),
        ({"reported": [895] * 8 + [0] * 20, "labelled": [870] * 8 + [0] * 20}, "20 of 28 days have no label at all"),
        ({"labelled": 0}, "0.0% of the reported outcomes carry a label; in the days before it were 97.2%"),
        ({"labelled": 600}, "67.0% of the reported outcomes carry a label"),
        ({"labelled": [870] * 27 + [0]}, "1 of 28 days have no label at all, first 2013-07-26"),
    ],
)
def test_what_is_not_accounted_for_is_told(holdout, said):
    assert any(said in gap for gap in gaps(covered(**holdout)))


def test_days_without_events_are_held_against_the_days_before():
    whole = covered()
    short = replace(whole, days=whole.days.iloc[:40])
    assert gaps(short) == ("only 12 days have events; as many days before it were 28",)
    weekdays = replace(whole, days=whole.days[whole.days["day"].dt.dayofweek < 5])
    assert gaps(weekdays) == ()


def test_nothing_at_all_is_a_gap():
    assert gaps(replace(covered(), days=covered().reference))
    assert gaps(replace(covered(), days=covered().days.head(0)))


@given(st.data())
def test_whatever_is_deleted_the_holdout_passes_only_with_nearly_all_of_it(data):
    """Rows of any days and of any of the three tables: what passes has lost two in a hundred at most, of each."""
    coverage = covered()
    days = coverage.days.copy()
    for name in COUNTS[1:]:
        lost = data.draw(st.lists(st.tuples(st.integers(28, 55), st.floats(0, 1)), max_size=12))
        for place, share in lost:
            days.loc[place, name] = int(days.loc[place, name] * (1 - share))
    for before, name in itertools.pairwise(COUNTS):
        days[name] = days[[before, name]].min(axis=1)
    found = gaps(replace(coverage, days=days))
    holdout = days[28:].sum(numeric_only=True)
    if holdout["reported"] < (1 - 0.02) ** 2 * holdout["entities"] or holdout["labelled"] < 0.86 * holdout["reported"]:
        assert found
    if not found:
        assert (days["labelled"][28:] > 0).all()
