import math
import time
from functools import partial

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from kinds import BINARY
from sklearn.metrics import log_loss, roc_auc_score

from mlops.contract import DataError
from mlops.questions import bootstrap_paired_days

compare = partial(bootstrap_paired_days, BINARY)
chances = st.sampled_from([0.0, 0.1, 0.25, 0.5, 1.0]) | st.floats(0, 1)


def with_both_classes(rows):
    return len({row[0] for row in rows}) == 2


@given(st.lists(st.tuples(st.integers(0, 1), chances), min_size=2, max_size=80).filter(with_both_classes))
def test_measures_are_those_of_scikit_learn_ties_and_certainties_included(rows):
    y, p = (np.array(side) for side in zip(*rows, strict=True))
    found = BINARY.compute_metrics(y, p)
    assert found.ranking == pytest.approx(roc_auc_score(y, p), abs=1e-12)
    assert found.loss == pytest.approx(log_loss(y, p), rel=1e-9, abs=1e-12)
    assert found.skill == pytest.approx(1 - log_loss(y, p) / log_loss(y, np.full(len(y), y.mean())), rel=1e-9, abs=1e-9)
    assert found.gap == pytest.approx(p.mean() - y.mean(), abs=1e-12)
    assert (found.rows, found.figures["positives"]) == (len(y), y.sum())


def test_measures_by_hand():
    found = BINARY.compute_metrics([1, 0, 1, 0], [0.75, 0.75, 0.25, 0.25])
    loss = -(math.log(0.75) + math.log(0.25)) / 2
    assert (found.rows, found.figures["positives"], found.ranking, found.gap) == (4, 2, 0.5, 0.0)
    assert found.loss == pytest.approx(loss)
    assert found.skill == pytest.approx(1 - loss / math.log(2))
    assert BINARY.compute_metrics([1, 0, 0, 0], [0.5, 0.5, 0.5, 0.5]).gap == 0.25  # it promises more than comes


@pytest.mark.parametrize(
    ("y", "p", "sentence"),
    [
        ([], [], "there is no matured row to measure on"),
        ([0, 1], [0.5], r"labels of shape \(2,\) do not fit predictions of shape \(1,\): each row needs both"),
        ([[0, 1]], [[0.5, 0.5]], r"labels of shape \(1, 2\) do not fit predictions of shape \(1, 2\)"),
        ([0, 1], [0.5, math.nan], "1 of 2 predictions are missing or infinite, first in row 1"),
        ([0, 1], [math.inf, -math.inf], "2 of 2 predictions are missing or infinite, first in row 0"),
        ([0, 1], [0.5, math.nextafter(1, 2)], r"1 of 2 predictions lie outside 0\.\.1, first in row 1"),
        ([0, 1], [-math.ulp(0), 0.5], r"1 of 2 predictions lie outside 0\.\.1, first in row 0"),
        ([0, 0.5, 1], [0.5] * 3, "1 of 3 labels are neither 0 nor 1, first in row 1"),
        ([0, 1, math.nan], [0.5] * 3, "1 of 3 labels are neither 0 nor 1, first in row 2"),
        ([0, 0], [0.5, 0.5], "all 2 labels are 0: quality can only be measured on both classes"),
        ([1], [0.5], "all 1 labels are 1: quality can only be measured on both classes"),
    ],
)
def test_what_cannot_be_measured_is_refused_in_one_sentence(y, p, sentence):
    with pytest.raises(DataError, match=f"^{sentence}"):
        BINARY.compute_metrics(y, p)


@pytest.mark.parametrize(
    ("broken", "sentence"),
    [
        ({"challenger": [math.nan, 0.5]}, "1 of 2 predictions are missing"),
        ({"champion": [math.nan, 0.5]}, "1 of 2 predictions are missing"),
        ({"champion": [0.5]}, r"labels of shape \(2,\) do not fit predictions of shape \(1,\)"),
        ({"y": [1, 1]}, "all 2 labels are 1"),
        ({"day": ["mon"]}, "1 days were given for 2 rows: there must be one for each"),
        ({"day": ["mon", "mon"]}, "all 2 rows are of one day: a comparison of days needs at least two"),
    ],
)
def test_what_cannot_be_compared_is_refused_in_one_sentence(broken, sentence):
    rows = {"y": [0, 1], "challenger": [0.5, 0.5], "champion": [0.5, 0.5], "day": ["mon", "tue"]}
    with pytest.raises(DataError, match=f"^{sentence}"):
        compare(**(rows | broken), replicates=3, seed=0)


