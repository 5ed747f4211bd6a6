"""Figures of every kind of question, beside loops in plain Python."""

from __future__ import annotations

import itertools
import math
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from kinds import BINARY, CLASSES, NUMBER, SEVERAL
from sklearn.metrics import average_precision_score, log_loss

from mlops.contract import DataError, Value
from mlops.questions import bootstrap_paired_days, draw_days
from mlops.questions.precision import average_precision, draw_precision, merge_precision, sum_precision
from mlops.questions.ranking import GROUPS, group_labels

numbers = st.integers(-5, 5).map(float) | st.floats(-1e6, 1e6)
days = st.sampled_from(["mon", "tue", "wed"])


def concordance(y, p):
    """Share of pairs with different labels whose predictions stand in the same order; equal ones count half."""
    won, pairs = 0.0, 0
    for (y_a, p_a), (y_b, p_b) in itertools.combinations(list(zip(y, p, strict=True)), 2):
        if y_a != y_b:
            pairs += 1
            greater, smaller = (p_a, p_b) if y_a > y_b else (p_b, p_a)
            won += (greater > smaller) + 0.5 * (greater == smaller)
    return won / pairs if pairs else math.nan


def repeat_days(day, draw):
    names = sorted(set(day))
    rows = [[n for n, d in enumerate(day) if d == name] * times for name, times in zip(names, draw, strict=True)]
    return [row for part in rows for row in part]


def probabilities(weights):
    return np.array(weights) / np.sum(weights, axis=1, keepdims=True)


# --- number -----------------------------------------------------------------------------------------------------------


@given(st.lists(st.tuples(numbers, numbers), min_size=2, max_size=40))
def test_figures_of_numbers_are_those_of_a_loop(rows):
    y, p = (list(side) for side in zip(*rows, strict=True))
    assume(min(y) < max(y) and np.var(y) > 0)
    found = NUMBER.compute_metrics(y, p)
    mean = sum(y) / len(y)
    assert found.rows == len(y)
    assert found.ranking == pytest.approx(concordance(y, p))
    assert found.loss == pytest.approx(sum(abs(a - b) for a, b in rows) / len(y), rel=1e-9, abs=1e-9)
    assert found.gap == pytest.approx(sum(b - a for a, b in rows) / sum(abs(a) for a in y), rel=1e-6, abs=1e-6)
    spread = sum((a - mean) ** 2 for a in y)
    assume(spread > 1e-6)
    assert found.skill == pytest.approx(1 - sum((a - b) ** 2 for a, b in rows) / spread, rel=1e-6, abs=1e-6)


@given(numbers, st.integers(1, 20))
@example(349525.88476066, 3)  # numpy's variance of three of them is above 0
def test_equal_labels_are_refused_whatever_their_value(label, rows):
    y = np.full(rows, label)
    with pytest.raises(DataError, match="quality can only be measured on different labels"):
        NUMBER.compute_metrics(y, np.arange(float(rows)))
    assert not NUMBER.is_measurable(y, SimpleNamespace(slice_min_rows=1))


@settings(max_examples=40)
@given(st.lists(st.tuples(numbers, numbers, numbers, days), min_size=3, max_size=25), st.integers(0, 9))
def test_draws_of_numbers_are_a_loop_over_repeated_days(rows, seed):
    y, one, other, day = (list(side) for side in zip(*rows, strict=True))
    assume(min(y) < max(y) and np.var(y) > 0 and len(set(day)) > 1)
    order, loss = bootstrap_paired_days(NUMBER, y=y, challenger=one, champion=other, day=day, replicates=4, seed=seed)
    _, drawn = draw_days(day, len(y), 4, seed)
    for draw, d_order, d_loss in zip(drawn, order, loss, strict=True):
        at = repeat_days(day, draw)
        pairs = [concordance([y[n] for n in at], [p[n] for n in at]) for p in (one, other)]
        losses = [sum(abs(y[n] - p[n]) for n in at) / len(at) for p in (one, other)]
        assert d_order == pytest.approx(pairs[0] - pairs[1], abs=1e-9, nan_ok=True)
        assert d_loss == pytest.approx(losses[0] - losses[1], rel=1e-6, abs=1e-6)


