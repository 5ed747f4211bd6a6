import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from policies import PLAIN

from mlops.contract import DataError
from mlops.monitoring.drift import (
    ALL,
    JUDGEMENT_COLUMNS,
    MISSING,
    ROWS,
    bin_values,
    compare_counts,
    count_bins,
    judge_weeks,
)

DAY = pd.Timedelta(days=1)
POLICY = replace(
    PLAIN,
    paging=("carrier",),
)
NOTHING = pd.DataFrame(columns=list(JUDGEMENT_COLUMNS))
numbers = st.lists(st.floats() | st.sampled_from([0.0, -0.0, 1.0, math.nan]), min_size=1, max_size=60)
words = st.lists(st.sampled_from(["UA", "B6", "", None]), min_size=1, max_size=60)


def tally(values):
    rows = count_bins(pd.DataFrame({"x": values}), np.zeros(len(values)))
    return dict(zip(rows["bin"], rows["rows"], strict=True))


@given(numbers)
def test_a_number_falls_into_the_bin_at_or_below_it_and_not_far_below(values):
    codes, bins = bin_values(pd.Series(values, dtype="float64"))
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


def test_truth_values_have_the_same_bins_with_and_without_missing_ones():
    codes, names = bin_values(pd.Series([True, False, True]))
    assert [names[code] for code in codes] == ["=True", "=False", "=True"]
    codes, names = bin_values(pd.Series([True, None, False], dtype="object"))
    assert [names[code] for code in codes] == ["=True", MISSING, "=False"]


@given(numbers | words, numbers)
def test_distances_are_zero_for_equal_shares_and_never_negative(values, others):
    a = tally(pd.Series(values))
    for b in (a, {bin_: 3 * n for bin_, n in a.items()}, {**a, MISSING: 5}):
        found = compare_counts(a, b)
        assert found.psi >= 0
        assert 0 <= found.jensen_shannon <= 1
    same = compare_counts(a, a)
    assert (same.psi, same.jensen_shannon, same.missing) == (0, 0, 0)


def test_distances_of_known_counts():
    found = compare_counts({"=a": 50, "=b": 50}, {"=a": 90, "=b": 10})
    assert found.psi == pytest.approx(0.4 * math.log(9))
    assert math.isnan(found.wasserstein)
    moved = compare_counts({"0.0": 50, "1.0": 50}, {"1.0": 50, "2.0": 50})
    assert moved.wasserstein == pytest.approx(1 / 0.5)
    assert compare_counts({"=a": 90, MISSING: 10}, {"=a": 70, MISSING: 30}).missing == pytest.approx(0.2)


@settings(max_examples=10)
@given(st.integers(0, 2**32 - 1))
def test_thousands_of_categories_are_compared_by_the_frequent_ones(seed):
    generator = np.random.default_rng(seed)
    names = [f"={number}" for number in range(3000)]
    shares = 1 / np.arange(1, 3001)
    reference, window = (
        dict(zip(names, map(int, generator.multinomial(20_000, shares / shares.sum())), strict=True)) for _ in range(2)
    )
    frequent = sorted(names, key=lambda name: (-reference[name], name))[:200]

    def merged(counts):
        kept = {name: counts[name] for name in frequent}
        return kept | {"=(others)": sum(counts.values()) - sum(kept.values())}

    distances = compare_counts(reference, window)
    expected = compare_counts(merged(reference), merged(window))
    assert distances.psi == pytest.approx(expected.psi)
    assert distances.psi < 0.05  # two draws of one distribution; one by one they would be far apart
    strangers = {f"=new {number}": 1 for number in range(10_000)}
    assert compare_counts(reference, window | strangers).psi > 0.2
    assert compare_counts(merged(reference), merged(window | strangers)).psi > 0.2


def test_no_rows_cannot_be_compared():
    with pytest.raises(DataError, match="drift compares 0 rows with 3"):
        compare_counts({}, {"=a": 3})


