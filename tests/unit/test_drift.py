import math
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops.contract import DataError
from mlops.lifecycle.drift import Categories, Intervals, bins, counts, drift, psi


def numbers(*, infinities):
    values = st.floats(allow_infinity=infinities) | st.sampled_from([0.0, -0.0, 1.0, 2.0, math.nan])
    return st.lists(values, max_size=60).map(lambda column: pd.Series(column, dtype="float64"))


words = st.lists(st.sampled_from(["UA", "B6", "EV", "", None]), max_size=60).map(lambda v: pd.Series(v, dtype="object"))
tallies = st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 10**6)), min_size=1, max_size=30).filter(
    lambda pairs: sum(a for a, _ in pairs) and sum(b for _, b in pairs)
)


def arrays(pairs):
    return tuple(np.array(side, dtype="int64") for side in zip(*pairs, strict=True))


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ([50, 50], [90, 10], 0.4 * math.log(9)),
        ([100, 0], [50, 50], 0.5 * math.log(2) + (0.5 - 1e-4) * math.log(0.5 / 1e-4)),
        ([99_999, 1], [1, 0], 0.00001 * math.log(1 / 0.99999)),  # below one in ten thousand nothing counts
        ([7, 3], [70, 30], 0.0),
    ],
)
def test_psi_of_known_counts(a, b, expected):
    assert psi(np.array(a), np.array(b)) == pytest.approx(expected, abs=1e-12)


@given(tallies)
def test_psi_is_never_negative_symmetric_and_zero_for_equal_counts(pairs):
    a, b = arrays(pairs)
    assert psi(a, b) >= 0
    assert psi(a, b) == pytest.approx(psi(b, a))
    assert psi(a, a) == 0
    assert math.isfinite(psi(a, b))


def test_psi_refuses_counts_of_other_bins_and_of_no_rows():
    with pytest.raises(DataError, match=r"^counts of 2 and of 3 bins cannot be compared"):
        psi(np.array([1, 2]), np.array([1, 2, 3]))
    with pytest.raises(DataError, match=r"^drift compares 0 rows with 3: both windows must hold rows"):
        psi(np.array([0, 0]), np.array([1, 2]))
    with pytest.raises(DataError, match="drift compares 3 rows with 0: both windows must hold rows"):
        psi(np.array([1, 2]), np.array([0, 0]))


def test_numbers_fall_into_deciles_of_the_baseline_with_bins_for_lower_higher_and_missing_ones():
    reference = pd.Series(range(1, 101), dtype="float64")
    found = bins(reference)
    assert found == Intervals((math.nextafter(1, 0), 1.0, *range(10, 101, 10)))
    assert counts(reference, found).tolist() == [0, 1, 9, *[10] * 9, 0, 0]
    assert counts(pd.Series([0.9, 1, 10, 10.1, 100, 100.1, math.nan]), found).tolist() == [
        1, 1, 1, 1, *[0] * 7, 1, 1, 1,
    ]  # fmt: skip


@given(numbers(infinities=False), numbers(infinities=True))
def test_every_number_is_counted_once_in_the_interval_that_holds_it(reference, column):
    found = bins(reference)
    edges = [-math.inf, *found.edges, math.inf]
    naive = [sum(low < x <= high for x in column) for low, high in pairwise(edges)]
    naive[0] += sum(x == -math.inf for x in column)
    assert counts(column, found).tolist() == [*naive, column.isna().sum()]
    assert list(found.edges) == sorted(set(found.edges))


def test_infinities_in_the_baseline_do_no_harm():
    reference = pd.DataFrame({"x": [-math.inf, *range(20), math.inf]})
    assert drift(reference, reference) == {"x": 0}
    assert drift(reference, pd.DataFrame({"x": [-math.inf] * 20}))["x"] > 1


@given(words, words)
def test_every_word_is_counted_once_and_unseen_ones_together(reference, column):
    found = bins(reference)
    naive = [int((column == value).sum()) for value in found.values]
    missing = int(column.isna().sum())
    assert counts(column, found).tolist() == [*naive, len(column) - sum(naive) - missing, missing]
    assert set(found.values) == set(reference.dropna())


def test_categories_are_ordered_by_frequency_then_value_whatever_the_order_of_rows():
    found = bins(pd.Series(["b", "a", "c", "c", None, "b", "a", "d"]))
    assert found == Categories(("a", "b", "c", "d"))
    assert len({found, bins(pd.Series([1.0]))}) == 2  # plain values that can be keys
    assert bins(pd.Series(["d", "c", "c", "b", "b", None, "a", "c"])) == Categories(("c", "b", "a", "d"))


def test_only_the_two_hundred_most_frequent_categories_have_a_bin():
    column = pd.Series([f"N{i:03}" for i in range(300)] + [f"N{i:03}" for i in range(200, 300)])
    found = bins(column)
    assert found.values == tuple(f"N{i:03}" for i in [*range(200, 300), *range(100)])
    assert counts(column, found)[-2:].tolist() == [100, 0]


def test_a_baseline_without_values_still_tells_missing_from_present():
    for dtype, values in (("float64", [1.0, math.nan]), ("object", ["x", None])):
        found = bins(pd.Series([None, None], dtype=dtype))
        assert counts(pd.Series(values, dtype=dtype), found).tolist() == [1, 1]


def test_a_constant_that_moves_either_way_drifts():
    reference = pd.DataFrame({"gust": [5.0] * 100})
    assert drift(reference, reference) == {"gust": 0}
    for moved in (4.9, 5.1):
        assert drift(reference, pd.DataFrame({"gust": [moved] * 100}))["gust"] > 9


def flights(rng, n, share_of_united=0.3, unseen=0.0, missing=0.0):
    carrier = rng.choice(["UA", "B6", "EV", "DL"], n, p=[share_of_united, *[(1 - share_of_united) / 3] * 3])
    carrier = np.where(rng.random(n) < unseen, "ZZ", carrier)
    distance = np.where(rng.random(n) < missing, np.nan, rng.gamma(4, 250, n))
    return pd.DataFrame({"carrier": carrier, "distance": distance})


def test_what_changed_is_the_only_column_that_drifts():
    rng = np.random.default_rng(1)
    reference = flights(rng, 27_000)
    calm = drift(reference, flights(rng, 6_500))
    assert max(calm.values()) < 0.01
    halved = drift(reference, flights(rng, 6_500, share_of_united=0.15 / 0.85))
    assert halved["carrier"] > 0.05
    assert halved["distance"] < 0.01
    assert 0.1 < drift(reference, flights(rng, 6_500, unseen=0.03))["carrier"] < 0.2  # as measured on the flights
    nulls = drift(reference, flights(rng, 6_500, missing=0.05))
    assert nulls["distance"] > 0.1
    assert nulls["carrier"] < 0.01


def test_windows_with_other_columns_or_without_rows_are_refused():
    reference = pd.DataFrame({"b": [1.0], "a": ["x"]})
    assert list(drift(reference, reference[["a", "b"]])) == ["b", "a"]
    with pytest.raises(DataError, match=r"^only one of the two windows has the columns a, c"):
        drift(reference, reference.rename(columns={"a": "c"}))
    with pytest.raises(DataError, match="drift compares 1 rows with 0"):
        drift(reference, reference[:0])
    with pytest.raises(DataError, match="drift compares 0 rows with 1"):
        drift(reference[:0], reference)
