"""A number and several classes through all jobs: training, gate, predictions, monitoring and a second version.

The number is nightly: tests/mlops/questions/test_versions_of_kinds.py has it without the jobs.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache, partial

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import functions
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import Pipeline
from test_jobs_loop import DATA, LATER, MARCH, Laptop, laptop_in
from toy import TOY, build, frame_of

from mlops import config
from mlops.context import Context
from mlops.contract import DataError, Label, Model, Share
from mlops.data import table_schemas
from mlops.jobs import monitoring
from mlops.monitoring import predicted_sums
from mlops.monitoring.predicted_sums import load_sums
from mlops.questions import question_of


def with_estimator(estimator):
    return Model(build=lambda parameters: Pipeline([build({}).steps[0], ("model", estimator(**parameters))]))


SCALED = replace(TOY.policy, margin_loss=Share(0.05), max_gap=0.25, min_skill=0.02, min_ranking=0.5)
NUMBER = replace(
    TOY,
    label=Label(
        name="cost", source="results", value="10 * failed + pmod(id, 5)", matured="failed IS NOT NULL", kind="number"
    ),
    model=with_estimator(LinearRegression),
    policy=SCALED,
)
CLASSES = replace(
    TOY,
    label=Label(
        name="end",
        source="results",
        matured="failed IS NOT NULL",
        kind="classes",
        classes=("fine", "failed", "late"),
        value="CASE WHEN failed = 1 THEN 'failed' WHEN pmod(id, 4) = 0 THEN 'late' ELSE 'fine' END",
    ),
    model=with_estimator(partial(LogisticRegression, max_iter=2000)),
    policy=SCALED,
)


class KindLaptop(Laptop):
    """The tasks of a use case of another kind, in a catalog of its own, on the same landed data."""

    def __init__(self, laptop, use_case):
        super().__init__(laptop.home, laptop.values)
        self.use_case = use_case

    def job(self, job, **given):
        base = {"job": job, "run_id": "1", "catalog": "prod", "schema": "toy", "as_of": MARCH}
        arguments = [f"--{name}={value}" for name, value in {**base, **given}.items()]
        return Context(config.parse_arguments(arguments), self.use_case)

    def infer_and_monitor(self, catalog):
        given = {**self.model(catalog), "catalog": catalog, "as_of": LATER}
        inference = self.job("inference", **DATA, model_name=given["model_name"], catalog=catalog, as_of=LATER)
        self.task("inference", inference)
        context = self.job("monitoring", **given, data_profiling="off")
        self.task("monitoring", context)
        return context


@pytest.fixture(scope="module")
def landed(first_home, tmp_path_factory, patch):
    laptop = laptop_in(tmp_path_factory.mktemp("kinds"), patch)
    first_home(laptop)
    return laptop


@pytest.fixture(scope="module")
def loop_of(landed):
    """Train and deploy a use case in a catalog of its own, score ten more days and monitor them, once each."""

    @cache
    def loop(catalog):
        laptop = KindLaptop(landed, {"numbers": NUMBER, "several": CLASSES}[catalog])
        _, number = laptop.train(catalog)
        assert laptop.deploy(catalog, number)[1] == "accepted"
        return laptop, laptop.infer_and_monitor(catalog)

    return loop


@pytest.mark.nightly
def test_a_number_is_scored_measured_and_compared_in_its_own_figures(loop_of):
    _, context = loop_of("numbers")
    predictions = frame_of(context.own, "predictions")
    assert predictions["prediction"].map(type).eq(float).all()
    metrics = frame_of(context.own, "metrics")
    whole = metrics[(metrics["slice"] == "") & (metrics["state"] == "judged")].iloc[0]
    assert whole["concordance_low"] < whole["concordance"] < whole["concordance_high"]
    assert whole["absolute_error"] > 0
    assert {"bias", "mean", "expected_mean", "root_mean_squared_error"} <= set(metrics)
    assert not {"auc", "log_loss", "expected_absolute_error"} & set(metrics)


def test_classes_are_scored_as_a_class_and_all_its_probabilities(loop_of):
    _, context = loop_of("several")
    rows = context.own.read_table("predictions").toPandas()
    assert set(rows["prediction"]) <= set(CLASSES.label.classes)
    scores = question_of(CLASSES.label).unpack_scores(rows["probabilities"])
    assert np.allclose(scores.sum(axis=1), 1)
    assert (np.array(CLASSES.label.classes)[scores.argmax(axis=1)] == rows["prediction"]).all()
    metrics = frame_of(context.own, "metrics")
    whole = metrics[(metrics["slice"] == "") & (metrics["state"] == "judged")].iloc[0]
    assert 0.5 < whole["macro_auc"] < 1
    assert whole["baseline_macro_auc"] == whole["macro_auc"]
    assert set(context.own.read_table("counts").toPandas().query("column == 'prediction'")["bin"]) <= {
        f"={name}" for name in CLASSES.label.classes
    }


@pytest.mark.nightly
@pytest.mark.parametrize("catalog", ["numbers", "several"])
def test_a_second_version_takes_the_place_of_the_first(loop_of, catalog):
    """By default tests/mlops/questions/test_versions_of_kinds.py has two versions of each kind, without the jobs."""
    laptop, context = loop_of(catalog)
    _, second = laptop.train(catalog, LATER)
    assert laptop.deploy(catalog, second, as_of=LATER)[1] == "accepted"
    audit = frame_of(context.own, "audit")
    assert list(audit[audit["move"] == "deployment"]["to_version"]) == [1, second]


@pytest.mark.nightly
@pytest.mark.parametrize("catalog", ["numbers", "several"])
def test_monitoring_of_sums_writes_the_tables_of_the_rows(loop_of, catalog, monkeypatch):
    laptop, context = loop_of(catalog)
    tables = ("metrics", "counts", "drift", "decisions", "alerts")
    written = {name: frame_of(context.own, name) for name in tables}
    for name in tables:
        context.own.replace_rows(name, context.own.read_table(name).where("false"), functions.lit(True))
    monkeypatch.setattr(predicted_sums, "_ROWS", 40)
    few = replace(laptop.use_case.policy, max_collected_rows=50)
    monkeypatch.setattr(laptop, "use_case", replace(laptop.use_case, policy=few))
    given = {**laptop.model(catalog), "catalog": catalog, "as_of": LATER}
    loads = []
    monkeypatch.setattr(monitoring, "load_sums", lambda *a, **k: loads.append(load_sums(*a, **k)) or loads[0])
    laptop.task("monitoring", laptop.job("monitoring", **given, data_profiling="off"))
    assert len(loads) == 1
    for name in tables:
        before, after = (
            each.sort_values([c for c in each if each[c].dtype != "float64"], ignore_index=True)
            for each in (written[name], frame_of(context.own, name))
        )
        pd.testing.assert_frame_equal(after, before, rtol=1e-9, atol=1e-12)
    assert len(written["metrics"])
    assert len(written["counts"])


def test_a_class_that_is_not_declared_stops_training_with_its_name(landed):
    narrow = replace(CLASSES, label=replace(CLASSES.label, classes=("fine", "failed")))
    with pytest.raises(DataError, match=r"the label end has to be one of fine, failed, and .* \(such as 'late'\)"):
        KindLaptop(landed, narrow).train("narrow")


def test_a_table_of_metrics_gains_the_columns_of_a_second_kind(landed):
    own = landed.job("monitoring", **landed.model("mixed"), catalog="mixed", data_profiling="off").own
    table_schemas.create_tables(own, TOY, "metrics")
    columns = table_schemas.table_columns("metrics", NUMBER)
    row = {column.name: {"double": 0.5, "long": 1, "string": "x"}.get(column.type) for column in columns}
    moments = {column.name: pd.Timestamp("2024-03-01") for column in columns if column.type == "timestamp"}
    frame = table_schemas.describe_table(own, columns, pd.DataFrame([{**row, **moments}]))
    own.append_rows("metrics", frame, adds_columns=True)
    stored = own.read_table("metrics").toPandas()
    assert stored["concordance"].tolist() == [0.5]
    assert stored["auc"].isna().all()