row = st.tuples(st.integers(0, 1), chances, chances, st.sampled_from(["mon", "tue", "wed", "thu"]))


@settings(max_examples=30)
@given(st.lists(row, min_size=2, max_size=60).filter(with_both_classes), st.integers(0, 10))
def test_bootstrap_is_a_loop_over_repeated_days_with_the_measures_of_scikit_learn(rows, seed):
    y, challenger, champion, day = (np.array(side) for side in zip(*rows, strict=True))
    names = sorted(set(day))
    assume(len(names) > 1)
    d_auc, d_log_loss = compare(y=y, challenger=challenger, champion=champion, day=day, replicates=5, seed=seed)
    draws = np.random.default_rng(seed).multinomial(len(names), [1 / len(names)] * len(names), size=5)
    for draw, auc, loss in zip(draws, d_auc, d_log_loss, strict=True):
        assert draw.sum() == len(names)
        drawn = np.concatenate(
            [np.flatnonzero(day == n) for n, times in zip(names, draw, strict=True) for _ in range(times)]
        )
        losses = [log_loss(y[drawn], p[drawn], labels=[0, 1]) for p in (challenger, champion)]
        assert loss == pytest.approx(losses[0] - losses[1], rel=1e-9, abs=1e-9)
        if y[drawn].min() == y[drawn].max():
            assert math.isnan(auc)
        else:
            aucs = [roc_auc_score(y[drawn], p[drawn]) for p in (challenger, champion)]
            assert auc == pytest.approx(aucs[0] - aucs[1], abs=1e-9)


def world(rows, days, noise, seed=0):
    """Labels whose truth is known, and two models that see it through different noise; each day has its own level."""
    rng = np.random.default_rng(seed)
    day = np.datetime64("2013-06-01") + rng.integers(0, days, rows)
    logit = rng.normal(-1.3, 1, rows) + rng.normal(0, 0.7, days)[(day - day.min()).astype(int)]
    y = (rng.random(rows) < 1 / (1 + np.exp(-logit))).astype(int)
    challenger, champion = (1 / (1 + np.exp(-logit - rng.normal(0, by, rows))) for by in noise)
    return {"y": y, "challenger": challenger, "champion": champion, "day": day}


def test_bootstrap_says_who_is_better_and_repeats_itself():
    rows = world(4000, 20, (0.1, 1.5))
    d_auc, d_log_loss = compare(**rows, replicates=300, seed=7)
    assert d_auc.shape == d_log_loss.shape == (300,)
    assert d_auc.min() > 0
    assert d_log_loss.max() < 0
    again = compare(**rows, replicates=300, seed=7)
    assert np.array_equal(again, (d_auc, d_log_loss))
    assert not np.array_equal(compare(**rows, replicates=300, seed=8), again)
    swapped = rows | {"challenger": rows["champion"], "champion": rows["challenger"]}
    assert np.allclose(compare(**swapped, replicates=300, seed=7), (-d_auc, -d_log_loss), atol=1e-12)


def test_a_model_against_itself_differs_by_exactly_nothing():
    rows = world(500, 5, (0.5, 0.5))
    d_auc, d_log_loss = compare(**(rows | {"champion": rows["challenger"]}), replicates=50, seed=0)
    assert not d_auc.any()
    assert not d_log_loss.any()


def test_the_order_of_rows_does_not_matter():
    rows = world(500, 5, (0.5, 0.6))
    order = np.random.default_rng(1).permutation(500)
    shuffled = {name: values[order] for name, values in rows.items()}
    found, again = (compare(**side, replicates=50, seed=0) for side in (rows, shuffled))
    assert np.allclose(found, again, atol=1e-12)


def test_a_thousand_replicates_of_fifty_thousand_rows_take_well_under_four_seconds():
    rows = world(50_000, 28, (0.3, 0.4))
    start = time.perf_counter()
    compare(**rows, replicates=1000, seed=0)
    assert time.perf_counter() - start < 4
