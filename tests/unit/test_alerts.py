from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from policies import PLAIN

from mlops.contract import DataError, Decision, Rule
from mlops.lifecycle import alerts, estimates
from mlops.lifecycle.alerts import Finding, update
from mlops.lifecycle.drift import WEEK

DAY = timedelta(days=1)
NOW = datetime(2013, 6, 3, tzinfo=UTC)
POLICY = replace(
    PLAIN,
    slices=("carrier",),
)
NOT_DUE = Decision(due=False, rules=(Rule("calibration_gap", True, 0.01, 0.03, "fine"),))


def finding(firing, subject="carrier", evidence="PSI 1"):
    return Finding("drift", subject, "page", firing, evidence)


def test_windows_that_go_on_firing_update_one_alert_until_it_is_resolved():
    (first,) = update([], [finding(firing=True)], NOW)
    assert (first.first_seen, first.last_seen, first.resolved, first.owner) == (NOW, NOW, None, "data engineers")
    (second,) = update([first], [finding(firing=True, evidence="PSI 2")], NOW + WEEK)
    assert (second.first_seen, second.last_seen, second.evidence) == (NOW, NOW + WEEK, "PSI 2")
    (third,) = update([second], [finding(firing=False)], NOW + 2 * WEEK)
    assert (third.last_seen, third.resolved, third.evidence) == (NOW + WEEK, NOW + 2 * WEEK, "PSI 2")
    (fourth,) = update([third], [finding(firing=True)], NOW + 3 * WEEK)
    assert fourth.first_seen == NOW + 3 * WEEK


def test_what_nobody_judged_stays_as_it_is_and_a_repeat_changes_nothing():
    (alert,) = update([], [finding(firing=True)], NOW)
    assert update([alert], [finding(firing=False, subject="origin")], NOW + WEEK) == ()
    assert update([alert], [finding(firing=True)], NOW) == (alert,)


@given(st.lists(st.lists(st.booleans() | st.none(), min_size=3, max_size=3), max_size=8))
def test_there_is_never_more_than_one_open_alert_of_a_rule_and_subject(runs):
    known = {}
    for number, run in enumerate(runs):
        findings = [finding(firing, str(n)) for n, firing in enumerate(run) if firing is not None]
        for alert in update(list(known.values()), findings, NOW + number * DAY):
            known[alert.subject, alert.first_seen] = alert
        open_ = [alert.subject for alert in known.values() if alert.resolved is None]
        assert len(open_) == len(set(open_))
        assert {str(n) for n, firing in enumerate(run) if firing} <= set(open_)


def weeks(*columns):
    figures = {"slice": "", "psi": 1.0, "rows": 9, "limit": 0.1, "missing": 0.0, "state": "drift"}
    return pd.DataFrame([{"week": pd.Timestamp(NOW), **figures, "column": column} for column in columns])


def test_every_rule_that_can_fire_has_an_owner():
    weeks = pd.DataFrame(
        {"week": [pd.Timestamp(NOW)], "slice": "", "psi": 1.0, "rows": 9, "limit": 1.0, "missing": 1.0}
    )
    judged = pd.concat([weeks.assign(column=c, state="drift") for c in ("*", "x")])
    found = [*alerts.of_drift(judged, replace(POLICY, paging=("x",)))]
    found += alerts.of_feeds({"weather": None}, NOW, POLICY)
    found += alerts.of_quality(quality(flipped="EV"), {}, NOT_DUE, POLICY)
    assert {f.rule for f in found} == {"volume", "missing", "drift", "silent", "labels", "slice", "calibration"}
    assert {f.rule for f in found} < alerts.OWNERS.keys()


def test_only_columns_that_may_page_do():
    rows = {
        "week": pd.Timestamp(NOW),
        "slice": "",
        "psi": 1.0,
        "rows": 9,
        "limit": 0.1,
        "missing": 0.0,
        "state": "drift",
    }
    judged = pd.DataFrame([{**rows, "column": column} for column in ("carrier", "wind")])
    found = alerts.of_drift(judged, replace(POLICY, paging=("carrier",)))
    assert [(f.rule, f.subject) for f in found if f.firing] == [("drift", "carrier")]


def test_a_feed_is_silent_after_two_days_and_not_a_moment_before():
    newest = {"old": NOW - POLICY.silence - timedelta(seconds=1), "young": NOW - POLICY.silence, "never": None}
    assert [f.subject for f in alerts.of_feeds(newest, NOW, POLICY) if f.firing] == ["never", "old"]


def predicted(flipped="", unreported=0.0, rows=20_000):
    rng = np.random.default_rng(5)
    carrier, p = rng.choice(["UA", "EV", "B6"], rows), rng.beta(2, 6, rows)
    label = (rng.random(rows) < p).astype("float64")
    label = np.where(carrier == flipped, 1 - label, label)
    reported = rng.random(rows) >= unreported
    day = pd.Timestamp("2013-05-01") + pd.to_timedelta(rng.integers(28, size=rows), "D")
    frame = {
        "carrier": carrier,
        "prediction": p,
        "label": np.where(reported, label, np.nan),
        "reported": reported,
        "day": day,
    }
    return pd.DataFrame(frame)


