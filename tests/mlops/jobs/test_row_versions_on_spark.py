"""Ingestion, features, labels and predictions on real Spark and Delta, against an oracle that keeps every version."""

from __future__ import annotations

import itertools
import os
import sys
import time
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from oracle import FEATURES, HOUR, SHOP, SOURCES, START, File, Oracle, Run, Runs, feeds
from pyspark import cloudpickle
from test_jobs_loop import DATA, laptop_in

from mlops.context import Context
from mlops.contract import DataError
from mlops.contract.model_version import VersionFacts
from mlops.data import table_schemas
from mlops.data.labels import join_labels
from mlops.monitoring import store
from mlops.platform.tables import rows_of
from mlops.release import audit_log, champion_scorer
from mlops.release.version_record import AuditRow

SMALL_GROUPS = replace(SHOP, policy=replace(SHOP.policy, max_group_rows=12))
KINDS = {"x": 0.5, "y": 0.25, None: 0.0}
cloudpickle.register_pickle_by_value(sys.modules[__name__])  # Spark's workers cannot import this file
NUMBERS = itertools.count()
WATCHED = {"experiment": "/toy", "data_profiling": "off"}
ONE_HOME = [HealthCheck.function_scoped_fixture]  # every example has a catalog of its own in it
DRAWN = settings(deadline=None, phases=(Phase.generate,), suppress_health_check=ONE_HOME)


class Champion:
    """A model that is a formula, so that the oracle can predict too."""

    feature_names_in_ = ("size", "kind", "visits")

    def predict_proba(self, rows):
        values = rows["kind"].map(lambda kind: KINDS[kind] if isinstance(kind, str) else 0.0) + rows["visits"] / 64
        return np.column_stack([1 - values, values])


def predicted(values):
    return KINDS[values["kind"]] + values["visits"] / 64


@pytest.fixture
def shop(spark, tmp_path, monkeypatch):
    laptop = laptop_in(tmp_path, monkeypatch)
    version = SimpleNamespace(number=1, facts=VersionFacts(trained_as_of=START))
    champion = SimpleNamespace(load_model=lambda *_: Champion())
    monkeypatch.setattr(champion_scorer, "load_serving", lambda _: version)
    registry = Context.registry.func
    monkeypatch.setattr(
        Context,
        "registry",
        property(lambda self: champion if self.config.job == "inference" else registry(self)),
    )
    return laptop


def context_of(laptop, job, catalog, as_of, use_case=SHOP, **given):
    given = {"catalog": catalog, "as_of": as_of.isoformat(), "schema": "toy", **given}
    return Context(laptop.job(job, **given).config, use_case)


def land(laptop, catalog, file):
    path = laptop.home / f"Volumes/{catalog}/toy/landing/{file.source}/{file.name}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(file.text())
    os.utime(path, (file.modified.timestamp(),) * 2)


def run(laptop, runs, use_case):
    """Take the files in as the runs say; returns where, and an oracle that was told the same."""
    catalog, oracle = f"c{next(NUMBERS)}", Oracle()
    landing = {"landing": f"/Volumes/{catalog}/toy/landing", "experiment": "/toy"}
    for one in runs:
        for file in one.files:
            land(laptop, catalog, file)
            oracle.take(file.source, file.rows, file.modified)
        context = context_of(laptop, "ingestion", catalog, one.as_of, use_case, **landing)
        with suppress(DataError):  # nothing has landed yet
            laptop.task("ingestion", context)
            laptop.task("features", context)
    return context, oracle


def records(frame):
    """By entity and prediction time, a table's rows as plain values."""
    rows = frame.astype(object).where(frame.notna(), None).to_dict("records")
    return {(row["id"], row["prediction_time"].replace(tzinfo=UTC).to_pydatetime()): row for row in rows}


def check(laptop, runs, use_case=SHOP):
    context, oracle = run(laptop, runs, use_case)
    schema, as_of = context.own, context.config.as_of
    wanted = oracle.features(as_of)
    for source in SOURCES:
        names = [column.name for column in source.columns]
        table = schema.read_table(source.name).select(*names).toPandas().sort_values(names, ignore_index=True)
        there = oracle.frame(source.name).sort_values(names, ignore_index=True)
        pd.testing.assert_frame_equal(table, there, check_dtype=False)
    assert schema.read_table("quarantine").count() == 0
    features = schema.read_table("features").toPandas()
    assert len(features) == len(wanted)
    found = records(features)
    assert found.keys() == wanted.keys()
    for key, values in wanted.items():
        got = {feature.name: found[key][feature.name] for feature in FEATURES}
        assert got == pytest.approx(values, abs=1e-6), key
    if not wanted:
        return schema
    for moment in {one.as_of for one in runs}:
        labels = records(join_labels(schema.read_table("features"), schema, SHOP, moment))
        truth = {key: oracle.label(key[0], moment) for key in wanted}
        assert {key: row["label"] for key, row in labels.items()} == {k: v for k, v in truth.items() if v is not None}
    given = {**DATA, "data_catalog": context.config.catalog, "model_name": f"{context.config.catalog}.toy.failing"}
    inference = context_of(laptop, "inference", context.config.catalog, as_of, **given)
    for _ in range(2):
        laptop.task("inference", inference)
    predictions = schema.read_table("predictions").toPandas()
    assert len(predictions) == len(records(predictions)) == sum(asked > START for _, asked in wanted)
    for key, row in records(predictions).items():
        assert row["prediction"] == pytest.approx(predicted(wanted[key]))
    check_watched(context_of(laptop, "monitoring", context.config.catalog, as_of, **given, **WATCHED), oracle, wanted)
    return schema


