"""Runs of the monitoring job in any order, cut short anywhere, against a plain oracle; tables are frames in memory."""

from __future__ import annotations

from contextlib import contextmanager, nullcontext
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from toy import TOY

from mlops import config
from mlops.context import Context
from mlops.contract import ModelError
from mlops.contract.model_version import Version, VersionFacts
from mlops.data import endpoint_requests, scoring, table_schemas
from mlops.jobs import monitoring
from mlops.modeling.splits import Span
from mlops.monitoring import drift, quality, store, week_counts
from mlops.monitoring.history import KEYS
from mlops.platform import runtime
from mlops.questions import question_of
from mlops.release import audit_log
from mlops.release.aliases import as_recorded
from mlops.release.version_record import AuditRow

MODEL = "prod.toy.failing"
DAY = timedelta(days=1)
START = datetime(2024, 1, 1, tzinfo=UTC)  # a Monday
AGE, PAUSE = 30, 12
POLICY = replace(TOY.policy, retrain_age=AGE * DAY, cool_down=PAUSE * DAY, silence=2 * DAY)
USE_CASE = replace(TOY, policy=POLICY)
RNG = np.random.default_rng(0)
DAYS, PER_DAY = 120, 40
EVENTS = pd.DataFrame(
    {
        "event_time": np.repeat(pd.date_range("2024-01-01", periods=DAYS), PER_DAY) + pd.Timedelta(hours=6),
        "kind": RNG.choice(["x", "y"], DAYS * PER_DAY),
        "prediction": RNG.uniform(0.2, 0.8, DAYS * PER_DAY),
    }
)
EVENTS["label"] = (RNG.random(len(EVENTS)) < EVENTS["prediction"]).astype("float64")
EVENTS["day"] = EVENTS["event_time"].dt.floor("D")
EVENTS["week"] = EVENTS["day"] - pd.to_timedelta(EVENTS["day"].dt.dayofweek, "D")
COUNTS = drift.count_bins(EVENTS[["kind"]], EVENTS["week"].to_numpy())
DOUBLED = COUNTS.assign(rows=COUNTS["rows"].where(COUNTS["week"] < pd.Timestamp("2024-03-11"), COUNTS["rows"] * 3))
FED = [day for day in range(DAYS) if not 60 <= day < 70]
"""Days on which the feeds told of something."""


class Cut(BaseException):
    """Stands for SIGKILL."""


def moment(day):
    return START + day * DAY


def naive(value):
    return pd.Timestamp(value).tz_localize(None)


def plain(value):
    """A value as it reads, whatever type a frame has given it."""
    if pd.isna(value):
        return None
    return float(value) if isinstance(value, int | float | np.number | np.bool) else str(value)


def texts(rows):
    return sorted(str({name: plain(value) for name, value in row.items()}) for row in rows)