def quality(**fault):
    return list(estimates.qualities(predicted(**fault), NOW - 28 * DAY, NOW, POLICY, due=True))


def fired(found, usual=None):
    return [(f.rule, f.subject) for f in alerts.of_quality(found, usual or {}, NOT_DUE, POLICY) if f.firing]


def test_labels_flipped_in_one_slice_page_with_that_slice():
    assert fired(quality()) == []
    assert ("slice", "carrier=EV") in fired(quality(flipped="EV"))


def test_what_only_waits_for_the_cool_down_goes_on_firing():
    cooling = Decision(due=False, rules=(Rule("calibration_gap", True, -0.05, 0.03, "but the last training was ..."),))
    found = alerts.of_quality(quality(), {}, cooling, POLICY)
    assert [(f.rule, f.severity) for f in found if f.firing] == [("calibration", "ticket")]


def test_a_slice_that_is_always_off_is_used_to():
    found = quality(flipped="EV")
    usual = {q.slice: [alerts.off(q, found[0])] for q in found[1:]}
    assert fired(found, usual) == []


def test_a_window_whose_outcomes_have_not_come_is_on_hold_and_says_so():
    found = quality(unreported=0.25)
    assert {q.state for q in found} == {"hold"}
    assert np.isnan(found[0].auc)
    assert fired(found) == [("labels", "")]


def test_the_expectation_comes_true_when_predictions_are_calibrated():
    whole, *_ = quality()
    assert whole.expected_rate == pytest.approx(whole.rate, abs=0.01)
    assert whole.surprise == pytest.approx(0, abs=0.01)
    for low, value, high in [
        (whole.auc_low, whole.auc, whole.auc_high),
        (whole.log_loss_low, whole.log_loss, whole.log_loss_high),
        (whole.gap_low, whole.calibration_gap, whole.gap_high),
    ]:
        assert low < value < high


def test_before_labels_are_due_only_the_expectation_is_told():
    rows = predicted(unreported=1.0)
    (open_,) = estimates.qualities(rows, NOW - 28 * DAY, NOW, POLICY, due=False)
    assert (open_.state, open_.labelled) == ("waiting", 0)
    assert open_.expected_rate == pytest.approx(rows["prediction"].mean())
    assert np.isnan(open_.log_loss)


def test_a_model_beside_is_worse_by_an_interval_that_excludes_zero():
    rows = predicted()
    noise = np.random.default_rng(6).uniform(0.05, 0.5, len(rows))
    found = estimates.beside(rows["label"], rows["prediction"], noise, rows["day"])
    assert 0 < found.low < found.log_loss_saved < found.high
    same = estimates.beside(rows["label"], rows["prediction"], rows["prediction"], rows["day"])
    assert (same.log_loss_saved, same.low, same.high) == (0, 0, 0)


@pytest.mark.parametrize(
    ("start", "end", "first", "number"),
    [
        ("2013-04-01", "2013-04-29", "2013-04-01", 4),
        ("2013-04-03", "2013-05-01", "2013-04-01", 4),
        ("2013-04-01", "2013-04-07", None, 0),
    ],
)
def test_whole_weeks_run_from_monday(start, end, first, number):
    found = alerts.weeks_of(*(datetime.fromisoformat(f"{day}T00:00:00+00:00") for day in (start, end)))
    assert len(found) == number
    assert found[:1] == ((datetime.fromisoformat(f"{first}T00:00:00+00:00"),) if first else ())


def test_one_day_has_figures_and_no_bounds_and_is_no_ground_for_a_comparison():
    rows = predicted().assign(day=pd.Timestamp("2013-05-01"))
    whole, *_ = estimates.qualities(rows, NOW - 28 * DAY, NOW, POLICY, due=True)
    assert whole.auc > 0.5
    assert np.isnan(whole.auc_low)
    with pytest.raises(DataError, match="it takes two"):
        estimates.beside(rows["label"], rows["prediction"], rows["prediction"], rows["day"])


def test_a_slice_that_was_not_judged_fires_nothing():
    found = [replace(each, state="hold") if each.slice else each for each in quality(flipped="EV")]
    assert {f.rule for f in alerts.of_quality(found, {}, NOT_DUE, POLICY)} >= {"labels"}
    assert "slice" not in {f.rule for f in alerts.of_quality(found, {}, NOT_DUE, POLICY)}


def test_a_rule_of_retraining_without_a_figure_is_no_finding():
    unsaid = Decision(due=False, rules=(Rule("age", True, None, None, "there is no champion"),))
    assert {f.rule for f in alerts.of_quality(quality(), {}, unsaid, POLICY)} == {"labels", "slice"}
