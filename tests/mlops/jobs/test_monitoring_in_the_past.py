"""Monitoring as of moments in any order, on the toy with two champions: real Spark, Delta and MLflow."""

from __future__ import annotations

import shutil
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from functools import partial
from unittest import mock

import pandas as pd
import pytest
from pyspark.sql.connect.client import SparkConnectClient
from test_jobs_loop import LATER, laptop_in
from toy import TOY, frame_of

from mlops.contract import ModelError
from mlops.monitoring.history import KEYS
from mlops.platform.tables import Schema
from mlops.release import audit_log

# The decisions themselves are held in each run, without an engine: test_monitoring_runs.py, against an oracle.
pytestmark = pytest.mark.nightly
WATCHED = ("metrics", "drift", "decisions", "alerts")
LAST = "2024-03-20T00:00:00Z"
STATEMENTS = {"ingestion": 26, "inference": 10, "monitoring": 32}
"""Of a window of two sources in which two models serve. What features need is read in a statement for the entities and
one for each source, and they are written in one. Rows to score are read and then written: one more statement than if
Spark scored them, and no worker to start."""


@pytest.fixture(scope="module")
def life(first_home, tmp_path_factory, patch):
    """Version 1 serves until 12 March, version 2 from then on; as of 20 March, the newest run, feeds are silent."""
    laptop = laptop_in(tmp_path_factory.mktemp("past"), patch)
    first_home(laptop)
    for as_of in ("2024-03-11T00:00:00Z", LATER):
        laptop.infer(as_of)
    _, second = laptop.train("prod", LATER)
    assert laptop.deploy("prod", second, as_of=LATER)[1] == "accepted"
    laptop.land("2024-03-12", "2024-03-17")
    window = {"ingestion": laptop.ingest, "inference": laptop.infer, "monitoring": laptop.monitor}
    laptop.statements = {job: count_statements(partial(run, LAST)) for job, run in window.items()}
    return laptop


def count_statements(run):
    """Run something; returns how many statements it sent to Spark."""
    sent, genuine = [], SparkConnectClient._execute_plan_request_with_metadata

    def send(*given, **named):
        sent.append(1)
        return genuine(*given, **named)

    with mock.patch.object(SparkConnectClient, "_execute_plan_request_with_metadata", send):
        run()
    return len(sent)


def test_a_window_sends_no_more_statements_than_it_did(life):
    """Each costs a tenth of a second to some seconds: whoever needs one more says here why."""
    assert {job: max(sent, STATEMENTS[job]) for job, sent in life.statements.items()} == STATEMENTS


def tables(context):
    return {table: frame_of(context.own, table) for table in WATCHED}


def test_a_run_in_the_past_is_a_run_in_the_past(life):
    context, _ = life.monitor(LAST)
    before = tables(context)
    assert "silent" in set(before["alerts"]["rule"])
    assert before["alerts"]["resolved"].isna().all()
    _, values = life.monitor(LATER)
    after = tables(context)
    assert values == {"retraining_due": "false"}
    for table in WATCHED:
        assert set(map(str, before[table].values.tolist())) <= set(map(str, after[table].values.tolist())), table
    assert after["alerts"].equals(before["alerts"])
    moment = pd.Timestamp(LATER).tz_localize(None)
    decided = after["decisions"][after["decisions"]["as_of"] == moment]
    assert set(decided["model_version"]) == {1}  # version 2 was trained as of that very moment
    assert after["drift"]["week"].max() <= pd.Timestamp(LAST).tz_localize(None) - timedelta(days=8)
    for moment in (LATER, LAST):
        life.monitor(moment)
        again = tables(context)
        for table in WATCHED:
            assert again[table].equals(after[table]), (moment, table)


