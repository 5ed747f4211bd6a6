from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kinds import BINARY
from policies import BY_CARRIER as POLICY

from mlops.contract import DataError, Decision, Rule
from mlops.monitoring import alerts
from mlops.monitoring import quality as estimates
from mlops.monitoring.alerts import Alert, Finding, Usual, update_alerts
from mlops.monitoring.drift import WEEK

DAY = timedelta(days=1)
NOW = datetime(2013, 6, 3, tzinfo=UTC)
NOT_DUE = Decision(due=False, rules=(Rule("calibration_gap", True, 0.01, 0.03, "fine"),))


def finding(firing, subject="carrier", evidence="PSI 1"):
    return Finding("drift", subject, "page", firing, evidence)


def test_windows_that_go_on_firing_update_one_alert_until_it_is_resolved():
    (first,) = update_alerts([], [finding(firing=True)], NOW)
    assert first == Alert("drift", "carrier", "page", "data engineers", "PSI 1", NOW, NOW)
    (second,) = update_alerts([first], [finding(firing=True, evidence="PSI 2")], NOW + WEEK)
    assert (second.first_seen, second.last_seen, second.evidence) == (NOW, NOW + WEEK, "PSI 2")
    (third,) = update_alerts([second], [finding(firing=False)], NOW + 2 * WEEK)
    assert (third.last_seen, third.resolved, third.evidence) == (NOW + WEEK, NOW + 2 * WEEK, "PSI 2")
    (fourth,) = update_alerts([third], [finding(firing=True)], NOW + 3 * WEEK)
    assert fourth.first_seen == NOW + 3 * WEEK


def test_a_repeat_of_the_run_that_resolved_an_alert_opens_it_again_if_the_rule_fires_now():
    (first,) = update_alerts([], [finding(firing=True)], NOW)
    (resolved,) = update_alerts([first], [finding(firing=False)], NOW + WEEK)
    assert resolved.resolved == NOW + WEEK
    (again,) = update_alerts([resolved], [finding(firing=True)], NOW + WEEK)
    assert (again.first_seen, again.last_seen, again.resolved) == (NOW, NOW + WEEK, None)
    (past,) = update_alerts([resolved], [finding(firing=True)], NOW + WEEK, NOW + 2 * WEEK)
    assert past.resolved == NOW + 2 * WEEK


def test_what_nobody_judged_stays_as_it_is_and_a_repeat_changes_nothing():
    (alert,) = update_alerts([], [finding(firing=True)], NOW)
    assert update_alerts([alert], [finding(firing=False, subject="origin")], NOW + WEEK) == ()
    assert update_alerts([alert], [finding(firing=True)], NOW) == (alert,)


@given(st.lists(st.lists(st.booleans() | st.none(), min_size=3, max_size=3), max_size=8))
def test_there_is_never_more_than_one_open_alert_of_a_rule_and_subject(runs):
    known = {}
    for number, run in enumerate(runs):
        findings = [finding(firing, str(n)) for n, firing in enumerate(run) if firing is not None]
        for alert in update_alerts(list(known.values()), findings, NOW + number * DAY):
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
    found = [*alerts.find_drift(judged, replace(POLICY, paging=("x",)))]
    found += alerts.find_late_sources({"weather": None}, NOW, POLICY)
    found += alerts.find_quality(BINARY.names, quality(flipped="EV"), Usual(), NOT_DUE, POLICY)
    found += [alerts.find_unscored(100, 50, POLICY), alerts.find_broken(1, NOW)]
    expected = {"volume", "missing", "drift", "silent", "labels", "unscored", "broken", "slice", "calibration"}
    assert {f.rule for f in found} == expected
    assert {f.rule for f in found} < alerts.OWNERS.keys()


def test_a_feed_is_silent_after_two_days_and_not_a_moment_before():
    newest = {"old": NOW - POLICY.silence - timedelta(seconds=1), "young": NOW - POLICY.silence, "never": None}
    assert [f.subject for f in alerts.find_late_sources(newest, NOW, POLICY) if f.firing] == ["never", "old"]


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
    return list(estimates.measure_slices(BINARY, predicted(**fault), NOW - 28 * DAY, NOW, POLICY, due=True))


