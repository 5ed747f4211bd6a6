"""Figures from sums of ranges, against the same figures from rows."""

from __future__ import annotations

import re
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kinds import BINARY
from policies import PLAIN

from mlops.contract import DataError
from mlops.monitoring.day_sums import ALL, CELL, compare_sums, measure_sums, read_sums, sum_range
from mlops.monitoring.predicted_rows import PredictedRows
from mlops.monitoring.predicted_sums import PredictedSums
from mlops.monitoring.quality import compare_models, measure_slices

START = datetime(2013, 5, 6, tzinfo=UTC)
END = START + timedelta(days=28)
POLICY = replace(PLAIN, slices=("origin", "carrier"), max_unlabelled=0.3, slice_min_rows=6, slice_min_positives=2)


@st.composite
def worlds(draw):
    """Predictions of a few days with ties, unreported and unlabelled rows, some outside of the window."""
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    count, days = draw(st.integers(2, 300)), draw(st.integers(1, 9))
    p = rng.beta(draw(st.sampled_from([0.3, 2.0])), 3, count).round(draw(st.sampled_from([1, 2, 17])))
    label = (rng.random(count) < draw(st.sampled_from([0.02, 0.3, 0.7])) + 0.2 * p).astype(float)
    reported = rng.random(count) >= draw(st.sampled_from([0.0, 0.1, 0.5]))
    label[~reported | (rng.random(count) < 0.05)] = np.nan
    first = np.datetime64(START.replace(tzinfo=None) - timedelta(days=draw(st.integers(0, 3))), "us")
    rows = pd.DataFrame(
        {
            "prediction": p,
            "baseline": rng.random(count).round(2),
            "label": label,
            "reported": reported,
            "early": rng.random(count) < 0.1,
            "day": first + rng.integers(0, days, count).astype("timedelta64[D]"),
            "model_version": rng.integers(3, 5, count),
            "origin": rng.choice(["JFK", "LGA", None], count, p=[0.6, 0.3, 0.1]),
            "carrier": rng.choice(["UA", "AA"], count),
        }
    )
    edges = np.sort(rng.choice(p, draw(st.integers(0, 4))))
    return rows, edges


def summed(rows, edges, column="prediction"):
    ranges = rows.assign(prediction=rows[column]).groupby(np.searchsorted(edges, rows[column], side="right"))
    cells = pd.concat([sum_range(BINARY, part, number, POLICY.slices) for number, part in ranges])
    return read_sums(cells.sample(frac=1, random_state=0))


def inside(rows, start, end):
    days = rows["day"]
    return rows[(days >= pd.Timestamp(start).tz_localize(None)) & (days < pd.Timestamp(end).tz_localize(None))]


def same(one, other):
    one, other = (asdict(quality) for quality in (one, other))
    words = [
        re.sub(r" \(it predicts[^)]*\)|, average precision [\d.]+$", "", each.pop("words")) for each in (one, other)
    ]
    numbers = [[float(number) for number in re.findall(r"[+-]?[\d.]+", text)] for text in words]
    assert numbers[1] == pytest.approx(numbers[0], abs=1.1e-4)  # rounded to four digits
    assert re.sub(r"[\d.+-]", "", words[1]) == re.sub(r"[\d.+-]", "", words[0])
    others = [dict(each.pop("others")) for each in (one, other)]
    others[0].pop("average_precision", None)  # it does not follow from sums
    assert others[0] == pytest.approx(others[1], rel=1e-12, nan_ok=True)
    for name, value in one.items():
        expected = pytest.approx(value, rel=1e-9, abs=1e-12, nan_ok=True) if isinstance(value, float) else value
        assert other[name] == expected, name


@given(worlds(), st.booleans())
@settings(max_examples=20)
def test_sums_of_ranges_give_the_figures_of_the_rows(world, due):
    rows, edges = world
    kept, sums = inside(rows, START, END), summed(rows, edges)
    if kept.empty:
        assert not sums[ALL].between(START, END).total("rows")
        return
    expected = list(measure_slices(BINARY, kept, START, END, POLICY, due=due))
    measured = list(measure_sums(BINARY, sums, START, END, POLICY, due=due))
    assert [quality.slice for quality in measured] == [quality.slice for quality in expected]
    for one, other in zip(expected, measured, strict=True):
        same(one, other)
    window = sums[ALL].between(START, END)
    assert window.usual_version == kept["model_version"].mode().iloc[0]
    assert window.total("early") == kept.loc[kept["label"].notna(), "early"].sum()


@given(worlds())
@settings(max_examples=15)
def test_sums_compare_two_models_as_rows_do(world):
    rows, edges = world
    known = inside(rows, START, END).dropna(subset="label")
    if known["day"].nunique() < 2 or known["label"].nunique() < 2:
        return
    expected = compare_models(BINARY, known["label"], known["prediction"], known["baseline"], known["day"])
    champion, baseline = (summed(rows, edges, column)[ALL].between(START, END) for column in ("prediction", "baseline"))
    measured = compare_sums(champion, baseline)
    assert asdict(measured) == pytest.approx(asdict(expected), rel=1e-9, abs=1e-12)


@given(worlds(), st.sampled_from([-1, 0, 2, 5]))
@settings(max_examples=10)
def test_a_row_without_a_prediction_of_the_baseline_leaves_the_comparison_of_its_days_out(world, day):
    rows, edges = world
    broken = rows["day"] == pd.Timestamp(START).tz_localize(None) + timedelta(days=day)
    rows = rows.assign(baseline=rows["baseline"].mask(broken), event_time=rows["day"])
    known = rows.dropna(subset=["label", "baseline"])
    days = {int(each) for each in rows.loc[broken, "day"].to_numpy("datetime64[D]").astype("int64")}
    baseline = None if known.empty else summed(known, edges, "baseline")[ALL]
    there = PredictedSums(None, summed(rows, edges), baseline, frozenset(days), BINARY, POLICY)
    kept = inside(rows, START, END)
    if kept.dropna(subset="label")["label"].nunique() < 2:  # such a window is not judged
        return
    compared = [each.compare(START, END) for each in (PredictedRows(rows, BINARY, POLICY), there)]
    assert (compared[0] is None) == (compared[1] is None)
    if compared[0] is not None and kept.dropna(subset="label")["day"].nunique() > 1:
        assert asdict(compared[1]) == pytest.approx(asdict(compared[0]), rel=1e-9, abs=1e-12)


def test_the_number_of_sums_does_not_grow_with_the_rows():
    rng = np.random.default_rng(0)

    def cells(count):
        p = rng.random(count)
        rows = pd.DataFrame({"prediction": p, "label": (rng.random(count) < p).astype(float), "model_version": 1})
        rows = rows.assign(reported=True, early=False, origin="JFK", carrier="UA")
        return sum_range(BINARY, rows.assign(day=np.datetime64("2013-05-06")), 0, POLICY.slices)

    small, large = cells(500), cells(50_000)
    assert len(small) == len(large)
    assert list(small.columns) == list(CELL)


def test_a_prediction_that_is_no_probability_is_refused():
    rows = pd.DataFrame({"prediction": [0.5, np.nan, 1.5], "label": 1.0, "day": np.datetime64("2013-05-06")})
    with pytest.raises(DataError, match="2 predictions are missing, or lie outside"):
        sum_range(BINARY, rows, 0, ())
