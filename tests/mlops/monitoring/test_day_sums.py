"""Figures from sums of ranges, against the same figures from rows, for every kind of question."""

from __future__ import annotations

import re
from dataclasses import asdict, replace
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kinds import BINARY, CLASSES, NUMBER, SEVERAL
from policies import PLAIN

from mlops.contract import DataError
from mlops.monitoring.day_sums import measure_sums, read_sums
from mlops.monitoring.predicted_rows import PredictedRows
from mlops.monitoring.predicted_sums import PredictedSums
from mlops.monitoring.quality import measure_slices
from mlops.monitoring.range_sums import ALL, CELL, merge_ranges, number_slices, sum_range
from mlops.questions.ranking import group_labels

START = datetime(2013, 5, 6, tzinfo=UTC)
END = START + timedelta(days=28)
POLICY = replace(PLAIN, slices=("origin", "carrier"), max_unlabelled=0.3, slice_min_rows=6, slice_min_positives=2)
DAYS = range(*((day.date() - date(1970, 1, 1)).days for day in (START, END)))
ODD = ["JFK", "a=b?", "", "nan", None]


def scores_of(question, rng, count, digits):
    """Scores of a kind, with as many ties as few digits make; shape (count,) or (count, classes)."""
    if question is NUMBER:
        return rng.normal(3, 10, count).round(digits)
    if question is BINARY:
        return rng.beta(rng.choice([0.3, 2.0]), 3, count).round(digits)
    return rng.dirichlet(np.full(len(CLASSES), 0.5), count)[rng.integers(0, count, count)]


def labels_of(question, rng, p, share):
    count = len(p)
    if question is NUMBER:
        return (p + rng.normal(0, 10, count)).round(int(rng.choice([0, 12]))) if share else np.full(count, 7.25)
    if question is BINARY:
        return (rng.random(count) < share + 0.2 * p).astype(float)
    return np.array(CLASSES, "object")[(rng.random(count) < share) * rng.integers(0, 3, count)]


@st.composite
def worlds(draw, question=None):
    """Predictions of a few days with ties, unreported and unlabelled rows, some outside of the window."""
    question = question or draw(st.sampled_from([BINARY, NUMBER, SEVERAL]))
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    count, days = draw(st.sampled_from([1, 2, 40, 400])), draw(st.integers(1, 9))
    p = scores_of(question, rng, count, draw(st.sampled_from([0, 1, 2, 12])))
    label = pd.Series(labels_of(question, rng, p, draw(st.sampled_from([0, 0.02, 0.3, 0.7]))))
    reported = rng.random(count) >= draw(st.sampled_from([0.0, 0.1, 0.5]))
    first = np.datetime64(START.replace(tzinfo=None) - timedelta(days=draw(st.integers(0, 3))), "us")
    rows = pd.DataFrame(
        {
            "scores": list(p.reshape(count, -1)),
            "baseline": list(scores_of(question, rng, count, 2).reshape(count, -1)),
            "label": label.mask(~reported | (rng.random(count) < 0.05)),
            "reported": reported,
            "early": rng.random(count) < 0.1,
            "day": first + rng.choice(np.unique(rng.integers(0, days, 5)), count).astype("timedelta64[D]"),
            "model_version": rng.integers(3, 5, count),
            "origin": pd.Series(rng.choice(np.array(ODD, "object"), count, p=[0.6, 0.1, 0.1, 0.1, 0.1])),
            "carrier": rng.choice([7.0, 1.5, np.nan], count),
        }
    )
    return question, rows, draw(st.integers(1, 5))


def first_labels(question, rows):
    """What Spark finds: the smallest label of each group, by slice, of the labelled rows of the window."""
    groups = {}
    known = inside(rows, START, END).dropna(subset="label")
    for codes, names in number_slices(known, POLICY.slices) if question is NUMBER and len(known) else ():
        y = known["label"].to_numpy("float64")
        groups |= {
            name: pd.Series(y[codes == code]).groupby(group_labels(y[codes == code])).min().to_numpy()
            for code, name in enumerate(names)
            if (codes == code).any()
        }
    return groups


def summed(question, rows, ranges, column="scores"):
    """Cut the rows at random edges, sum up each range, and merge the ranges of each slice."""
    rows, groups = rows.assign(scores=rows[column]), first_labels(question, rows)
    p, cells = np.stack(list(rows["scores"])), []
    for order in range(p.shape[1]):
        edges = np.sort(np.random.default_rng(ranges).choice(p[:, order], ranges - 1))
        for number, part in rows.groupby(np.searchsorted(edges, p[:, order], side="right")):
            given = {"window": DAYS, "order": order, "number": number}
            cells.append(sum_range(question, part, POLICY.slices, groups, **given))
    whole = pd.concat(cells).sample(frac=1, random_state=0)
    return read_sums(pd.concat([merge_ranges(part) for _, part in whole.groupby("slice")]))


def as_rows(question, rows):
    """The same predictions as rows, as `store.load_predictions` returns them."""
    columns = {"baseline": pd.Series([unpacked(question, each) for each in rows["baseline"]], rows.index, "object")}
    columns[question.score_column] = pd.Series([unpacked(question, each) for each in rows["scores"]], rows.index)
    return rows.assign(event_time=rows["day"], label=question.encode_labels(rows["label"]), **columns)


def unpacked(question, scores):
    if scores is None:
        return None
    return dict(zip(CLASSES, scores, strict=True)) if question is SEVERAL else float(scores[0])