class World:
    """What outlives a run: the tables, the versions and their moves."""

    def __init__(self):
        self.tables = {}
        for name in KEYS:
            columns = {c.name: c.type for c in table_schemas.table_columns(name, USE_CASE)}
            frame = pd.DataFrame({column: pd.Series(dtype="object") for column in columns})
            times = {c: pd.to_datetime(frame[c]).astype("datetime64[us]") for c in columns if columns[c] == "timestamp"}
            self.tables[name] = frame.assign(**times)
        self.trained, self.left, self.early = {}, -1, 0.0
        self.train(10)

    def train(self, day):
        self.trained[len(self.trained) + 1] = day

    def get_version(self, _, number):
        day = self.trained[number]
        return Version(MODEL, number, str(day), START, {}, ())

    def read_run_tags(self, run_id):
        day = int(run_id)
        return VersionFacts(trained_as_of=moment(day), trained_until=moment(day - 9)).to_tags()

    def list_versions(self, *_):
        return tuple(self.get_version(MODEL, number) for number in self.trained)

    def moves(self):
        return [
            AuditRow(model_name=MODEL, sequence=n, move="deployment", to_version=n, run_id="1", at=START,
                     as_of=moment(day), trained_until=moment(day - 9), trained_as_of=moment(day))
            for n, day in self.trained.items()
        ]  # fmt: skip

    @contextmanager
    def open_run(self, *_):
        yield "run"

    def log_tables(self, *_):
        pass

    def link_model(self, _):
        pass

    def log_to_run(self, _, figures, documents, *, model_id):
        self.page = documents["report.html"]

    def load_model(self, *_):
        raise ModelError("the files of the first champion are gone")

    # --- as a schema

    def append_rows(self, table, rows, *, adds_columns=False):
        if self.left == 0:
            raise Cut
        self.left -= 1
        self.tables[table] = pd.concat([frame for frame in (self.tables[table], rows) if len(frame)], ignore_index=True)

    def merge_rows(self, table, rows, key):
        there = self.tables[table]
        mine = {tuple(row) for row in rows[key].itertuples(index=False)}
        kept = there[[tuple(row) not in mine for row in there[key].itertuples(index=False)]]
        self.tables[table] = kept
        try:
            self.append_rows(table, rows)
        except Cut:
            self.tables[table] = there
            raise

    # --- as what a run reads

    def load_history(self, job, rows):
        moves = pd.DataFrame(
            {
                "as_of": [naive(m.as_of) for m in self.moves()],
                "move": "deployment",
                "reason": "",
                "to_version": [*self.trained],
            }
        )
        ledger = pd.DataFrame(
            {"as_of": [naive(moment(day)) for day in FED] * 2, "source": ["orders"] * len(FED) + ["results"] * len(FED)}
        )
        none = pd.DataFrame({"as_of": pd.to_datetime([]), "rows": []})
        return {
            **self.tables,
            "metrics": store.name_figures(question_of(USE_CASE.label), self.tables["metrics"]),
            "moves": moves,
            "ledger": ledger.assign(last_known=ledger["as_of"]),
            "quarantine": none,
        }

    def load_predictions(self, job, start, baseline, versions):
        rows = EVENTS[(EVENTS["event_time"] >= naive(start)) & (EVENTS["event_time"] < naive(job.config.as_of))]
        told = rows["day"] + DAY <= naive(job.config.as_of)
        predicted = np.nan if baseline is None else rows["prediction"]
        early = np.arange(len(rows)) % 100 < 100 * self.early
        return rows.assign(
            label=rows["label"].where(told), reported=told, early=early, baseline=predicted, model_version=1
        )

    def find_input_versions(self, job):
        return {}

    def count_unscored(self, job, window, first):
        return 100, 0

    def query_weeks(self, weeks):
        return SimpleNamespace(toPandas=lambda: DOUBLED[DOUBLED["week"].isin([naive(week) for week in weeks])])

    def rows(self, table):
        return sorted(str([plain(value) for value in row]) for row in self.tables[table].astype(object).to_numpy())

    def everything(self):
        return {table: self.rows(table) for table in KEYS}


@pytest.fixture(scope="module", autouse=True)
def no_engine():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(table_schemas, "create_tables", lambda *_: None)
        patch.setattr(table_schemas, "describe_table", lambda _, columns, rows: rows[[c.name for c in columns]])
        patch.setattr(audit_log, "load_rows", lambda job: job.own.moves())
        patch.setattr(
            store,
            "find_serving",
            lambda world, model, rows, _: as_recorded(world.get_version(model, len(world.trained)), rows[-1]),
        )
        patch.setattr(week_counts, "query_weeks", lambda job, weeks: job.own.query_weeks(weeks))
        patch.setattr(week_counts, "count_weeks", lambda *_: DOUBLED.head(0))
        patch.setattr(scoring, "count_broken", lambda *_: {scoring.SOURCE: 0, endpoint_requests.SOURCE: 0})
        patch.setattr(quality, "DRAWS", 5)
        for name in ("load_history", "load_predictions", "find_input_versions", "count_unscored"):
            patch.setattr(store, name, lambda job, *given, name=name: getattr(job.own, name)(job, *given))
        yield


def monitor(world, day, cut=-1):
    """Run the job as of a day; returns the task value, None if it was cut before its n-th write."""
    given = {"job": "monitoring", "run_id": "1", "catalog": "prod", "schema": "toy", "as_of": moment(day).isoformat()}
    given |= {
        "data_catalog": "prod",
        "data_schema": "toy",
        "model_name": MODEL,
        "experiment": "/toy",
        "data_profiling": "off",
    }
    job = Context(config.parse_arguments([f"--{name}={value}" for name, value in given.items()]), USE_CASE)
    job.__dict__.update(own=world, data=world, registry=world)
    world.left, values = cut, {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runtime, "set_task_value", values.__setitem__)
        try:
            monitoring.run(job)
        except Cut:
            return None
    return values["retraining_due"]


class Oracle:
    """What runs should have decided and started, by their days alone."""

    def __init__(self):
        self.trained, self.decisions = [10], {}

    def run(self, day):
        version = sum(each < day for each in self.trained)
        champion = self.trained[version - 1]
        last = max((each for each in self.trained if each < day), default=None)
        fired = day - (champion - 9) >= AGE and (last is None or day - last >= PAUSE)
        newest = all(day >= other for other in self.decisions)
        starts = fired and newest and all(each < day for each in self.trained)
        self.decisions[day] = (version, fired)
        return starts