@given(st.lists(numbers, min_size=1, max_size=60))
def test_few_labels_are_groups_of_their_own(y):
    values = sorted(set(y))
    assert group_labels(np.array(y)).tolist() == [values.index(value) for value in y]


@given(st.integers(0, 5), st.integers(300, 3000))
def test_many_labels_are_groups_in_order_and_equal_ones_stay_together(seed, rows):
    y = np.random.default_rng(seed).normal(size=rows).round(3)
    group = group_labels(y)
    assert set(group) == set(range(group.max() + 1))
    assert group.max() < GROUPS
    order = np.argsort(y, kind="stable")
    assert (np.diff(group[order]) >= 0).all()
    assert (np.diff(group[order])[np.diff(y[order]) == 0] == 0).all()
    assert np.bincount(group).max() <= 3 * rows / GROUPS + np.unique(y, return_counts=True)[1].max()


@pytest.mark.parametrize(("heavy", "light"), [(1.0, -1.0), (0.0, 1.0)])
@pytest.mark.parametrize("distinct", [300, 2000])
def test_a_label_of_nearly_all_rows_does_not_hide_the_others(heavy, light, distinct):
    """As 100 in a percentage, or 0 in a count: 256 groups of equally many rows would put all rows into one."""
    y = np.append(np.full(200_000, heavy), light + light * np.arange(1, distinct + 1) / 10_000)
    group = group_labels(y)
    assert group.max() > 0
    assert set(group[:200_000]).isdisjoint(group[200_000:])


@pytest.mark.parametrize(
    ("y", "p", "said"),
    [
        ([1.0, 2.0], [1.0, math.nan], "1 of 2 predictions are missing or infinite, first in row 1"),
        ([1.0, math.inf], [1.0, 1.0], "1 of 2 labels are missing or infinite, first in row 1"),
        ([3.0, 3.0], [1.0, 2.0], "all 2 labels are 3: quality can only be measured on different labels"),
        ([], [], "there is no matured row to measure on"),
    ],
)
def test_numbers_that_cannot_be_measured_are_refused(y, p, said):
    with pytest.raises(DataError, match=f"^{said}"):
        NUMBER.compute_metrics(y, p)


# --- classes ----------------------------------------------------------------------------------------------------------

weights = st.tuples(*[st.sampled_from([0.1, 0.2, 0.5, 1.0, 3.0])] * 3)
class_rows = st.lists(st.tuples(st.integers(0, 2), weights, weights, days), min_size=3, max_size=25)


def macro_auc(y, p):
    aucs = [concordance([int(label == code) for label in y], p[:, code]) for code in sorted(set(y))]
    return float(np.nanmean(aucs)) if not all(math.isnan(auc) for auc in aucs) else math.nan


@settings(max_examples=50)
@given(class_rows)
def test_figures_of_classes_are_those_of_a_loop(rows):
    y, p = [row[0] for row in rows], probabilities([row[1] for row in rows])
    assume(len(set(y)) > 1)
    found = SEVERAL.compute_metrics(y, p)
    shares = [y.count(code) / len(y) for code in range(3)]
    loss = log_loss(y, p, labels=[0, 1, 2])
    right = [float(np.argmax(row) == label) for row, label in zip(p, y, strict=True)]
    assert found.loss == pytest.approx(loss)
    assert found.skill == pytest.approx(1 - loss / -sum(share * math.log(share) for share in shares if share))
    assert found.ranking == pytest.approx(macro_auc(y, p))
    assert found.gap == pytest.approx(p.max(axis=1).mean() - np.mean(right), abs=1e-12)
    assert found.figures["accuracy"] == pytest.approx(np.mean(right))
    assert found.figures["classes"] == len(set(y))
    assert SEVERAL.worst_gap(found) == pytest.approx(max(abs(found.gap), *np.abs(p.mean(axis=0) - shares)))
    entropy = -sum(v * math.log(v) for row in p for v in row) / len(p)
    assert SEVERAL.estimate_loss(p) == pytest.approx(entropy)