def fired(found, usual=None):
    return [
        (f.rule, f.subject)
        for f in alerts.find_quality(BINARY.names, found, usual or Usual(), NOT_DUE, POLICY)
        if f.firing
    ]


def test_labels_flipped_in_one_slice_page_with_that_slice():
    assert fired(quality()) == []
    assert ("slice", "carrier=EV") in fired(quality(flipped="EV"))


def test_what_only_waits_for_the_cool_down_goes_on_firing():
    cooling = Decision(due=False, rules=(Rule("calibration_gap", True, -0.05, 0.03, "but the last training was ..."),))
    found = alerts.find_quality(BINARY.names, quality(), Usual(), cooling, POLICY)
    assert [(f.rule, f.severity) for f in found if f.firing] == [("calibration", "ticket")]


def test_a_slice_that_is_always_off_is_used_to():
    found = quality(flipped="EV")
    usual = {q.slice: [alerts.slice_gap_offset(q, found[0])] for q in found[1:]}
    assert not [rule for rule, _ in fired(found, Usual(offsets=usual)) if rule == "slice"]


def test_a_window_whose_outcomes_have_not_come_is_on_hold_and_says_so():
    found = quality(unreported=0.25)
    assert {q.state for q in found} == {"hold"}
    assert np.isnan(found[0].ranking)
    assert fired(found) == [("labels", "")]


def test_the_expectation_comes_true_when_predictions_are_calibrated():
    whole, *_ = quality()
    assert whole.expected_level == pytest.approx(whole.level, abs=0.01)
    assert whole.excess_loss == pytest.approx(0, abs=0.01)
    for low, value, high in [
        (whole.ranking_low, whole.ranking, whole.ranking_high),
        (whole.loss_low, whole.loss, whole.loss_high),
        (whole.gap_low, whole.gap, whole.gap_high),
    ]:
        assert low < value < high


def test_before_labels_are_due_only_the_expectation_is_told():
    rows = predicted(unreported=1.0)
    (open_,) = estimates.measure_slices(BINARY, rows, NOW - 28 * DAY, NOW, POLICY, due=False)
    assert (open_.state, open_.labelled) == ("waiting", 0)
    assert open_.expected_level == pytest.approx(rows["prediction"].mean())
    assert np.isnan(open_.loss)


def test_a_model_beside_is_worse_by_an_interval_that_excludes_zero():
    rows = predicted()
    noise = np.random.default_rng(6).uniform(0.05, 0.5, len(rows))
    found = estimates.compare_models(BINARY, rows["label"], rows["prediction"], noise, rows["day"])
    assert 0 < found.low < found.gain < found.high
    same = estimates.compare_models(BINARY, rows["label"], rows["prediction"], rows["prediction"], rows["day"])
    assert (same.gain, same.low, same.high) == (0, 0, 0)


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
    whole, *_ = estimates.measure_slices(BINARY, rows, NOW - 28 * DAY, NOW, POLICY, due=True)
    assert whole.ranking > 0.5
    assert np.isnan(whole.ranking_low)
    with pytest.raises(DataError, match="needs at least two"):
        estimates.compare_models(BINARY, rows["label"], rows["prediction"], rows["prediction"], rows["day"])


# --- the words that somebody is called with --------------------------------------------------------------------------

MONDAYS = [pd.Timestamp(NOW) + n * WEEK for n in range(3)]


def judged_week(number, column, state="clean", **figures):
    plain = {"slice": "", "rows": 12_345, "psi": 0.0, "missing": 0.0, "limit": 0.1}
    return {"week": MONDAYS[number], "column": column, "state": state, **plain, **figures}


def told(*weeks, paging=("carrier",)):
    return list(alerts.find_drift(pd.DataFrame(weeks), replace(POLICY, paging=paging)))