def test_a_value_outside_the_reference_has_an_end_of_its_own():
    reference = {repr(float(n)): 10 for n in range(1, 21)}
    assert compare_counts(reference, {**reference, "25.0": 20}).psi > 0.1
    assert compare_counts(reference, {**reference, "0.5": 20}).psi > 0.1


def flights(rng, rows, united=0.3, missing=0.0):
    carrier = rng.choice(["UA", "B6", "EV", "DL"], rows, p=[united, *[(1 - united) / 3] * 3])
    distance = np.where(rng.random(rows) < missing, np.nan, rng.gamma(4, 250, rows))
    return pd.DataFrame({"carrier": carrier, "distance": distance})


def weeks_of(*weeks):
    monday = pd.Timestamp("2013-01-07")
    parts = [
        count_bins(week, np.full(len(week), monday + 7 * n * DAY), ["carrier"], ["distance"])
        for n, week in enumerate(weeks)
    ]
    return pd.concat(parts, ignore_index=True)


def last(judged):
    newest = judged[(judged["week"] == judged["week"].max()) & (judged["slice"] == ALL)]
    return dict(zip(newest["column"], newest["state"], strict=True))


def test_each_fault_is_found_in_its_column_only():
    rng = np.random.default_rng(1)
    calm = [flights(rng, 6_500) for _ in range(10)]
    assert last(judge_weeks(weeks_of(*calm), NOTHING, POLICY)) == {
        "carrier": "clean",
        "distance": "clean",
        ROWS: "clean",
    }
    for fault, column, state in [
        (flights(rng, 6_500, united=0.15 / 0.85), "carrier", "drift"),
        (flights(rng, 6_500, missing=0.2), "distance", "missing"),
        (flights(rng, 3_000), ROWS, "rows"),
    ]:
        expected = {"carrier": "clean", "distance": "clean", ROWS: "clean"} | {column: state}
        assert last(judge_weeks(weeks_of(*calm, fault), NOTHING, POLICY)) == expected


def test_a_week_is_on_hold_until_its_column_has_clean_weeks_and_when_it_has_few_rows():
    rng = np.random.default_rng(2)
    judged = judge_weeks(weeks_of(*[flights(rng, 2_000) for _ in range(8)], flights(rng, 100)), NOTHING, POLICY)
    whole = judged[(judged["column"] == "carrier") & (judged["slice"] == ALL)]
    assert list(whole["state"]) == ["hold"] * 5
    assert len(whole) == 9 - 4


def test_weeks_judged_one_run_after_the_other_are_judged_as_at_once():
    rng = np.random.default_rng(3)
    counts = weeks_of(*[flights(rng, 3_000, united=0.3 + 0.1 * (n == 9)) for n in range(12)])
    at_once = judge_weeks(counts, NOTHING, POLICY)
    early = at_once[at_once["week"] < counts["week"].unique()[9]].reset_index(drop=True)
    rest = judge_weeks(counts, early, POLICY)
    again = pd.DataFrame([*early.to_dict("records"), *rest.to_dict("records")])
    pd.testing.assert_frame_equal(again, at_once)
    assert "drift" in set(at_once["state"])


def test_slices_are_compared_and_never_judged():
    rng = np.random.default_rng(4)
    judged = judge_weeks(weeks_of(*[flights(rng, 4_000) for _ in range(10)]), NOTHING, POLICY)
    slices = judged[judged["slice"] == "carrier=UA"]
    assert set(slices["column"]) == {"distance"}
    assert set(slices["state"]) == {"hold"}


def test_a_column_that_had_no_value_in_its_reference_is_compared_by_what_is_missing():
    found = compare_counts({MISSING: 10}, {"1.0": 5, MISSING: 5})
    assert found.missing == -0.5
    assert found.psi > 1
    assert compare_counts({"1.0": 0, MISSING: 10}, {"1.0": 5, MISSING: 5}).missing == -0.5