@settings(max_examples=30)
@given(class_rows, st.integers(0, 9))
def test_draws_of_classes_are_a_loop_over_repeated_days(rows, seed):
    y, day = [row[0] for row in rows], [row[3] for row in rows]
    one, other = (probabilities([row[n] for row in rows]) for n in (1, 2))
    assume(len(set(y)) > 1 and len(set(day)) > 1)
    order, loss = bootstrap_paired_days(SEVERAL, y=y, challenger=one, champion=other, day=day, replicates=4, seed=seed)
    _, drawn = draw_days(day, len(y), 4, seed)
    for draw, d_order, d_loss in zip(drawn, order, loss, strict=True):
        at = repeat_days(day, draw)
        labels = [y[n] for n in at]
        aucs = [macro_auc(labels, p[at]) for p in (one, other)]
        losses = [log_loss(labels, p[at], labels=[0, 1, 2]) for p in (one, other)]
        assert d_order == pytest.approx(aucs[0] - aucs[1], abs=1e-9, nan_ok=True)
        assert d_loss == pytest.approx(losses[0] - losses[1], abs=1e-9)


def test_scores_of_classes_come_back_from_their_columns_whatever_the_order_of_the_map():
    p = probabilities([(1, 2, 3), (5, 1, 1)])
    packed = SEVERAL.pack_scores(p)
    assert packed["prediction"].tolist() == ["blue", "red"]
    assert np.allclose(SEVERAL.unpack_scores(pd.Series(packed["probabilities"])), p)
    turned = [dict(reversed(row.items())) for row in packed["probabilities"]]
    assert np.allclose(SEVERAL.unpack_scores(pd.Series(turned)), p)
    assert SEVERAL.unpack_scores(pd.Series([{"red": 1.0}])).tolist() == [[1.0, 0.0, 0.0]]  # a class was added since
    assert SEVERAL.unpack_scores(pd.Series([], dtype="object")).shape == (0, len(CLASSES))


@pytest.mark.parametrize(
    ("p", "said"),
    [
        ([[0.5, 0.5, 0.1], [1, 0, 0]], "1 of 2 predictions do not add up to 1, first in row 0"),
        ([[1.2, -0.2, 0.0], [1, 0, 0]], r"1 of 2 predictions lie outside 0\.\.1, first in row 0"),
        ([[math.nan, 0.5, 0.5], [1, 0, 0]], "1 of 2 predictions are missing or infinite"),
        ([0.5, 0.5], r"labels of shape \(2,\) do not fit predictions of shape \(2,\)"),
    ],
)
def test_scores_that_are_no_probabilities_of_classes_are_refused(p, said):
    with pytest.raises(DataError, match=said):
        SEVERAL.compute_metrics([0, 1], p)


# --- rare events ------------------------------------------------------------------------------------------------------

rare_rows = st.lists(st.tuples(st.integers(0, 1), st.sampled_from([0.0, 0.01, 0.02, 0.5, 1.0]), days), min_size=2)


@settings(max_examples=60)
@given(rare_rows, st.integers(0, 9))
def test_average_precision_is_that_of_scikit_learn_and_its_draws_are_loops(rows, seed):
    y, p, day = (np.array(side) for side in zip(*rows, strict=True))
    assume(y.any())
    assert average_precision(y, p) == pytest.approx(average_precision_score(y, p))
    assume(len(set(day)) > 1)
    index, drawn = draw_days(day, len(y), 4, seed)
    for draw, value in zip(drawn, draw_precision(y, p, index, drawn), strict=True):
        at = repeat_days(day, draw)
        if y[at].any():
            assert value == pytest.approx(average_precision_score(y[at], p[at]))
        else:
            assert math.isnan(value)