@settings(max_examples=2, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(st.lists(st.tuples(st.integers(20, DAYS), st.integers(-1, 4)), min_size=2, max_size=5), st.booleans())
def test_runs_in_any_order_decide_as_the_oracle_does_and_leave_later_rows_alone(runs, train):
    world, oracle = World(), Oracle()
    for day, cut in runs:
        later = {name: world.tables[name] for name in ("metrics", "decisions")}
        later = {name: rows[rows["as_of"] > naive(moment(day))].to_dict("records") for name, rows in later.items()}
        began = world.tables["alerts"]
        began = began[began["first_seen"] > naive(moment(day))].to_dict("records")
        if cut >= 0:
            monitor(world, day, cut)
        starts = oracle.run(day)
        assert monitor(world, day) == str(starts).lower()
        again = world.everything()
        assert monitor(world, day) == str(starts).lower()
        assert world.everything() == again  # a repeat changes nothing
        if starts and train:
            world.train(day)
            oracle.trained.append(day)
            assert monitor(world, day) == "false"  # one cause, one training
        for name, rows in later.items():
            assert set(texts(rows)) <= set(texts(world.tables[name].to_dict("records")))
        assert set(texts(began)) <= set(texts(world.tables["alerts"].to_dict("records")))
    decided = world.tables["decisions"].query("rule == 'age'")
    found = {(row.as_of - naive(START)).days: (row.model_version, row.fired) for row in decided.itertuples()}
    assert {day: found[day] for day in oracle.decisions} == oracle.decisions
    for table, key in KEYS.items():
        assert not world.tables[table].duplicated(list(key)).any()
    for alert in world.tables["alerts"].itertuples():
        assert alert.first_seen <= alert.last_seen
        assert pd.isna(alert.resolved) or alert.resolved >= alert.last_seen
    newest = naive(moment(max(day for day, _ in runs)))
    open_ = world.tables["alerts"][world.tables["alerts"]["resolved"].isna()]
    silent = {row.subject for row in open_.itertuples() if row.rule == "silent"}
    told = max(naive(moment(day)) for day in FED if naive(moment(day)) <= newest)
    assert silent == ({"orders", "results"} if newest - told > POLICY.silence else set())


@pytest.mark.parametrize("late", [68, 90])
def test_weeks_after_a_run_in_the_past_and_feeds_of_today_are_not_its_news(late):
    alone, after = World(), World()
    monitor(alone, 45)
    monitor(after, late)
    today = after.tables["alerts"].to_dict("records")
    monitor(after, 45)
    rows = after.tables["alerts"].to_dict("records")
    assert texts(row for row in rows if row["first_seen"] > naive(moment(45))) == texts(today)
    assert "silent" in {row["rule"] for row in today} or late == 90
    for table in ("metrics", "decisions"):
        mine = after.tables[table][after.tables[table]["as_of"] == naive(moment(45))]
        assert texts(mine.to_dict("records")) == texts(alone.tables[table].to_dict("records"))
    assert after.page.count("open") <= alone.page.count("open")


@pytest.mark.parametrize("share", [0.0, 0.05, 1.0])
def test_labels_that_were_known_at_their_questions_page_and_start_no_training(share):
    """Training refuses them, so a decision to train on them would only fail."""
    world = World()
    world.early = share
    assert monitor(world, 59) == str(share == 0).lower()  # the champion is old
    pages = [row for row in world.tables["alerts"].to_dict("records") if row["rule"] == "labels"]
    assert [row["severity"] for row in pages] == ["page"] * (share > 0)
    assert all("labels were known when their predictions were made" in row["evidence"] for row in pages)
    if share > 0:
        decided = world.tables["decisions"]
        assert decided["reason"].str.contains("known when their predictions were made").any()
        world.early = 0.0
        assert monitor(world, 60) == "true"
        assert world.tables["alerts"].query("rule == 'labels'")["resolved"].notna().all()


def test_rows_that_are_more_than_the_limit_are_summed_up_however_few_were_to_score(monkeypatch):
    class Summed(Exception):
        pass

    def load_sums(*_):
        raise Summed

    world = World()
    monkeypatch.setattr(monitoring, "load_sums", load_sums)
    monitor(world, 30)
    world.load_predictions = lambda *_: None
    with pytest.raises(Summed):
        monitor(world, 31)


@pytest.mark.parametrize(
    ("uncounted", "first"), [((), 56), ((84, 91), 56), ((42, 84), 42), ((7, 21, 28, 42), 28), ((7, 21), 56)]
)
def test_predictions_are_read_from_the_first_week_that_no_run_has_counted(uncounted, first):
    """After a pause of two months, or where the window is shorter than the weeks between two runs."""
    window, weeks = Span(moment(60), moment(88)), [moment(day) for day in uncounted]  # day 56 is a Monday
    champion = SimpleNamespace(trained_as_of=moment(31))  # nothing is predicted before
    assert monitoring._find_start(window, weeks, champion) == moment(first)


def test_a_run_before_the_first_champion_says_so():
    with pytest.raises(ModelError, match="no champion yet as of 2024-01-06"), nullcontext():
        monitor(World(), 5)