def test_without_a_reference_nothing_is_judged():
    judged = judge_weeks(weeks_of(flights(np.random.default_rng(0), 100)), NOTHING, POLICY)
    assert (list(judged.columns), len(judged)) == (list(JUDGEMENT_COLUMNS), 0)


# --- against other ways to compute the same --------------------------------------------------------------------------

shares = st.dictionaries(st.sampled_from([repr(float(n)) for n in range(-3, 5)]), st.integers(1, 50), min_size=1)


def jensen_shannon_squared(p, q):
    """The formula, bin by bin: the distance is its root, which would turn rounding of 1e-17 into 3e-9."""
    middle = (p + q) / 2
    divergences = [(side[side > 0] * np.log2(side[side > 0] / middle[side > 0])).sum() for side in (p, q)]
    return sum(divergences) / 2


def wasserstein(ends, p, q):
    """The area between two cumulative distributions, in standard deviations of the first."""
    spread = math.sqrt((p * (ends - (p * ends).sum()) ** 2).sum())
    moved = (np.abs(np.cumsum(p - q))[:-1] * np.diff(ends)).sum()
    return moved / spread if spread else 0 if moved < 1e-15 else math.inf


@given(shares, shares, st.integers(0, 9), st.integers(0, 9))
def test_distances_are_those_of_the_formulas(reference, window, lost, missing):
    numbers = compare_counts({**reference, MISSING: lost}, {**window, MISSING: missing})
    categories = compare_counts(*({f"={bin_}": n for bin_, n in counts.items()} for counts in (reference, window)))

    bins = sorted({*reference, *window}, key=float)
    p, q = (np.array([counts.get(bin_, 0) for bin_ in bins]) for counts in (reference, window))
    p, q = p / p.sum(), q / q.sum()
    assert numbers.wasserstein == pytest.approx(wasserstein(np.array(bins, "float64"), p, q), rel=1e-12, abs=1e-12)
    assert categories.jensen_shannon**2 == pytest.approx(jensen_shannon_squared(p, q), abs=1e-12)
    before, after = lost / (lost + sum(reference.values())), missing / (missing + sum(window.values()))
    assert numbers.missing == pytest.approx(after - before)


def psi(reference, window):
    """The usual formula, over bins given as counts."""
    p, q = (np.maximum(np.array(side) / sum(side), 1e-4) for side in (reference, window))
    return ((p - q) * np.log(p / q)).sum()


@pytest.mark.parametrize(
    ("reference", "window", "merged"),
    [
        # Twenty bins of five rows: two of them are a tenth.
        ([0, *[5] * 20, 0], [0, *range(1, 21), 0], ([10] * 10, range(3, 43, 4))),
        # What lies below and above the reference has ends of its own, however much it is.
        ([0, 0, *[5] * 20, 0, 0], [1, 2, *range(1, 21), 3, 4], ([0, *[10] * 10, 0], [3, *range(3, 43, 4), 7])),
        # One bin holds more than half: the tenths that it spans are one.
        ([10, 60, 10, 10, 10], [10, 10, 10, 10, 60], ([10, 60, 10, 10, 10], [10, 10, 10, 10, 60])),
        # The last bin counts among what is cut into tenths.
        ([4, 6, 90], [10, 20, 70], ([10, 90], [30, 70])),
        # A bin inside of which the reference holds nothing goes with what comes before the same tenth.
        ([50, 0, 50], [10, 20, 30], ([50, 50], [10, 50])),
    ],
)
def test_the_stability_index_is_over_tenths_of_the_reference(reference, window, merged):
    found = compare_counts(
        *({repr(float(n)): rows for n, rows in enumerate(side) if rows} for side in (reference, window))
    )
    assert found.psi == pytest.approx(psi(*merged))