def check_watched(monitoring, oracle, wanted):
    """Monitoring sees the newest prediction of each entity whose event has come, beside its newest known outcome."""
    watched = store.load_predictions(monitoring, START, None, store.find_input_versions(monitoring))
    lead, as_of = SHOP.entity.lead, monitoring.config.as_of
    newest = {entity: asked for entity, asked in sorted(wanted) if asked > START and asked + lead < as_of}
    assert dict(zip(watched["id"], watched["prediction_time"].dt.tz_localize(UTC), strict=True)) == newest
    told = {row["id"] for row in oracle.known("results", monitoring.config.as_of)}
    for row in watched.to_dict("records"):
        label = oracle.label(row["id"], monitoring.config.as_of)
        assert row["reported"] == (row["id"] in told)
        assert (None if np.isnan(row["label"]) else row["label"]) == label


@pytest.mark.nightly
def test_a_packing_in_two_runs_out_of_order_ends_as_the_oracle_says(shop):
    check(shop, Runs(29, 0.4, 2, 2))


@pytest.mark.nightly
@pytest.mark.timeout(1500)
@settings(DRAWN, max_examples=3)
@given(feeds(most_runs=3))
def test_features_in_groups_of_a_few_rows_are_as_the_oracle_says(shop, runs):
    check(shop, runs, SMALL_GROUPS)


@pytest.mark.nightly
@pytest.mark.timeout(1500)
@settings(DRAWN, max_examples=20)
@given(feeds(most_runs=5))
def test_many_packings_and_orders_of_runs_end_as_the_oracle_says(shop, runs):
    check(shop, runs)


def test_moments_of_the_audit_table_are_the_same_in_a_process_whose_clock_goes_back(shop, monkeypatch):
    context = shop.deployment("prod", 1)
    back = datetime(2024, 11, 3, 5, 30, tzinfo=UTC)  # 01:30 in New York, and again an hour later
    rows = [
        AuditRow(
            model_name=context.config.model_name, sequence=n, move_id=f"{n}", move="verdict", to_version=n, run_id="7",
            at=back + n * HOUR, as_of=back + n * HOUR, trained_until=back + n * HOUR,
        )
        for n in range(3)
    ]  # fmt: skip
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    try:
        table_schemas.create_tables(context.own, context.use_case, "audit")
        frame = table_schemas.make_frame(context.own, "audit", [row.values() for row in rows])
        context.own.append_rows("audit", frame)
        assert audit_log.load_rows(context) == rows
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.nightly
def test_the_hour_of_autumn_that_is_there_twice_is_two_hours(shop, monkeypatch, caplog):
    """Orders each quarter of an hour, asked about and taken in hour by hour, in a process whose clock goes back.

    Three sources bring no row. One order is known too late, and one row is corrected without a later moment.
    """
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    try:
        runs, back = [], datetime(2024, 11, 3, 6, tzinfo=UTC)  # 02:00 becomes 01:00
        for hour in range(-2, 2):
            moments = [back + hour * HOUR + quarter * HOUR / 4 for quarter in range(4)]
            orders = [
                {"id": hour * 4 + n, "due": at + 2.25 * HOUR, "announced": at, "kind": "x", "size": 1.0}
                for n, at in enumerate(moments)
            ]
            seen = [
                {"visit": hour * 4 + n, "seen": at, "happened": at, "kind": "x", "value": float(hour)}
                for n, at in enumerate(moments)
            ]
            files = [
                File(source, f"{hour + 9}.csv", rows, datetime(2025, 1, 1, hour + 9, tzinfo=UTC))
                for source, rows in (
                    ("orders", orders),
                    ("visits", seen),
                    *((n, []) for n in ("prices", "kinds", "results")),
                )
            ]
            runs.append(Run(files, moments[-1]))
        late = {"id": 99, "due": back + 3 * HOUR, "announced": back + 2 * HOUR, "kind": "x", "size": 1.0}
        wrong = {"visit": 0, "seen": back, "happened": back, "kind": "x", "value": -5.0}
        files = [
            File(source, "z.csv", [row], datetime(2025, 1, 2, tzinfo=UTC))
            for source, row in (("orders", late), ("visits", wrong))
        ]
        schema = check(shop, [*runs, Run(files, back + 5 * HOUR)])
        ledger = rows_of(schema.read_table("ledger").where("source = 'orders'"))
    finally:
        monkeypatch.undo()
        time.tzset()
    assert sorted(row["first_known"] for row in ledger) == [back + hour * HOUR for hour in range(-2, 3)]
    assert "visits: 1 rows differ from an earlier row of their key" in caplog.text
    assert "1 entities of orders were first known after their prediction time" in caplog.text
