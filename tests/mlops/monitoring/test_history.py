"""Runs of monitoring in any order, against an oracle that runs them in their own."""

from dataclasses import asdict
from datetime import UTC, datetime, timedelta

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops.monitoring import alerts, history
from mlops.monitoring.alerts import Alert, Finding

START = datetime(2013, 6, 3, tzinfo=UTC)
SUBJECTS = ("carrier", "origin", "dest")
TIMES = ("first_seen", "last_seen", "resolved")
EMPTY = {
    "metrics": ["model_name", "window_start", "window_end", "slice", "auc", "as_of"],
    "decisions": ["model_name", "as_of", "rule", "fired"],
    "alerts": ["model_name", "rule", "subject", "severity", "owner", "evidence", *TIMES],
}


def moment(day):
    return START + timedelta(hours=12 * day)


def naive(value):
    return pd.NaT if value is None else pd.Timestamp(value).tz_localize(None)


class Runs:
    """The tables, and a run: what the job does between reading and writing, with nothing to read but the day."""

    def __init__(self, world):
        self.world = world  # by day, per subject: whether its rule fires; None: not judged
        self.tables = {name: self.typed(pd.DataFrame(columns=columns)) for name, columns in EMPTY.items()}

    @staticmethod
    def typed(rows):
        times = {"window_start", "window_end", "as_of", *TIMES} & set(rows.columns)
        return rows.assign(**{name: pd.to_datetime(rows[name]) for name in times})

    def run(self, day):
        as_of = naive(moment(day))
        past = history.select_past(self.tables, as_of, as_of)
        seen = [row for name in ("metrics", "decisions") for row in past[name]["as_of"]]
        assert all(each <= as_of for each in seen)
        next_run = history.find_next_run(self.tables, as_of)
        findings = [
            Finding("drift", subject, "page", firing, f"as of day {day}")
            for subject, firing in zip(SUBJECTS, self.world[day], strict=True)
            if firing is not None
        ]
        known = [self.alert(row) for row in self.tables["alerts"].to_dict("records")]
        following = None if next_run is None else next_run.to_pydatetime().replace(tzinfo=UTC)
        changed = alerts.update_alerts(known, findings, moment(day), following)
        window = pd.Timestamp(as_of).floor("D")  # two runs a day have one window
        self.put("metrics", as_of, [{"window_start": window, "window_end": window, "slice": "", "auc": day}])
        self.put("decisions", as_of, [{"rule": "age", "fired": day % 2 == 0}])
        self.put("alerts", as_of, [{**asdict(a), **{n: naive(getattr(a, n)) for n in TIMES}} for a in changed])
        return past

    @staticmethod
    def alert(row):
        times = [None if pd.isna(row[n]) else row[n].to_pydatetime().replace(tzinfo=UTC) for n in TIMES]
        return Alert(*(row[n] for n in ("rule", "subject", "severity", "owner", "evidence")), *times)

    def put(self, table, as_of, rows):
        if rows:
            fresh = self.typed(pd.DataFrame([{"model_name": "m", "as_of": as_of, **row} for row in rows]))
            mine = history.select_writable(table, self.tables[table], fresh, as_of)
            self.tables[table] = self.typed(history.replace_rows(table, self.tables[table], mine))

    def rows(self, table):
        return sorted(map(str, self.tables[table].to_dict("records")))

    @property
    def alerts(self):
        return [self.alert(row) for row in self.tables["alerts"].to_dict("records")]


DAYS = 8
WORLDS = st.lists(
    st.tuples(*[st.sampled_from([True, False])] * 2, st.sampled_from([True, False, None])),
    min_size=DAYS, max_size=DAYS,
)  # fmt: skip
ORDERS = st.lists(st.integers(0, DAYS - 1), min_size=1, max_size=14)


def in_order(world, days):
    """The oracle: which subjects fire in the newest run, and every firing with its day."""
    newest = max(days)
    open_ = {subject for subject, firing in zip(SUBJECTS[:2], world[newest][:2], strict=True) if firing}
    return open_, {(s, d) for d in set(days) for s, firing in zip(SUBJECTS, world[d], strict=True) if firing}