def test_an_empty_bin_counts_as_one_row_in_ten_thousand_and_missing_values_are_a_bin():
    assert compare_counts({"=a": 10}, {"=b": 10}).psi == pytest.approx(2 * (1 - 1e-4) * math.log(1e4))
    assert compare_counts({"=a": 10}, {"=b": 10}).jensen_shannon == 1
    assert compare_counts({"=a": 30, MISSING: 10}, {"=a": 10, MISSING: 30}).psi == pytest.approx(
        psi([30, 10], [10, 30])
    )
    numbers = compare_counts({"1.0": 30, MISSING: 10}, {"1.0": 10, MISSING: 30})
    assert numbers.psi == pytest.approx(psi([30, 10], [10, 30]))
    assert (numbers.missing, numbers.wasserstein) == (0.5, 0)
    assert compare_counts({MISSING: 10}, {MISSING: 5}).psi == 0
    nothing = compare_counts({MISSING: 10}, {"1.0": 5, "2.0": 3, MISSING: 2})
    assert nothing.psi == pytest.approx(psi([0, 10], [8, 2]))
    assert math.isnan(nothing.wasserstein)


def test_what_never_ends_is_left_out_of_the_distance_between_numbers():
    found = compare_counts({"-inf": 5, "1.0": 5, "3.0": 5}, {"1.0": 5, "3.0": 15, "inf": 1})
    assert found.wasserstein == pytest.approx(0.5)  # a quarter of the rows moves by 2, which is two deviations
    assert math.isnan(compare_counts({"inf": 5}, {"1.0": 5}).wasserstein)
    assert compare_counts({"1.0": 5}, {"1.0": 5, "2.0": 5}).wasserstein == math.inf
    assert compare_counts({"0.0": 5}, {"0.0": 7}).wasserstein == 0
    assert compare_counts({"1e300": 5, "-1e300": 5}, {"1e300": 10}).wasserstein == pytest.approx(1)


def test_bins_are_sixteen_of_each_power_of_two_and_categories_their_own():
    codes, bins = bin_values(pd.Series([1.0, 1.0624, 1.0625, 3.0, math.nan, -1.03, 0.0, -0.0, math.inf]))
    assert [bins[code] for code in codes] == ["1.0", "1.0", "1.0625", "3.0", "", "-1.0625", "0.0", "0.0", "inf"]
    codes, bins = bin_values(pd.Series(["UA", None, "", "UA"]))
    assert ([bins[code] for code in codes], bins[-1]) == (["=UA", "", "=", "=UA"], MISSING)
    assert bin_values(pd.Series([1, None], dtype="Int64"))[1] == ["1.0", MISSING]


def test_rows_are_counted_per_week_and_slice():
    rows = pd.DataFrame({"carrier": ["UA", "UA", None, "B6"], "delay": [1.0, 1.0, 2.0, math.nan], "x": ["a"] * 4})
    counted = count_bins(rows, ["w1", "w2", "w1", "w1"], ["carrier"], ["delay"])
    assert counted.columns.tolist() == ["week", "column", "slice", "bin", "rows"]
    assert counted.index.tolist() == list(range(len(counted)))
    assert sorted(counted.itertuples(index=False, name=None)) == [
        ("w1", "carrier", "", "", 1),
        ("w1", "carrier", "", "=B6", 1),
        ("w1", "carrier", "", "=UA", 1),
        ("w1", "delay", "", "", 1),
        ("w1", "delay", "", "1.0", 1),
        ("w1", "delay", "", "2.0", 1),
        ("w1", "delay", "carrier=B6", "", 1),
        ("w1", "delay", "carrier=UA", "1.0", 1),
        ("w1", "delay", "carrier=nan", "2.0", 1),
        ("w1", "x", "", "=a", 3),
        ("w2", "carrier", "", "=UA", 1),
        ("w2", "delay", "", "1.0", 1),
        ("w2", "delay", "carrier=UA", "1.0", 1),
        ("w2", "x", "", "=a", 1),
    ]


# --- limits to the row ------------------------------------------------------------------------------------------------