def test_findings_on_drift_come_by_column_each_with_its_worst_week_in_words():
    assert told(
        judged_week(0, "carrier", "drift", psi=0.25, missing=0.01),
        judged_week(1, "carrier", "drift", psi=0.1234, missing=0.02),
        judged_week(0, "*", "rows", rows=1_234, limit=4_200.4),
        judged_week(1, "*", "rows", rows=2_345, limit=4_300.6),
        judged_week(2, "*", rows=9_999, limit=4_400.0),
        judged_week(0, "wind", "missing", psi=0.5, missing=0.3),
        judged_week(1, "wind", psi=0.6, missing=-0.1),
    ) == [
        Finding("volume", "", "page", True,
                "week of 2013-06-10: 2,345 rows; its usual weeks allow no fewer than 4,301, nor as many more"),
        Finding("missing", "carrier", "page", False,
                "week of 2013-06-03: share of missing values +0.010 against the weeks before"),
        Finding("drift", "carrier", "page", True,
                "week of 2013-06-03: PSI 0.250 against the weeks before; its clean weeks allow 0.100"),
        Finding("missing", "wind", "page", True,
                "week of 2013-06-03: share of missing values +0.300 against the weeks before"),
    ]  # fmt: skip


def test_of_weeks_that_are_equally_far_off_the_newest_is_named_and_none_on_hold_or_of_a_slice():
    (missing, drift) = told(
        judged_week(1, "carrier", "drift", psi=0.3),
        judged_week(0, "carrier", "drift", psi=0.3),
        judged_week(2, "carrier", "hold", psi=0.9),
        judged_week(2, "carrier", "drift", psi=0.9, slice="origin=JFK"),
        judged_week(2, "wind", "hold", psi=0.9),
    )
    assert (missing.firing, drift.firing) == (False, True)
    assert drift.evidence.startswith("week of 2013-06-10: PSI 0.300")


def test_feeds_say_since_when_they_are_silent():
    moments = {"weather": NOW - DAY - timedelta(minutes=61), "orders": None}
    assert list(alerts.find_late_sources(moments, NOW, POLICY)) == [
        Finding("silent", "orders", "page", True, "nothing yet, as of 2013-06-03 00:00"),
        Finding("silent", "weather", "page", False, "nothing since 2013-06-01 22:59 UTC, as of 2013-06-03 00:00"),
    ]


@pytest.mark.parametrize(
    ("entities", "unscored", "fires"), [(0, 0, False), (100, 2, False), (100, 3, True), (9, 9, True)]
)
def test_a_window_that_is_scored_in_part_pages(entities, unscored, fires):
    found = alerts.find_unscored(entities, unscored, replace(POLICY, max_unlabelled=0.02))
    assert (found.rule, found.severity, found.firing) == ("unscored", "page", fires)
    assert found.evidence == f"{unscored} of {entities} entities have no prediction; 2.0% is allowed"


def window(slice_="", gap=0.0, unreported=0.0, state="judged", **figures):
    counts = {"rows": 900, "labelled": 900, "positives": 200, "expected_level": 0.2, "expected_loss": 0.5, **figures}
    labels, p = np.arange(counts["labelled"]) < counts["positives"], np.full(counts["rows"], counts["expected_level"])
    implausible = BINARY.describe_implausible(labels, p, POLICY.drift_factor) if len(labels) else ""
    return estimates.Quality(
        start=NOW - 28 * DAY, end=NOW, slice=slice_, state=state, gap=gap, unreported=unreported,
        implausible=implausible, **{"offset_error": 0.03, **counts},
    )  # fmt: skip


@pytest.mark.parametrize(("share", "firing"), [(0.02, False), (0.0201, True)])
def test_outcomes_may_lack_up_to_the_policys_share(share, firing):
    (found,) = alerts.find_quality(
        BINARY.names, [window(unreported=share)], Usual(), replace(NOT_DUE, rules=()), POLICY
    )
    said = f"{share:.1%} of the outcomes are not reported; 2.0% is allowed"
    assert found == Finding("labels", "", "page", firing, said)