def test_a_decision_belongs_to_the_version_that_served(life):
    context, _ = life.monitor("2024-03-11T12:00:00Z")
    decisions = frame_of(context.own, "decisions")
    decided = decisions[decisions["as_of"] == pd.Timestamp("2024-03-11T12:00:00")]
    assert set(decided["model_version"]) == {1}
    with pytest.raises(ModelError, match="no champion yet as of 2024-03-01 00:00"):
        life.monitor("2024-03-01T00:00:00Z")


def test_one_cause_starts_one_training(life):
    """Old models train at once here; the same run again, and a run in the past, start nothing more."""
    # A fifth of the window's outcomes is not landed yet: with the usual limit no training could use the labels.
    limits = {"retrain_age": timedelta(days=12), "cool_down": timedelta(days=1), "max_unlabelled": 0.5}
    aged = replace(TOY, policy=replace(TOY.policy, **limits))
    with mock.patch.object(type(life), "job", _with(type(life).job, aged)):
        _, values = life.monitor(LAST)
        assert values == {"retraining_due": "true"}
        life.train("prod", LAST)
        context, values = life.monitor(LAST)
        assert values == {"retraining_due": "false"}
        decisions = frame_of(context.own, "decisions")
        fired = decisions[(decisions["as_of"] == pd.Timestamp(LAST).tz_localize(None)) & (decisions["rule"] == "age")]
        assert list(fired["fired"]) == [True]
        _, values = life.monitor("2024-03-19T00:00:00Z")
        assert values == {"retraining_due": "false"}


def _with(job, use_case):
    def made(self, *given, **named):
        context = job(self, *given, **named)
        return type(context)(context.config, use_case)

    return made


def test_what_became_of_old_versions_ends_nothing(life, caplog):
    """The files of the first champion are gone, its verdict was never written, its run was deleted."""
    context, _ = life.monitor(LAST)
    assert judged(context)["baseline_auc"].notna().all()
    registry = context.registry
    first, second = (registry.get_version("prod.toy.failing", number) for number in (1, 2))
    for version, run_id in ((first, "0" * 32), (second, "")):
        facts = vars(audit_log.record_of(context, version.number).facts)
        row = audit_log.new_row(context, "verdict", version, verdict="accepted", validation_run=run_id, **facts)
        assert audit_log.add_row(context, row, lambda _: False)
    source = registry._client.get_model_version(first.model, "1").source.rsplit("/", 1)[-1]
    for folder in life.home.glob(f"artifacts/**/{source}"):
        shutil.rmtree(folder)
    life.monitor(LAST)
    assert "no comparison with version 1" in caplog.text
    assert judged(context)["baseline_auc"].isna().all()
    assert judged(context)["auc"].notna().all()


def judged(context):
    """The judged rows of all predictions that the newest run of monitoring wrote."""
    metrics = frame_of(context.own, "metrics")
    newest = metrics[(metrics["as_of"] == pd.Timestamp(LAST).tz_localize(None)) & (metrics["slice"] == "")]
    return newest[newest["state"] == "judged"]


class Cut(BaseException):
    """A process that is killed."""


@pytest.mark.parametrize("written", range(5))
def test_a_run_that_is_cut_short_between_any_two_tables_is_completed_by_the_next(life, monkeypatch, written):
    as_of = f"2024-03-{13 + written:02}T00:00:00Z"
    writes = []

    def cut(genuine):
        def write(self, table, *given, **named):
            if len(writes) >= written:
                raise Cut
            writes.append(table)
            return genuine(self, table, *given, **named)

        return write

    with monkeypatch.context() as patch:
        for name in ("append_rows", "merge_rows"):
            patch.setattr(Schema, name, cut(getattr(Schema, name)))
        with suppress(Cut):  # a run may have fewer tables to write
            life.monitor(as_of)
    context, _ = life.monitor(as_of)
    healed = tables(context)
    life.monitor(as_of)
    for table in WATCHED:
        assert tables(context)[table].equals(healed[table])
        assert not healed[table].duplicated(list(KEYS[table])).any()