@settings(max_examples=30)
@given(st.integers(0, 999), st.sampled_from([3, 40, 3000]), st.sampled_from([1, 3, 17]), st.integers(1, 6))
def test_average_precision_follows_from_sums_of_ranges_of_the_prediction(seed, rows, digits, ranges):
    rng = np.random.default_rng(seed)
    p = rng.beta(0.3, 3, rows).round(digits)
    y = (rng.random(rows) < rng.choice([0.01, 0.3]) + rng.choice([0, 0.5]) * p).astype(float)
    cut = np.searchsorted(np.sort(rng.choice(p, ranges - 1)), p, "right")
    found = merge_precision([sum_precision(y[cut == part], p[cut == part]) for part in np.unique(cut)])
    assert found == pytest.approx(average_precision(y, p) if y.any() else math.nan, abs=2e-5, nan_ok=True)


def test_a_value_matrix_gives_each_row_what_its_decision_is_worth():
    value = Value(matrix=((0.0, -1.0), (-10.0, 5.0)), threshold=0.2)
    assert BINARY.row_values(np.array([0, 0, 1, 1]), np.array([0.1, 0.2, 0.1, 0.9]), value).tolist() == [0, -1, -10, 5]
    several = Value(matrix=((1.0, 0.0, 0.0), (0.0, 2.0, 0.0), (-3.0, 0.0, 3.0)))
    p = probabilities([(3, 1, 1), (1, 3, 1), (3, 1, 1)])
    assert SEVERAL.row_values(np.array([0, 1, 2]), p, several).tolist() == [1.0, 2.0, -3.0]
    with pytest.raises(DataError, match="kind number has no decisions"):
        NUMBER.row_values(np.array([0, 1]), np.array([0.0, 1.0]), value)


# --- labels that cannot be right --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("question", "y", "p", "said"),
    [
        (NUMBER, np.full(100, 30.0), np.full(100, 10.0), "mean size of the labels is 30, of the predictions 10"),
        (NUMBER, np.full(100, 12.0), np.full(100, 10.0), ""),
        (NUMBER, np.full(100, -12.0), np.full(100, 10.0), ""),
        (SEVERAL, np.zeros(100), np.full((100, 3), 1 / 3), "share of labels that are red is 1.000"),
        (SEVERAL, np.arange(99) % 3, np.full((99, 3), 1 / 3), ""),
        (BINARY, np.zeros(900), np.full(900, 0.2), "share of labels that are 1 is 0.000"),
    ],
)
def test_labels_far_from_every_prediction_cannot_be_right(question, y, p, said):
    found = question.describe_implausible(y, p, 2.0)
    assert found.startswith(said)
    assert bool(found) == bool(said)


@pytest.mark.parametrize(
    ("question", "y", "p", "words"),
    [
        (NUMBER, [1.0, 2.0, 3.0], [2.0, 3.0, 4.0], "mean absolute error 1.0000, bias +0.5000 (it predicts too much)"),
        (NUMBER, [1.0, 2.0, 3.0], [0.0, 1.0, 2.0], "mean absolute error 1.0000, bias -0.5000 (it predicts too little)"),
        (NUMBER, [1.0, 3.0], [2.0, 2.0], "mean absolute error 1.0000, bias +0.0000, explained"),
        (NUMBER, [1.0, 3.0], [2.0, 1.9999], "bias -0.0000, explained"),
        (BINARY, [0, 0, 1], [0.5, 0.5, 0.9], "calibration gap +0.3000 (it predicts too much)"),
        (BINARY, [0, 1, 1], [0.1, 0.5, 0.5], "calibration gap -0.3000 (it predicts too little)"),
        (BINARY, [0, 0, 1], [0.5, 0.5, 0.9], "average precision 1.0000"),
        (SEVERAL, [0, 1], [[0.9, 0.1, 0.0], [0.9, 0.1, 0.0]], "(it is surer than it is right)"),
        (SEVERAL, [0, 1], [[0.9, 0.1, 0.0], [0.4, 0.6, 0.0]], "(it is less sure than it is right)"),
    ],
)
def test_the_figures_that_people_know_are_told_with_the_way_that_they_go(question, y, p, words):
    assert words in question.describe_metrics(question.compute_metrics(y, p))