@settings(max_examples=8, deadline=None)
@given(WORLDS, ORDERS)
def test_runs_in_any_order_see_and_change_their_own_past_only(world, days):
    runs = Runs(world)
    for day in days:
        before = {alert for alert in runs.alerts if alert.first_seen > moment(day)}
        runs.run(day)
        assert before <= set(runs.alerts)
        again = {table: runs.rows(table) for table in EMPTY}
        runs.run(day)  # a repeat changes nothing
        assert {table: runs.rows(table) for table in EMPTY} == again
    open_, firings = in_order(world, days)
    moments = {moment(day) for day in days}
    found = runs.alerts
    assert {a.subject for a in found if a.resolved is None and a.subject in SUBJECTS[:2]} == open_
    assert len([a for a in found if a.resolved is None]) == len({a.subject for a in found if a.resolved is None})
    for alert in found:
        assert alert.first_seen <= alert.last_seen <= (alert.resolved or alert.last_seen)
        assert {alert.first_seen, alert.last_seen, alert.resolved} <= moments | {None}
        days_of = (alert.last_seen - START) / timedelta(hours=12)
        assert alert.evidence == f"as of day {days_of:.0f}"
    for subject, day in firings:
        assert any(a.subject == subject and a.first_seen <= moment(day) <= a.last_seen for a in found)


@settings(max_examples=8, deadline=None)
@given(WORLDS, ORDERS)
def test_rows_are_those_of_the_newest_run_whatever_the_order(world, days):
    shuffled, ordered = Runs(world), Runs(world)
    for day in days:
        shuffled.run(day)
    for day in sorted(set(days)):
        ordered.run(day)
    for table in ("metrics", "decisions"):
        assert shuffled.rows(table) == ordered.rows(table)


@settings(max_examples=8, deadline=None)
@given(WORLDS)
def test_in_their_own_order_runs_do_what_alerts_always_did(world):
    runs = Runs(world)
    for day in range(DAYS):
        runs.run(day)
    expected = set()
    for place, subject in enumerate(SUBJECTS[:2]):
        firing = [row[place] for row in world]
        for day in range(DAYS):
            if firing[day] and (day == 0 or not firing[day - 1]):
                end = next((later for later in range(day, DAYS) if not firing[later]), None)
                expected.add((subject, moment(day), None if end is None else moment(end)))
    assert {(a.subject, a.first_seen, a.resolved) for a in runs.alerts if a.subject != "dest"} == expected


def test_the_past_of_a_run_is_cut_where_it_stood():
    now = pd.Timestamp("2013-06-10")
    day = pd.Timedelta(days=1)
    tables = {
        "moves": pd.DataFrame({"as_of": [now - day, now, now + day], "to_version": [1, 2, 3]}),
        "drift": pd.DataFrame({"week": [now - 14 * day, now - 9 * day, now - 7 * day]}),
        "alerts": pd.DataFrame(
            {
                "first_seen": [now - 2 * day, now - day, now + day],
                "last_seen": [now - day, now + 2 * day, now + 2 * day],
                "resolved": [now, now + 3 * day, pd.NaT],
            }
        ),
    }
    past = history.select_past(tables, now, now - 2 * day)
    assert list(past["moves"]["to_version"]) == [1, 2]
    assert list(past["drift"]["week"]) == [now - 14 * day, now - 9 * day]
    assert list(past["alerts"]["last_seen"]) == [now - day, now]
    assert list(past["alerts"]["resolved"].isna()) == [False, True]


@pytest.mark.parametrize(
    ("as_of", "following"), [("2013-06-01", "2013-06-02"), ("2013-06-02", "2013-06-05"), ("2013-06-09", None)]
)
def test_the_next_run_is_known_from_decisions_and_alerts(as_of, following):
    times = {name: pd.to_datetime(["2013-06-02", "2013-06-05"]) for name in TIMES}
    tables = {
        "decisions": pd.DataFrame({"as_of": pd.to_datetime(["2013-06-02", "2013-06-08"])}),
        "alerts": pd.DataFrame(times).assign(resolved=pd.NaT),
    }
    found = history.find_next_run(tables, pd.Timestamp(as_of))
    assert found == (None if following is None else pd.Timestamp(following))
