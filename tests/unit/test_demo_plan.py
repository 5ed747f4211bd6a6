from datetime import date, timedelta
from itertools import pairwise

import pytest

from laptop.demo import YEAR_END, month_end, stretches


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
