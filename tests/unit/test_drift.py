import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from policies import PLAIN

from mlops.contract import DataError
from mlops.lifecycle.drift import ALL, JUDGED, MISSING, ROWS, binned, compare, count, judge

DAY = pd.Timedelta(days=1)
POLICY = replace(
    PLAIN,
    paging=("carrier",),
)
NOTHING = pd.DataFrame(columns=list(JUDGED))
numbers = st.lists(st.floats() | st.sampled_from([0.0, -0.0, 1.0, math.nan]), min_size=1, max_size=60)
words = st.lists(st.sampled_from(["UA", "B6", "", None]), min_size=1, max_size=60)


def tally(values):
    rows = count(pd.DataFrame({"x": values}), np.zeros(len(values)))
    return dict(zip(rows["bin"], rows["rows"], strict=True))


@given(numbers)
def test_a_number_falls_into_the_bin_at_or_below_it_and_not_far_below(values):
    codes, bins = binned(pd.Series(values, dtype="float64"))
    for value, code in zip(values, codes, strict=True):
        if math.isnan(value):
            assert bins[code] == MISSING
        else:
            lower = float(bins[code])
            assert lower <= value
            assert lower in (value, -math.inf) or abs(value - lower) <= max(abs(value) / 16, 1e-300)


@given(numbers | words)
def test_every_value_is_counted_once_and_counts_add_up(values):
    series = pd.Series(values, dtype="object" if any(isinstance(v, str) for v in values) else None)
    half = len(values) // 2
    whole, parts = tally(series), [tally(part) for part in (series[:half], series[half:]) if len(part)]
    assert sum(whole.values()) == len(values)
    assert whole == {bin_: sum(part.get(bin_, 0) for part in parts) for bin_ in whole}


@given(numbers | words, numbers)
def test_distances_are_zero_for_equal_shares_and_never_negative(values, others):
    a = tally(pd.Series(values))
    for b in (a, {bin_: 3 * n for bin_, n in a.items()}, {**a, MISSING: 5}):
        found = compare(a, b)
        assert found.psi >= 0
        assert 0 <= found.jensen_shannon <= 1
    same = compare(a, a)
    assert (same.psi, same.jensen_shannon, same.missing) == (0, 0, 0)


def test_distances_of_known_counts():
    found = compare({"=a": 50, "=b": 50}, {"=a": 90, "=b": 10})
    assert found.psi == pytest.approx(0.4 * math.log(9))
    assert math.isnan(found.wasserstein)
    moved = compare({"0.0": 50, "1.0": 50}, {"1.0": 50, "2.0": 50})
    assert moved.wasserstein == pytest.approx(1 / 0.5)
    assert compare({"=a": 90, MISSING: 10}, {"=a": 70, MISSING: 30}).missing == pytest.approx(0.2)


def test_no_rows_cannot_be_compared():
    with pytest.raises(DataError, match="drift compares 0 rows with 3"):
        compare({}, {"=a": 3})


def test_a_value_outside_the_reference_has_an_end_of_its_own():
    reference = {repr(float(n)): 10 for n in range(1, 21)}
    assert compare(reference, {**reference, "25.0": 20}).psi > 0.1
    assert compare(reference, {**reference, "0.5": 20}).psi > 0.1


def flights(rng, rows, united=0.3, missing=0.0):
    carrier = rng.choice(["UA", "B6", "EV", "DL"], rows, p=[united, *[(1 - united) / 3] * 3])
    distance = np.where(rng.random(rows) < missing, np.nan, rng.gamma(4, 250, rows))
    return pd.DataFrame({"carrier": carrier, "distance": distance})


def weeks_of(*weeks):
    monday = pd.Timestamp("2013-01-07")
    parts = [
        count(week, np.full(len(week), monday + 7 * n * DAY), ["carrier"], ["distance"]) for n, week in enumerate(weeks)
    ]
    return pd.concat(parts, ignore_index=True)


def last(judged):
    newest = judged[(judged["week"] == judged["week"].max()) & (judged["slice"] == ALL)]
    return dict(zip(newest["column"], newest["state"], strict=True))


def test_each_fault_is_found_in_its_column_only():
    rng = np.random.default_rng(1)
    calm = [flights(rng, 6_500) for _ in range(10)]
    assert last(judge(weeks_of(*calm), NOTHING, POLICY)) == {"carrier": "clean", "distance": "clean", ROWS: "clean"}
    for fault, column, state in [
        (flights(rng, 6_500, united=0.15 / 0.85), "carrier", "drift"),
        (flights(rng, 6_500, missing=0.2), "distance", "missing"),
        (flights(rng, 3_000), ROWS, "rows"),
    ]:
        expected = {"carrier": "clean", "distance": "clean", ROWS: "clean"} | {column: state}
        assert last(judge(weeks_of(*calm, fault), NOTHING, POLICY)) == expected


def test_a_week_is_on_hold_until_its_column_has_clean_weeks_and_when_it_has_few_rows():
    rng = np.random.default_rng(2)
    judged = judge(weeks_of(*[flights(rng, 2_000) for _ in range(8)], flights(rng, 100)), NOTHING, POLICY)
    whole = judged[(judged["column"] == "carrier") & (judged["slice"] == ALL)]
    assert list(whole["state"]) == ["hold"] * 5
    assert len(whole) == 9 - 4


def test_weeks_judged_one_run_after_the_other_are_judged_as_at_once():
    rng = np.random.default_rng(3)
    counts = weeks_of(*[flights(rng, 3_000, united=0.3 + 0.1 * (n == 9)) for n in range(12)])
    at_once = judge(counts, NOTHING, POLICY)
    early = at_once[at_once["week"] < counts["week"].unique()[9]].reset_index(drop=True)
    rest = judge(counts, early, POLICY)
    again = pd.DataFrame([*early.to_dict("records"), *rest.to_dict("records")])
    pd.testing.assert_frame_equal(again, at_once)
    assert "drift" in set(at_once["state"])


def test_slices_are_compared_and_never_judged():
    rng = np.random.default_rng(4)
    judged = judge(weeks_of(*[flights(rng, 4_000) for _ in range(10)]), NOTHING, POLICY)
    slices = judged[judged["slice"] == "carrier=UA"]
    assert set(slices["column"]) == {"distance"}
    assert set(slices["state"]) == {"hold"}


def test_a_column_that_had_no_value_in_its_reference_is_compared_by_what_is_missing():
    found = compare({MISSING: 10}, {"1.0": 5, MISSING: 5})
    assert found.missing == -0.5
    assert found.psi > 1
    assert compare({"1.0": 0, MISSING: 10}, {"1.0": 5, MISSING: 5}).missing == -0.5


def test_without_a_reference_nothing_is_judged():
    judged = judge(weeks_of(flights(np.random.default_rng(0), 100)), NOTHING, POLICY)
    assert (list(judged.columns), len(judged)) == (list(JUDGED), 0)
