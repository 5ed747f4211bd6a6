"""What a window's labels say, against scikit-learn on the same rows and on rows drawn again by hand."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kinds import BINARY
from policies import PLAIN
from sklearn.metrics import average_precision_score, brier_score_loss, log_loss, roc_auc_score

from mlops.contract import DataError
from mlops.monitoring.quality import Quality, compare_models, measure_slices

END = datetime(2013, 6, 3, tzinfo=UTC)
START = END - timedelta(days=28)
POLICY = replace(PLAIN, slices=("origin",), max_unlabelled=0.25, slice_min_rows=5, slice_min_positives=2)
FIGURES = ("level", "ranking", "loss", "gap", "excess_loss")
BOUNDS = tuple(f"{name}_{end}" for name in ("ranking", "loss", "gap") for end in ("low", "high"))


def predicted(labels, reported=None, origin="JFK", day=None, p=0.25):
    count = len(labels)
    columns = {"prediction": p, "label": labels, "reported": reported or [True] * count, "origin": origin}
    return pd.DataFrame({**columns, "day": day or [n % 3 for n in range(count)]}, index=range(count))


def found(*parts, due=True, policy=POLICY):
    return list(measure_slices(BINARY, pd.concat(parts, ignore_index=True), START, END, policy, due=due))


def test_the_expected_log_loss_is_the_mean_entropy():
    assert BINARY.estimate_loss([0.5, 0.5]) == pytest.approx(np.log(2))
    assert BINARY.estimate_loss([0.25, 0.1]) == pytest.approx(
        -(0.25 * np.log(0.25) + 0.75 * np.log(0.75) + 0.1 * np.log(0.1) + 0.9 * np.log(0.9)) / 2
    )
    assert 0 < BINARY.estimate_loss([0, 1]) < 1e-10


@given(st.lists(st.floats(0, 1), min_size=1))
def test_predictions_can_lie_about_the_truth_but_their_expectation_is_what_they_claim(claims):
    p = np.clip(claims, 1e-9, 1 - 1e-9)
    both = log_loss([1] * len(p) + [0] * len(p), np.concatenate([p, p]), sample_weight=[*p, *(1 - p)], labels=[0, 1])
    assert BINARY.estimate_loss(p) == pytest.approx(both, abs=1e-6)


def redrawn(rows, draws=200):
    """The rows of each draw of days, as often as their day was drawn."""
    days = sorted(set(rows["day"]))
    for times in np.random.default_rng(0).multinomial(len(days), [1 / len(days)] * len(days), size=draws):
        yield rows.loc[np.repeat(rows.index, rows["day"].map(dict(zip(days, times, strict=True))))]


def world(rows=60, days=4):
    rng = np.random.default_rng(7)
    p = rng.beta(2, 3, rows).round(2)
    return predicted((rng.random(rows) < p).astype(float), day=list(rng.integers(days, size=rows)), p=p)


def test_a_judged_window_has_the_figures_of_its_rows_and_the_bounds_of_its_days():
    rows = world()
    whole = next(measure_slices(BINARY, rows, START, END, replace(POLICY, slices=()), due=True))
    y, p = rows["label"], rows["prediction"]
    assert (whole.start, whole.end, whole.slice, whole.state) == (START, END, "", "judged")
    assert (whole.rows, whole.labelled, whole.positives, whole.unreported) == (60, 60, y.sum(), 0)
    expected = {
        "expected_level": p.mean(),
        "expected_loss": BINARY.estimate_loss(p),
        "level": y.mean(),
        "ranking": roc_auc_score(y, p),
        "loss": log_loss(y, p),
        "gap": p.mean() - y.mean(),
        "excess_loss": log_loss(y, p) - BINARY.estimate_loss(p),
    }
    assert whole.others == pytest.approx(
        {"average_precision": average_precision_score(y, p), "brier": brier_score_loss(y, p)}
    )
    measured = [BINARY.compute_metrics(r["label"], r["prediction"]) for r in redrawn(rows)]
    drawn = [(each.ranking, each.loss, each.gap) for each in measured]
    low, high = np.quantile(drawn, (0.025, 0.975), axis=0)
    expected |= {f"{name}_low": low[n] for n, name in enumerate(("ranking", "loss", "gap"))}
    expected |= {f"{name}_high": high[n] for n, name in enumerate(("ranking", "loss", "gap"))}
    assert {name: getattr(whole, name) for name in expected} == pytest.approx(expected)


def test_another_model_is_held_against_the_champion_with_the_bounds_of_the_same_days():
    rows, other = world(), world()["prediction"].to_numpy()[::-1]
    y, p, day = (rows[name] for name in ("label", "prediction", "day"))
    answer = compare_models(BINARY, y, p, other, day)
    assert answer.ranking == pytest.approx(roc_auc_score(y, other))
    assert answer.loss == pytest.approx(log_loss(y, other))
    assert answer.gain == pytest.approx(log_loss(y, other) - log_loss(y, p))
    draws = redrawn(rows.assign(other=other))
    saved = [
        BINARY.compute_metrics(r.label, r.other).loss - BINARY.compute_metrics(r.label, r.prediction).loss
        for r in draws
    ]
    assert (answer.low, answer.high) == pytest.approx(tuple(np.quantile(saved, (0.025, 0.975))))
    two = [0, 1] * 30
    assert compare_models(BINARY, y, p, other, two).gain == answer.gain
    with pytest.raises(DataError, match="of one day: a comparison of days needs at least two"):
        compare_models(BINARY, y, p, other, [0] * 60)


def test_two_days_have_bounds_and_one_has_none():
    one, two = ({"labels": [1.0, 0.0] * 3, "day": day} for day in ([1] * 6, [1, 1, 1, 2, 2, 2]))
    assert not np.isnan([getattr(found(predicted(**two))[0], name) for name in BOUNDS]).any()
    alone = found(predicted(**one))[0]
    assert np.isnan([getattr(alone, name) for name in BOUNDS]).all()
    assert not np.isnan([getattr(alone, name) for name in FIGURES]).any()


def unfinished(slice_, state, rows, labelled, positives, unreported):
    counts = {"rows": rows, "labelled": labelled, "positives": positives, "unreported": unreported}
    expected = {"expected_level": 0.25, "expected_loss": BINARY.estimate_loss([0.25])}
    return Quality(start=START, end=END, slice=slice_, state=state, **counts, **expected)


def test_before_labels_are_due_the_counts_and_the_expectation_are_all_there_is():
    rows = predicted([1.0, 0.0, np.nan, np.nan], reported=[True, True, True, False])
    (open_,) = found(rows, due=False)
    assert repr(open_) == repr(unfinished("", "waiting", 4, 2, 1, 0.25))  # by text: NaN equals nothing


def test_a_window_without_rows_is_on_hold_and_has_no_expectation():
    (whole,) = found(predicted([]))
    nothing = {"unreported": np.nan, "expected_level": np.nan, "expected_loss": np.nan}
    assert repr(whole) == repr(replace(unfinished("", "hold", 0, 0, 0, 0.0), **nothing))


@pytest.mark.parametrize(
    ("labels", "reported", "state"),
    [
        ([1.0, 0.0, 0.0, np.nan], [True, True, True, False], "judged"),
        ([1.0, 0.0, np.nan, np.nan], [True, True, False, False], "hold"),
        ([1.0, 1.0, 1.0, 1.0], None, "hold"),
        ([0.0, 0.0, 0.0, 0.0], None, "hold"),
        ([np.nan, np.nan], None, "hold"),
    ],
)
def test_a_window_is_judged_with_outcomes_enough_and_a_row_of_each_class(labels, reported, state):
    whole, *_ = found(predicted(labels, reported))
    assert whole.state == state
    assert np.isnan([getattr(whole, name) for name in (*FIGURES, *BOUNDS)]).any() == (state == "hold")


@pytest.mark.parametrize(
    ("labels", "state"),
    [
        ([1.0, 1.0, 0.0, 0.0, 0.0], "judged"),
        ([1.0, 1.0, 1.0, 0.0, 0.0, np.nan], "judged"),
        ([1.0, 1.0, 0.0, 0.0, np.nan], "hold"),
        ([1.0, 0.0, 0.0, 0.0, 0.0], "hold"),
        ([1.0, 1.0, 1.0, 1.0, 0.0], "hold"),
    ],
)
def test_a_slice_is_judged_with_as_many_rows_and_of_each_class_as_the_policy_wants(labels, state):
    whole, big, small = found(predicted([1.0, 0.0] * 9, origin="EWR"), predicted(labels, origin="LGA"))
    assert [each.slice for each in (whole, big, small)] == ["", "origin=EWR", "origin=LGA"]
    assert [each.state for each in (whole, big, small)] == ["judged", "judged", state]
    assert (small.rows, big.rows, whole.rows) == (len(labels), 18, 18 + len(labels))