MONDAY = pd.Timestamp("2013-01-07")
SHORT = replace(POLICY, drift_reference=(7 * DAY).to_pytimedelta(), drift_min_rows=80, drift_memory=4, min_volume=0.5)
STEP = compare_counts({"=a": 50, "=b": 50}, {"=a": 40, "=b": 60})


def before(*weeks, column="x"):
    """Earlier judgements: week (from -1 back), PSI, share missing, rows, state."""
    plain = {"column": column, "slice": ALL, "jensen_shannon": 0.0, "wasserstein": 0.0, "limit": 0.1}
    return [
        {"week": MONDAY + 7 * n * DAY, "psi": psi, "missing": missing, "rows": rows, "state": state, **plain}
        for n, psi, missing, rows, state in weeks
    ]


CALM = tuple((-n, 0.0, 0.0, 100, "clean") for n in (4, 2, 1, 3))


def newest(past, policy, reference=None, **window):
    """The judgement on one column, x, and on the rows of a week, against one week before it."""
    weeks = (reference or {"=a": 50, "=b": 50}, window)
    counts = pd.DataFrame(
        [(MONDAY + 7 * n * DAY, "x", ALL, bin_, rows) for n, week in enumerate(weeks) for bin_, rows in week.items()],
        columns=["week", "column", "slice", "bin", "rows"],
    )
    found = judge_weeks(counts, pd.DataFrame(past, columns=list(JUDGEMENT_COLUMNS)), policy)
    assert found["week"].tolist() == [MONDAY + 7 * DAY] * 2
    assert found["column"].tolist() == [ROWS, "x"]
    return found.to_dict("records")


def test_a_week_of_numbers_is_as_far_off_as_its_counts_in_the_order_of_the_numbers():
    one, other = {"10.0": 5, "9.0": 50, "-2.0": 45}, {"10.0": 45, "9.0": 50, "-2.0": 5, MISSING: 1}
    found, (_, x) = compare_counts(one, other), newest(before(*CALM), SHORT, one, **other)
    assert (x["psi"], x["jensen_shannon"], x["missing"]) == (found.psi, found.jensen_shannon, found.missing)
    assert x["wasserstein"] == found.wasserstein


def test_a_week_and_its_rows_are_judged_with_all_their_figures():
    past = [*before(*CALM), *before(*CALM, column=ROWS)]
    rows, x = newest(past, replace(SHORT, drift_floor=0.03), **{"=a": 40, "=b": 60})
    figures = {"psi": STEP.psi, "jensen_shannon": STEP.jensen_shannon, "missing": 0.0}
    assert {name: x[name] for name in figures} == figures
    assert (x["slice"], x["rows"], x["limit"], x["state"]) == ("", 100, 0.03, "drift")
    assert (rows["slice"], rows["rows"], rows["limit"], rows["state"]) == ("", 100, 50.0, "clean")
    assert (rows["psi"], rows["jensen_shannon"], rows["missing"], np.isnan(rows["wasserstein"])) == (0, 0, 0, True)


@pytest.mark.parametrize(
    ("psis", "limit", "state"),
    [
        ([STEP.psi / 2, 0, 0, 0], STEP.psi, "clean"),
        ([STEP.psi / 3, 0, 0, 0], STEP.psi / 3 * 2, "drift"),
        ([0, 0, 0, 0], 0.02, "drift"),
        ([0, 0, 0], math.nan, "hold"),
        ([9, STEP.psi / 2, 0, 0, 0], STEP.psi, "clean"),
    ],
)
def test_a_column_may_move_twice_as_far_as_in_the_clean_weeks_that_are_remembered(psis, limit, state):
    weeks = [(n - len(psis), psi, 0.0, 100, "clean") for n, psi in enumerate(psis)]
    for past in (weeks, weeks[::-1]):
        _, x = newest(before(*past), SHORT, **{"=a": 40, "=b": 60})
        assert (x["limit"], x["state"]) == (pytest.approx(limit, nan_ok=True), state)