EMPTY = "{}.0% of the reported outcomes carry no label; {}.0% is allowed"
WRONG = "share of labels that are 1 is {}, the predicted share is 0.200; 0.080 to 0.380 is allowed"
OFF = "calibration gap {} off that of all rows, usually {}; 0.095 either way of that is allowed"


@pytest.mark.parametrize(
    ("whole", "usual", "said"),
    [
        ({"labelled": 0, "positives": 0}, (), EMPTY.format("100", "50")),
        ({"labelled": 630, "positives": 130}, (), ""),
        ({"labelled": 630, "positives": 130}, (0.02, 0.06), EMPTY.format("30", "16")),
        ({"labelled": 760, "positives": 150}, (0.02, 0.06), ""),
        ({"positives": 0}, (), WRONG.format("0.000")),
        ({"positives": 2}, (), WRONG.format("0.002")),
        ({"positives": 900}, (), WRONG.format("1.000")),
        ({"positives": 340}, (), ""),
        ({"rows": 30, "labelled": 30, "positives": 1}, (), ""),
        ({"positives": 900, "expected_level": 1.0}, (), ""),
        ({"positives": 0, "expected_level": 0.0}, (), ""),
    ],
)  # fmt: skip
def test_outcomes_that_are_empty_or_cannot_be_right_page(whole, usual, said):
    found = alerts.check_labels(window(**whole), Usual(unlabelled=usual), POLICY)
    assert (found.rule, found.severity, found.firing) == ("labels", "page", bool(said))
    assert not said or found.evidence == said


def test_flipped_empty_and_constant_labels_of_a_whole_window_page():
    rows = predicted()
    faults = {
        "right": rows["label"], "all zero": rows["label"] * 0, "all one": rows["label"] * 0 + 1,
        "other way round": 1 - rows["label"], "empty": rows["label"] * np.nan,
    }  # fmt: skip
    firing = {}
    for name, labels in faults.items():
        whole, *_ = estimates.measure_slices(BINARY, rows.assign(label=labels), NOW - 28 * DAY, NOW, POLICY, due=True)
        firing[name] = alerts.check_labels(whole, Usual(), POLICY).firing
    assert firing == {"right": False, "all zero": True, "all one": True, "other way round": True, "empty": True}


@pytest.mark.parametrize(
    ("gap", "usual", "firing", "said"),
    [
        (0.0625, [], False, OFF.format("+0.062", "+0.000")),
        (-0.25, [], True, OFF.format("-0.250", "+0.000")),
        (-0.25, [-0.2], False,
         OFF.format("-0.250", "-0.200")),
        (0.25, [0.1, float("nan"), float("inf")], True,
         OFF.format("+0.250", "+0.100")),
        (0.25, [0.2, 0.2, 0.2, 0.0], True,
         OFF.format("+0.250", "+0.120")),
    ],
)  # fmt: skip
def test_a_slice_may_be_off_its_usual_place_as_far_as_its_own_noise_goes(gap, usual, firing, said):
    found = [window(gap=0.5), window("origin=JFK", gap=0.5 + gap)]
    known = Usual(offsets={"origin=JFK": usual, "": [9.0]})
    _, of_slice = alerts.find_quality(BINARY.names, found, known, replace(NOT_DUE, rules=()), POLICY)
    assert of_slice == Finding("slice", "origin=JFK", "page", firing, said)


def test_a_slice_of_one_day_is_not_judged():
    found = [window(), window("origin=JFK", gap=0.5, offset_error=float("nan"))]
    assert [f.rule for f in alerts.find_quality(BINARY.names, found, Usual(), replace(NOT_DUE, rules=()), POLICY)] == [
        "labels"
    ]