def inside(rows, start, end):
    days = rows["day"]
    return rows[(days >= pd.Timestamp(start).tz_localize(None)) & (days < pd.Timestamp(end).tz_localize(None))]


def same_words(one, other, digits):
    """Figures in words may be rounded to either side."""
    numbers = [[float(number) for number in re.findall(r"[+-]?\d[\d.e+]*", text)] for text in (one, other)]
    assert numbers[1] == pytest.approx(numbers[0], abs=1.1 * 10**-digits, rel=1.1e-3)
    assert re.sub(r"[\d.e+-]", "", one) == re.sub(r"[\d.e+-]", "", other)


def same(one, other):
    one, other = (asdict(quality) for quality in (one, other))
    words = [re.sub(r" \(it [^)]*\)", "", each.pop("words")) for each in (one, other)]
    same_words(*words, 4)
    same_words(one.pop("implausible"), other.pop("implausible"), 3)
    others = [dict(each.pop("others")) for each in (one, other)]
    precision = [each.pop("average_precision", 0.0) for each in others]
    assert precision[1] == pytest.approx(precision[0], abs=2e-5)
    assert others[1] == pytest.approx(others[0], rel=1e-12, nan_ok=True)
    for name, value in one.items():
        expected = pytest.approx(value, rel=1e-9, abs=1e-12, nan_ok=True) if isinstance(value, float) else value
        assert other[name] == expected, name


@given(worlds(), st.booleans())
@settings(max_examples=20)
def test_sums_of_ranges_give_the_figures_of_the_rows(world, due):
    question, rows, ranges = world
    kept, sums = inside(as_rows(question, rows), START, END), summed(question, rows, ranges)
    there = PredictedSums(None, sums, None, frozenset(), question, POLICY)
    here = PredictedRows(as_rows(question, rows), question, POLICY)
    if kept.empty:
        assert there.measure(START, END, due=due) == here.measure(START, END, due=due) == []
        return
    expected = {each.slice: each for each in measure_slices(question, kept, START, END, POLICY, due=due)}
    measured = {each.slice: each for each in measure_sums(question, sums, START, END, POLICY, due=due)}
    assert measured.keys() == expected.keys()
    for name, quality in expected.items():
        same(quality, measured[name])
    for method in ("usual_version", "count_early", "find_unjudged"):
        one, other = (getattr(each, method)(START, END) for each in (here, there))
        assert len(one) == len(other) if method == "find_unjudged" else one == other, method


@given(worlds(), st.sampled_from([-1, 0, 2, 5, None]))
@settings(max_examples=12)
def test_sums_compare_two_models_as_rows_do(world, day):
    """On a day on which some row has no prediction of the baseline there is no comparison."""
    question, rows, ranges = world
    broken = rows["day"] == pd.Timestamp(START).tz_localize(None) + timedelta(days=99 if day is None else day)
    rows["baseline"] = pd.Series([None if b else s for b, s in zip(broken, rows["baseline"], strict=True)], rows.index)
    known = rows.dropna(subset=["label", "baseline"])
    days = {int(each) for each in rows.loc[broken, "day"].to_numpy("datetime64[D]").astype("int64")}
    baseline = None if known.empty else summed(question, known, ranges, "baseline")[ALL]
    here = PredictedRows(as_rows(question, rows), question, POLICY)
    there = PredictedSums(None, summed(question, rows, ranges), baseline, frozenset(days), question, POLICY)
    labelled = inside(rows, START, END).dropna(subset="label")
    if labelled["label"].nunique() < 2 <= labelled["day"].nunique():  # such a window is not compared
        return
    compared = [each.compare(START, END) for each in (here, there)]
    assert (compared[0] is None) == (compared[1] is None)
    if compared[0] is not None:
        assert asdict(compared[1]) == pytest.approx(asdict(compared[0]), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("question", [BINARY, NUMBER, SEVERAL])
def test_the_number_of_sums_does_not_grow_with_the_rows(question):
    rng = np.random.default_rng(0)

    def size(count):
        p = scores_of(question, rng, count, 12)
        rows = pd.DataFrame({"scores": list(p.reshape(count, -1)), "label": labels_of(question, rng, p, 0.5)})
        rows = rows.assign(reported=True, early=False, origin="JFK", carrier="UA", model_version=1)
        rows["day"] = np.datetime64("2013-05-06") + np.arange(count) % 7
        groups = {ALL: np.quantile(rows["label"], np.arange(256) / 256)} if question is NUMBER else {}
        cells = merge_ranges(sum_range(question, rows, (), groups, window=DAYS))
        assert list(cells.columns) == list(CELL)
        return len(cells), cells["value"].str.len().sum()

    assert size(500) == size(5_000)


def test_a_prediction_or_a_label_that_is_none_of_its_kind_is_refused():
    rows = pd.DataFrame({"scores": [[0.5], [np.nan], [1.5]], "label": 1.0, "day": np.datetime64("2013-05-06")})
    with pytest.raises(DataError, match="some of 3 predictions are no probabilities"):
        sum_range(BINARY, rows, (), {}, window=DAYS)
    with pytest.raises(DataError, match="label late has to be 1 or 0, and 2 of 2 rows have another value"):
        sum_range(BINARY, rows.assign(scores=[[0.5]] * 3, label=[None, 2, 3]), (), {}, window=DAYS)
