from datetime import date, timedelta
from itertools import pairwise

import pytest

from laptop.demo import YEAR_END, describe_retraining, month_end, stretches


def test_the_year_is_replayed_without_gap_in_ten_stretches_of_at_most_four_weeks():
    year = list(stretches(YEAR_END))
    assert len(year) == 10
    assert (year[0], year[-1][1]) == ((date(2013, 4, 1), date(2013, 4, 30)), YEAR_END)
    assert all(later[0] - earlier[1] == timedelta(days=1) for earlier, later in pairwise(year))
    assert all(end - since < timedelta(days=28) for since, end in year[1:])


@pytest.mark.parametrize(("months", "last"), [(4, date(2013, 4, 30)), (6, date(2013, 6, 30)), (12, YEAR_END)])
def test_months_are_counted_from_january(months, last):
    assert month_end(months) == last
    assert list(stretches(last))[-1][1] == last


@pytest.mark.parametrize(
    ("trained", "champion", "said"),
    [
        ({2: "accepted"}, 2, "retrained (age), version 2 serves"),
        ({2: "refused"}, 1, "retrained (age), version 2 was refused, version 1 serves"),
        ({2: "accepted"}, 1, "retrained (age), version 2 was accepted but not deployed, version 1 serves"),
        ({2: None}, 1, "retrained (age), version 2 was not judged, version 1 serves"),
        ({}, 1, "retraining is due (age) and made no version, version 1 serves"),
    ],
)
def test_a_retraining_says_what_became_of_its_version(trained, champion, said):
    status = [{"alias": "previous_champion", "version": 7}, {"alias": "champion", "version": champion}]
    assert describe_retraining(["age"], trained, status) == said