def test_the_error_of_a_slice_is_what_days_drawn_again_differ_by():
    rows = predicted(rows=20_000)
    shift = rows["day"].map(
        {day: np.random.default_rng(n).normal(0, 0.05) for n, day in enumerate(rows["day"].unique())}
    )
    rows["prediction"] = np.clip(rows["prediction"] + shift * (rows["carrier"] == "EV"), 0, 1)
    of_slice = {q.slice: q for q in estimates.measure_slices(BINARY, rows, NOW - 28 * DAY, NOW, POLICY, due=True)}[
        "carrier=EV"
    ]
    residual, mine = rows["prediction"] - rows["label"], rows["carrier"] == "EV"
    days = [np.flatnonzero(rows["day"] == day) for day in rows["day"].unique()]
    generator, drawn = np.random.default_rng(0), []
    for _ in range(400):
        some = np.concatenate([days[n] for n in generator.integers(len(days), size=len(days))])
        drawn.append(residual.iloc[some][mine.iloc[some]].mean() - residual.iloc[some].mean())
    assert of_slice.offset_error == pytest.approx(np.std(drawn), rel=0.15)


def stored(start, end, gap, slice_="", labelled=900):
    row = {"window_start": start, "window_end": end, "slice": slice_, "state": "judged", "gap": gap}
    return {**row, "rows": 1000, "unreported": 0.0, "labelled": labelled}


def test_windows_of_before_are_taken_without_overlap_from_the_newest_back():
    now = pd.Timestamp(NOW).tz_localize(None)
    every_day = [
        stored(now - (n + 28) * DAY, now - n * DAY, n / 100 + (0.5 if slice_ else 0), slice_, 900 - n)
        for n in range(60) for slice_ in ("", "carrier=EV")
    ]  # fmt: skip
    usual = alerts.find_usual(pd.DataFrame(every_day), NOW, POLICY)
    assert usual.unlabelled == pytest.approx([1 - 844 / 1000, 1 - 872 / 1000, 0.1])
    assert usual.offsets == {"carrier=EV": pytest.approx([0.5, 0.5, 0.5])}
    assert alerts.find_usual(pd.DataFrame(every_day).head(0), NOW, POLICY) == Usual({}, [])
    short = alerts.find_usual(pd.DataFrame(every_day), NOW, replace(POLICY, drift_memory=1))
    assert short.unlabelled == pytest.approx([0.1])


@pytest.mark.parametrize("on_hold", [0, 1])
def test_neither_a_slice_nor_a_window_on_hold_is_held_against_the_other(on_hold):
    found = [window(gap=0.0), window("origin=JFK", gap=0.5)]
    found[on_hold] = replace(found[on_hold], state="hold")
    assert [f.rule for f in alerts.find_quality(BINARY.names, found, Usual(), replace(NOT_DUE, rules=()), POLICY)] == [
        "labels"
    ]


@pytest.mark.parametrize(
    ("passed", "value", "limit", "firing"),
    [(True, 0.03, 0.03, False), (True, -0.031, 0.03, True), (False, 0.01, 0.03, True), (True, 0.0, 0.0, False)],
)
def test_each_rule_of_retraining_that_has_a_figure_is_a_ticket_in_its_own_words(passed, value, limit, firing):
    rules = (
        Rule("age", True, None, 84.0, "no"),
        Rule("age", True, 3.0, None, "no"),
        Rule("calibration_gap", passed, value, limit, "a gap"),
        Rule("age", True, 3.0, 84.0, "young"),
    )
    _, *found = alerts.find_quality(BINARY.names, [window()], Usual(), Decision(due=False, rules=rules), POLICY)
    gap, age = Finding("calibration", "", "ticket", firing, "a gap"), Finding("age", "", "ticket", False, "young")
    assert found == [gap, age]


def test_weeks_start_on_monday_at_midnight_and_those_that_are_not_over_are_left_out():
    start = datetime(2013, 6, 5, 13, 14, 15, 16, tzinfo=UTC)
    assert alerts.weeks_of(start, datetime(2013, 6, 17, tzinfo=UTC)) == (NOW, NOW + WEEK)
    assert alerts.weeks_of(start, datetime(2013, 6, 16, 23, 59, tzinfo=UTC)) == (NOW,)