def test_a_week_on_hold_is_a_measure_too_and_one_that_fired_is_none():
    hold, fired = [(-n, 0.5, 0.0, 100, "hold") for n in (1, 2, 3, 4)], [(-n, 0.5, 0.0, 100, "drift") for n in (1, 2)]
    assert newest(before(*hold), SHORT, **{"=a": 40, "=b": 60})[1]["limit"] == 1.0
    older = [(week - 4, *rest) for week, *rest in CALM]
    assert newest(before(*fired, *older), SHORT, **{"=a": 40, "=b": 60})[1]["limit"] == 0.02


@pytest.mark.parametrize(
    ("missing", "earlier", "state"),
    [(25, 0.125, "clean"), (26, 0.125, "missing"), (12, 0.0, "missing"), (6, 0.0, "clean")],
)
def test_missing_values_may_rise_by_a_floor_or_twice_as_much_as_they_did(missing, earlier, state):
    weeks = [(-1, 9.0, earlier, 100, "clean"), *CALM[:2], CALM[3]]
    window = {"=a": 50 - missing // 2, "=b": 50 - missing + missing // 2, MISSING: missing}
    _, x = newest(before(*weeks), replace(SHORT, missing_floor=0.1), **window)
    assert (x["missing"], x["state"]) == (missing / 100, state)


@pytest.mark.parametrize(("rows", "state"), [(99, "rows"), (100, "clean"), (400, "clean"), (401, "rows")])
def test_a_week_may_have_half_to_twice_its_usual_rows(rows, state):
    weeks = [(-n, 0.0, 0.0, number, "clean") for n, number in ((1, 9000), (2, 201), (3, 1), (4, 199))]
    found, _ = newest(before(*weeks, column=ROWS), SHORT, **{"=a": rows})
    assert (found["rows"], found["limit"], found["state"]) == (rows, 100.0, state)


@pytest.mark.parametrize(("rows", "state"), [(79, "hold"), (80, "clean")])
def test_a_week_with_few_rows_is_on_hold(rows, state):
    _, x = newest(before(*CALM), SHORT, **{"=a": rows // 2, "=b": rows - rows // 2})
    assert x["state"] == state


def test_weeks_are_compared_with_those_before_them_and_slices_with_their_own():
    weeks = [{"=a": 90, "=b": 10}, {"=a": 50, "=b": 50}, {"=a": 10, "=b": 90}, {"=b": 30}]
    counts = pd.DataFrame(
        [
            (MONDAY + 7 * n * DAY, "x", slice_, bin_, rows)
            for n, week in enumerate(weeks)
            for slice_ in ("o=JFK", ALL)
            for bin_, rows in week.items()
        ],
        columns=["week", "column", "slice", "bin", "rows"],
    )
    two = replace(SHORT, drift_reference=(14 * DAY).to_pytimedelta())
    found = judge_weeks(counts, NOTHING, two)
    third, fourth = (
        compare_counts({"=a": 140, "=b": 60}, weeks[2]).psi,
        compare_counts({"=a": 60, "=b": 140}, weeks[3]).psi,
    )
    expected = [
        (MONDAY + 7 * n * DAY, column, slice_, rows, psi, "hold")
        for n, figure, rows in ((2, third, 100), (3, fourth, 30))
        for column, slice_, psi in ((ROWS, ALL, 0.0), ("x", ALL, figure), ("x", "o=JFK", figure))
    ]
    columns = ["week", "column", "slice", "rows", "psi", "state"]
    assert list(found[columns].itertuples(index=False, name=None)) == expected
    known = judge_weeks(counts, found[found["week"] == MONDAY + 14 * DAY], two)
    assert list(known[columns].itertuples(index=False, name=None)) == expected[3:]


# --- what changes for good --------------------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(st.sampled_from([0.1, 0.3, 0.5, 2.0, 4.0]), st.integers(8, 14), st.integers(0, 3), st.integers(0, 1000))
def test_a_lasting_change_of_volume_is_news_for_four_weeks_and_usual_from_then_on(factor, when, back, seed):
    rng = np.random.default_rng(seed)
    usual = [int(rng.normal(6_500, 200)) for _ in range(30)]
    rows = [int(n * factor) if week >= when else n for week, n in enumerate(usual)]
    counts = pd.DataFrame(
        [(MONDAY + 7 * n * DAY, "x", ALL, "=a", n_rows) for n, n_rows in enumerate(rows)],
        columns=["week", "column", "slice", "bin", "rows"],
    )
    judged = judge_weeks(counts, NOTHING, POLICY)
    states = judged[judged["column"] == ROWS].sort_values("week")["state"].tolist()
    changed = when - 4  # the first four weeks have no reference
    assert states[:changed] == ["hold"] * 4 + ["clean"] * (changed - 4)
    assert states[changed : changed + 4] == ["rows"] * 4
    assert set(states[changed + 4 :]) == {"clean"}
    # The other way round it is a change again, and a week that is made up for is judged by what was before it.
    redone = judge_weeks(counts, judged.drop(judged.index[judged["week"] == MONDAY + 7 * (when + back) * DAY]), POLICY)
    assert redone[redone["column"] == ROWS]["state"].tolist() == ["rows"]


def test_a_short_change_of_volume_changes_nothing_that_is_usual():
    rows = [6_500] * 10 + [13_000] * 3 + [6_500] * 5
    counts = pd.DataFrame(
        [(MONDAY + 7 * n * DAY, "x", ALL, "=a", n_rows) for n, n_rows in enumerate(rows)],
        columns=["week", "column", "slice", "bin", "rows"],
    )
    judged = judge_weeks(counts, NOTHING, POLICY)
    states = judged[judged["column"] == ROWS].sort_values("week")["state"].tolist()
    assert states == ["hold"] * 4 + ["clean"] * 2 + ["rows"] * 3 + ["clean"] * 5


@pytest.mark.parametrize(("usual", "left", "state"), [(6_500, 100, "rows"), (6_500, 1, "rows"), (200, 20, "hold")])
def test_a_week_that_lost_nearly_all_rows_is_no_small_one(usual, left, state):
    past = before(*[(-n, 0.0, 0.0, usual, "clean") for n in (1, 2, 3, 4)], column=ROWS)
    found, x = newest(past, replace(SHORT, drift_min_rows=300), **{"=a": left})
    assert (found["state"], x["state"]) == (state, "hold")


COLUMNS = {
    "long": st.none() | st.integers(-3, 3),
    "boolean": st.none() | st.booleans(),
    "double": st.none() | st.sampled_from([0.0, -0.0, 0.5, 2.0]),
    "string": st.none() | st.sampled_from(["", "2", "nan"]),
}
TYPES = {"long": pa.int64(), "boolean": pa.bool_(), "double": pa.float64(), "string": pa.string()}


@given(st.sampled_from([*COLUMNS]).flatmap(lambda kind: st.tuples(st.just(kind), st.lists(COLUMNS[kind], min_size=1))),
       st.integers(1, 3))  # fmt: skip
def test_the_counts_of_parts_add_up_to_those_of_the_whole(column, size):
    kind, values = column
    rows = pa.table({"x": pa.array(values, TYPES[kind])})

    def count(table):
        frame = table.to_pandas()  # as Spark's workers get a part
        return count_bins(frame, np.zeros(len(frame)), ["x"], ["x"])

    cell = ["column", "slice", "bin"]
    parts = pd.concat([count(rows[at : at + size]) for at in range(0, len(values), size)])
    whole = count(rows).groupby(cell)["rows"].sum()
    assert parts.groupby(cell)["rows"].sum().to_dict() == whole.to_dict()
