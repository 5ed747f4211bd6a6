"""One version from training to verdict, on real Spark, Delta and MLflow, over a toy's feature and label tables."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace

import mlflow
import numpy as np
import pandas as pd
import pytest
from kinds import BINARY
from sklearn.base import clone
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer
from test_kinds_in_jobs import CLASSES, NUMBER
from toy import TOY, frame_of, orders_of

from mlops import config
from mlops.context import Context
from mlops.contract import ConfigError, DataError, ModelError, feature
from mlops.contract.model_version import VersionFacts
from mlops.data import feature_blocks, large_features, table_schemas, training_sample
from mlops.data import labels as data_labels
from mlops.data import predictions as prediction_tables
from mlops.jobs import training, validation
from mlops.modeling import isolated_scoring, serving_checks
from mlops.modeling.splits import Span
from mlops.monitoring import drift, predicted_sums, store, week_counts
from mlops.monitoring.predicted_rows import PredictedRows
from mlops.platform import runtime, staging
from mlops.questions import question_of, ranking
from mlops.release import audit_log
from mlops.release.version_record import TrainingRun
from mlops.reports import pages

MODEL = "prod.toy.failing"
LEAD = TOY.entity.lead


def table_rows(days):
    orders = [o for n in range(days) for o in orders_of(date(2024, 1, 1) + timedelta(days=n))]
    frame = pd.DataFrame([vars(o) for o in orders])
    features = frame[["id", "size", "kind"]].assign(
        event_time=frame["due"], prediction_time=frame["due"] - timedelta(hours=2), due_around=30.0, batch=1
    )
    return features, frame[["id", "judged", "failed"]], frame[["id", "due", "announced", "kind", "size"]]


@pytest.fixture(scope="module")
def toy(spark, tmp_path_factory, patch):
    """A home with 30 days of features and labels; makes jobs, runs tasks."""
    home, values = tmp_path_factory.mktemp("toy"), {}
    patch.setenv("LAPTOP_HOME", str(home))
    patch.setenv("LAPTOP_IDENTITY", "trainer")
    patch.setattr(runtime, "set_task_value", values.__setitem__)

    def job(name, use_case=TOY, **given):
        base = {"job": name, "run_id": "1", "as_of": "2024-01-31T00:00:00Z", "catalog": "prod", "schema": "toy"}
        base |= {"data_catalog": "prod", "data_schema": "toy", "model_name": MODEL, "experiment": "/toy"}
        if name == "training":
            base["deployment_job_id"] = "1"
        return Context(
            config.parse_arguments([f"--{key}={value}" for key, value in {**base, **given}.items()]), use_case
        )

    own = job("training").own
    features, labels, orders = table_rows(30)
    for name in ("orders", "results"):
        table_schemas.create_source(own, TOY.source(name), {})
    table_schemas.create_features(own, TOY)
    own.insert_new("features", spark.createDataFrame(features), ["id", "prediction_time"])
    own.insert_new("results", spark.createDataFrame(labels), ["id"])
    own.insert_new("orders", spark.createDataFrame(orders), ["id"])

    def train(run_id, use_case=TOY, **given):
        context = job("training", use_case, run_id=run_id, **given)
        training.run(context)
        return context.registry.get_version(MODEL, int(values["model_version"]))

    def judge(number, use_case=TOY, **given):
        context = job("validation", use_case, model_version=number, **given)
        validation.run(context)
        return values["verdict"], context.registry.get_version(MODEL, number)

    return SimpleNamespace(job=job, own=own, train=train, judge=judge, registry=job("training").registry, home=home)


@pytest.fixture(scope="module")
def trained(toy):
    return toy.train("first", git_commit="git:c0ffee", search_trials=3, autologging="on")


def texts(toy, run_id, name):
    return mlflow.artifacts.load_text(f"runs:/{run_id}/{name}")


# --- training ---------------------------------------------------------------------------------------------------------


def claims_of(toy, version):
    return TrainingRun.parse(toy.registry.read_run_tags(version.run_id))


def test_a_run_says_what_it_read_with_what_code_and_how_the_baselines_do(toy, trained):
    run = mlflow.get_run(trained.run_id)
    assert {(i.dataset.name, i.dataset.digest) for i in run.inputs.dataset_inputs} == {
        ("prod.toy.features", f"version {toy.own.newest_version('features')}"),
        ("prod.toy.results", f"version {toy.own.newest_version('results')}"),
    }
    source = json.loads(run.inputs.dataset_inputs[0].dataset.source)
    assert source["delta_table_version"] == 1
    claims = claims_of(toy, trained)
    assert (claims.git_commit, claims.search_trials, claims.seed, claims.trained_in) == ("c0ffee", "3", "0", "first")
    assert claims.table_versions == "features=1,results=1"
    assert trained.tags == {"trained_until": f"{claims.trained_until:%Y-%m-%d}"}
    assert f"mlflow=={mlflow.__version__}" in texts(toy, trained.run_id, "environment.txt").splitlines()
    found = run.data.metrics
    assert found["backtest_dummy_auc"] == 0.5
    assert found["backtest_model_auc"] > 0.75
    assert found["backtest_linear_log_loss"] < found["backtest_dummy_log_loss"]
    for name in ("calibration.svg", "precision_recall.svg", "importance.svg"):
        assert "</svg>" in texts(toy, trained.run_id, name)


def test_a_run_has_what_autologging_captures_and_one_logged_model(toy, trained):
    run = mlflow.get_run(trained.run_id)
    assert run.data.tags["estimator_class"] == "sklearn.pipeline.Pipeline"
    assert run.data.params["model__max_iter"] == "100"
    assert 0.7 < run.data.metrics["training_roc_auc"] < 1
    everything = mlflow.search_runs(experiment_names=["/toy"], output_format="list")
    of_training = [r for r in everything if r.info.run_id == trained.run_id or "mlflow.parentRunId" in r.data.tags]
    assert len(of_training) == 1 + 4  # the training and its trials; no run that autologging opened
    models = mlflow.search_logged_models([run.info.experiment_id], output_format="list")
    assert [m.source_run_id for m in models] == [trained.run_id]
    assert [m.model_id for m in run.outputs.model_outputs] == [m.model_id for m in models]


def test_the_versions_description_is_its_model_card(toy, trained):
    for words in ("Will this order fail?", "| linear |", "commit `c0ffee`", claims_of(toy, trained).model_digest):
        assert words in trained.description


def test_a_search_has_its_trials_in_runs_of_their_own_and_takes_the_best(toy, trained):
    trials = mlflow.search_runs(
        experiment_names=["/toy"], filter_string=f"tags.`mlflow.parentRunId` = '{trained.run_id}'", output_format="list"
    )
    assert len(trials) == 4
    best = min(trials, key=lambda trial: trial.data.metrics["log_loss"])
    chosen = {
        k.removeprefix("model."): v for k, v in mlflow.get_run(trained.run_id).data.params.items() if "model." in k
    }
    assert chosen == best.data.params


@pytest.mark.nightly
def test_above_the_limit_training_reads_a_sample_that_is_the_same_every_time_and_says_so(toy, trained, caplog):
    whole = int(mlflow.get_run(trained.run_id).data.metrics["rows"])
    few = replace(TOY, policy=replace(TOY.policy, max_training_rows=whole // 2))
    first, second = (toy.train(run_id, use_case=few) for run_id in ("few", "few_again"))
    claims = claims_of(toy, first)
    assert claims.model_digest == claims_of(toy, second).model_digest != claims_of(toy, trained).model_digest
    rows = int(mlflow.get_run(first.run_id).data.metrics["rows"])
    assert 0.95 * whole // 2 <= rows <= whole // 2
    assert claims.training_sample == f"{rows:,} of {whole:,} labelled rows"
    assert f"They are a sample: {claims.training_sample}" in first.description
    assert f"training reads {claims.training_sample}" in caplog.text


@pytest.mark.nightly
def test_above_the_limit_a_model_can_be_fitted_on_spark_on_the_very_rows_of_a_training_without_limit(toy, trained):
    whole = int(mlflow.get_run(trained.run_id).data.metrics["rows"])
    limited = replace(TOY.policy, max_training_rows=whole // 2)

    def fit(rows, pipeline):
        frame = rows.toPandas().sort_values(["id", "prediction_time"], ignore_index=True)
        return clone(pipeline).fit(frame[list(pipeline.feature_names_in_)], frame[data_labels.LABEL])

    plain = toy.train("whole", search_trials="0")
    model = replace(TOY.model, fit_on_spark=fit)
    on_spark = toy.train("spark", search_trials="0", use_case=replace(TOY, policy=limited, model=model))
    assert claims_of(toy, on_spark).model_digest == claims_of(toy, plain).model_digest
    assert claims_of(toy, on_spark).training_sample.endswith("labelled rows, backtest only: fit_on_spark had all rows")
    other = replace(TOY.model, fit_on_spark=lambda rows, pipeline: None)
    with pytest.raises(ConfigError, match="fit_on_spark must return the pipeline that it was given"):
        toy.train("none", use_case=replace(TOY, policy=limited, model=other))


@pytest.mark.nightly
@pytest.mark.parametrize("limit", [60, 399])
def test_a_sample_on_spark_holds_rows_of_all_and_weights_that_add_up_to_them(toy, limit):
    job = toy.job("training", replace(TOY, policy=replace(TOY.policy, max_training_rows=limit)))
    rows, versions = job.own.read_table("features"), {"results": 1}
    given = {"data": job.own, "use_case": job.use_case, "as_of": job.config.as_of, "versions": versions}
    everything = data_labels.join_labels(rows, **given).set_index("id")
    taken, plan = training_sample.sample_rows(rows, by_class=True, **given)
    sample = data_labels.join_labels(taken, **given)
    assert len(sample) == sum(plan.kept.values()) <= limit
    assert sum(plan.total.values()) == len(everything)
    for label, part in sample.groupby(data_labels.LABEL):
        assert len(part) == plan.kept[label]
        expected = everything.loc[part["id"]].drop(columns="batch")
        pd.testing.assert_frame_equal(part.set_index("id")[expected.columns], expected)
    weights = training_sample.weigh_rows(sample, plan, job.use_case)
    assert weights is None or np.allclose(sorted(set(weights)), sorted(plan.weights.values()))


def same_figures(one, other):
    """All figures of two qualities but words, which are rounded."""
    figures = [{**vars(each), **each.others, "others": None, "words": None} for each in (one, other)]
    precision = [each.pop("average_precision", 0.0) for each in figures]
    assert precision[1] == pytest.approx(precision[0], abs=2e-5)
    plain, floats = ([{k: v for k, v in each.items() if isinstance(v, float) is f} for each in figures] for f in (0, 1))
    assert plain[0] == plain[1]
    assert floats[1] == pytest.approx(floats[0], rel=1e-9, abs=1e-12, nan_ok=True)


@pytest.mark.nightly
@pytest.mark.parametrize("use_case", [TOY, NUMBER, CLASSES], ids=["binary", "number", "classes"])
@pytest.mark.parametrize("groups", [256, 3])
def test_predictions_that_are_summed_up_on_spark_have_the_figures_of_the_sampled_rows(
    toy, spark, monkeypatch, use_case, groups
):
    monkeypatch.setattr(predicted_sums, "_ROWS", 100)
    for module in (predicted_sums, ranking):  # more labels than groups: quantiles of labels are ranked
        monkeypatch.setattr(module, "GROUPS", groups)
    catalog = f"watched_{use_case.label.kind}_{groups}"
    given = {
        "catalog": catalog,
        "model_name": f"{catalog}.toy.failing",
        "as_of": "2024-02-20T00:00:00Z",
        "data_profiling": "off",
    }
    policy = replace(use_case.policy, slices=("kind",), slice_min_rows=30, slice_min_positives=2)
    job = toy.job("monitoring", replace(use_case, policy=policy), **given)
    features, question, start = table_rows(30)[0], question_of(use_case.label), datetime(2024, 1, 3, tzinfo=UTC)
    rng, rows = np.random.default_rng(3), features[["id", "event_time", "prediction_time"]]
    scores = {
        "binary": rng.beta(2, 3, len(rows)).round(2),
        "number": rng.normal(4, 3, len(rows)).round(1),
        "classes": rng.dirichlet([1, 2, 3], len(rows)),
    }[use_case.label.kind]
    versions = [
        rows.assign(
            **question.pack_scores(scores),
            model_version=number,
            scored_at=rows["prediction_time"] + timedelta(hours=number),
        ).sample(frac=share, random_state=0)
        for number, share in ((1, 1.0), (2, 0.3))
    ]
    table_schemas.create_predictions(job.own, use_case)
    types = dict.fromkeys(["event_time", "prediction_time", "scored_at"], "timestamp") | {"id": "bigint"}
    types |= {name: "map<string, double>" if type_ == "map" else type_ for name, type_, _ in question.score_columns}
    made = pd.concat(versions)
    schema = ", ".join(f"{name} {types.get(name, 'bigint')}" for name in made)
    job.own.append_rows("predictions", spark.createDataFrame(made, schema))
    inputs = prediction_tables.model_input(features, use_case)
    fitted = use_case.model.build({}).fit(
        inputs, rng.integers(0, {"classes": 3}.get(use_case.label.kind, 2), len(inputs))
    )
    pinned = store.find_input_versions(job)
    window, rest = Span(start, start + timedelta(days=14)), (start + timedelta(days=14), job.config.as_of)
    span = (window.start, window.end)
    few = replace(job.use_case, policy=replace(policy, slices=("kind",), max_collected_rows=len(rows)))
    assert store.load_predictions(replace(job, use_case=few), start, None, pinned) is None  # entities are fewer

    def refuse_unusual(rows):
        if (rows["size"] > inputs["size"].nlargest(2).iloc[-1]).any():
            raise ValueError("the size is unusual")
        return rows

    picky = Pipeline([("check", FunctionTransformer(refuse_unusual).fit(inputs)), *fitted.steps])
    for baseline in (None, picky, fitted):
        here = PredictedRows(store.load_predictions(job, start, baseline, pinned), question, job.use_case.policy)
        there = predicted_sums.load_sums(job, start, window, baseline, pinned)
        for stretch, due in ((span, True), (span, False), (rest, False)):
            expected, measured = ({q.slice: q for q in each.measure(*stretch, due=due)} for each in (here, there))
            assert measured.keys() == expected.keys()
            assert not due or {quality.state for quality in measured.values()} == {"judged"}
            for name, quality in expected.items():
                same_figures(quality, measured[name])
            assert there.usual_version(*stretch) == here.usual_version(*stretch)
            assert there.count_early(*stretch) == here.count_early(*stretch)
        assert there.find_unjudged(*span) == here.find_unjudged(*span)
        compared = [[each.compare(*stretch) for each in (here, there)] for stretch in (span, rest)]
        assert [one is None for one, _ in compared] == [other is None for _, other in compared]
        for one, other in compared if baseline is fitted else ():
            assert vars(other) == pytest.approx(vars(one), rel=1e-9, abs=1e-12)
        assert baseline is fitted or compared[1] == [None, None]
    weeks, cell = (
        (datetime(2024, 1, 8, tzinfo=UTC), datetime(2024, 1, 15, tzinfo=UTC)),
        ["week", "column", "slice", "bin"],
    )
    counted, summed = here.count_bins(weeks), there.count_bins(weeks).toPandas()
    expected, found = (each.sort_values(cell, ignore_index=True)[[*cell, "rows"]] for each in (counted, summed))
    pd.testing.assert_frame_equal(found, expected, check_dtype=False)
    table_schemas.create_tables(job.own, use_case, "counts")
    stored = []
    monkeypatch.setattr(drift, "KEPT_CATEGORIES", 1)
    for predicted in (here, there):  # in this process, and in Spark's workers
        appended = week_counts.count_weeks(job, weeks, predicted).sort_values(cell, ignore_index=True)
        stored.append(frame_of(job.own, "counts").sort_values(cell, ignore_index=True)[[*cell, "rows"]])
        pd.testing.assert_frame_equal(stored[-1], appended[[*cell, "rows"]], check_dtype=False)
        job.own.delete_rows("counts", "")
    empty = [datetime(2025, 1, 6, tzinfo=UTC)]
    assert week_counts.count_weeks(job, empty, here).empty
    assert frame_of(job.own, "counts").empty
    pd.testing.assert_frame_equal(*stored)
    assert {"prediction", "kind", "due_around"} <= set(stored[0]["column"])
    assert drift.OTHERS in set(stored[0]["bin"])
    assert stored[0].loc[stored[0]["column"] == "prediction", "rows"].sum() == counted["rows"].sum()


@feature(unit="orders", known_from="the results")
def failures(known):
    """Orders that failed and were judged in the last day."""
    return known.window("results", by=[], since=timedelta(days=1)).sum("failed")


def with_optional_numbers(use_case):
    """The use case with a feature of whole numbers that may be missing."""
    orders, results = use_case.sources
    columns = tuple(replace(column, required=column.name != "failed") for column in results.columns)
    return replace(
        use_case,
        sources=(orders, replace(results, columns=columns)),
        features=(*use_case.features, failures),
    )


def test_features_computed_in_this_process_are_those_that_workers_compute(toy):
    orders, case = toy.own.read_table("orders"), with_optional_numbers(TOY)
    entities = orders.withColumn(feature_blocks.PREDICTION_TIME, orders["due"] - feature_blocks.to_interval(LEAD))
    blocks = feature_blocks.blocks_of(case, entities)
    key = ["id", "prediction_time"]
    there = feature_blocks.make_features(toy.own, case, entities, blocks).toPandas().sort_values(key, ignore_index=True)
    read = sum(toy.own.read_table(source.name).count() for source in case.sources) + len(there)
    table, (block,) = feature_blocks.compute_here(toy.own, case, entities, read)
    assert block["rows"] == sum(block["rows"] for block in blocks)
    assert block["late"] == sum(block["late"] for block in blocks)
    with staging.open_frame(toy.own, table) as rows:
        here = rows.toPandas().sort_values(key, ignore_index=True)
    pd.testing.assert_frame_equal(here, there, check_exact=True)
    assert here["failures"].max() > 0
    assert all(feature_blocks.compute_here(toy.own, case, entities, few) is None for few in (10, len(there)))


@pytest.mark.nightly
@pytest.mark.parametrize("limit", [1500, 90])
def test_features_in_small_groups_are_those_in_blocks_of_28_days_on_the_sampled_orders(toy, limit):
    case = with_optional_numbers(TOY)
    small = replace(case, policy=replace(case.policy, max_group_rows=limit))
    orders = toy.own.read_table("orders")
    entities = orders.withColumn(feature_blocks.PREDICTION_TIME, orders["due"] - feature_blocks.to_interval(LEAD))
    blocks = feature_blocks.blocks_of(small, entities)
    assert not large_features.choose_cuts(toy.own, case, entities, blocks)
    cuts = large_features.choose_cuts(toy.own, small, entities, blocks)
    assert [family.keys for family, _ in cuts] == [("kind",), ()]
    assert all(cut.rows <= limit for _, cut in cuts)
    key = ["id", "prediction_time"]
    whole = feature_blocks.make_features(toy.own, case, entities, blocks).toPandas().sort_values(key, ignore_index=True)
    parts = large_features.make_features(toy.own, small, entities, blocks, cuts).toPandas()
    pd.testing.assert_frame_equal(parts.sort_values(key, ignore_index=True)[whole.columns], whole, check_exact=True)


@pytest.mark.nightly
def test_training_again_from_the_tags_gives_the_same_model_whatever_came_since(toy, trained, spark):
    late = spark.createDataFrame(table_rows(3)[1].assign(failed=0))
    toy.own.merge_rows("results", late, ["id"])  # corrections, known long before
    other = toy.train("corrected", search_trials=3)
    claims = claims_of(toy, trained)
    given = {name: getattr(claims, name) for name in ("table_versions", "search_trials", "git_commit")}
    again = claims_of(toy, toy.train("again", as_of=claims.trained_as_of.isoformat(), **given))
    assert again.model_digest == claims.model_digest != claims_of(toy, other).model_digest
    assert again.environment_digest == claims.environment_digest


def test_the_same_run_registers_once(toy, trained):
    assert toy.train("first") == trained


def test_too_few_days_are_told(toy):
    with pytest.raises(DataError, match="too few for 3 folds"):
        toy.train("early", as_of="2024-01-14T00:00:00Z")


# --- validation -------------------------------------------------------------------------------------------------------


@pytest.fixture
def unjudged(toy, trained):
    """The version without verdict, and no champion."""
    return forget_verdicts(toy, trained)


def forget_verdicts(toy, version):
    if toy.own.exists("audit"):
        toy.own.delete_rows("audit", MODEL)
    return toy.registry.get_version(MODEL, version.number)


def verdict_of(toy, number):
    return audit_log.record_of(toy.job("validation", model_version=number), number).verdict


def made_champion(toy, version):
    job = toy.job("validation", model_version=version.number)
    facts = VersionFacts.parse(toy.registry.read_run_tags(version.run_id))
    assert audit_log.add_row(job, audit_log.new_row(job, "deployment", version, **vars(facts)), lambda _: False)


def refused(toy, version):
    document = json.loads(texts(toy, verdict_of(toy, version.number).validation_run, "verdict.json"))
    return {rule["name"] for rule in document["rules"] if not rule["passed"]}, document


@pytest.fixture(scope="module")
def judgements(toy, trained):
    """What a version is told: while another has the alias by hand, again, and when that one is champion."""
    version, other = forget_verdicts(toy, trained), toy.train("champion")
    toy.registry.set_alias(other, "champion")
    try:
        first = toy.judge(version.number)
        row = verdict_of(toy, version.number)
        again = toy.judge(version.number)
    finally:
        toy.registry.drop_alias(MODEL, "champion")
    made_champion(toy, other)
    return SimpleNamespace(first=first, row=row, again=again, beside=toy.judge(version.number))


def test_a_first_version_is_judged_alone_and_its_report_hangs_on_it(toy, judgements):
    (verdict, version), row = judgements.first, judgements.row
    assert (verdict, version.tags["verdict"]) == ("accepted", "accepted")
    assert (row.verdict, row.judged_against, row.judged_on) == ("accepted", None, "prod.toy")
    assert (row.trained_by, row.artifact_digest) == ("trainer", claims_of(toy, version).artifact_digest)
    page = mlflow.artifacts.load_text(version.tags["report"])
    assert "without a champion to compare with" in page
    assert page.count("<figure") == page.count("<svg") == page.count('<details class="figures">') == 3
    assert version.description.count("## Verdict") == 1
    assert version.tags["report"] in version.description
    assert "challenger" in version.aliases
    (made,) = mlflow.get_run(version.run_id).outputs.model_outputs
    logged = mlflow.get_logged_model(made.model_id)
    assert {"floor_auc", "backtest_model_auc"} <= {metric.key for metric in logged.metrics}
    inputs = mlflow.get_run(row.validation_run).inputs
    assert [model.model_id for model in inputs.model_inputs] == [made.model_id]
    assert {each.dataset.name for each in inputs.dataset_inputs} == {
        f"prod.toy.{name}" for name in ("features", "results", "orders")
    }


def test_the_same_case_is_judged_once_and_another_champion_is_another_case(judgements):
    (_, first), (_, again), (verdict, third) = judgements.first, judgements.again, judgements.beside
    assert again.tags == first.tags
    assert verdict == "accepted"
    assert third.tags["report"] != first.tags["report"]
    assert "beside the champion" in mlflow.artifacts.load_text(third.tags["report"])


def test_an_alias_that_was_set_by_hand_is_no_champion(judgements):
    assert (judgements.first[0], judgements.row.judged_against) == ("accepted", None)


@pytest.fixture
def results(toy):
    """The outcomes' table, whose rows come back afterwards."""
    before = toy.own.read_table("results").toPandas()
    yield toy.own.identifier("results")
    toy.own.merge_rows("results", toy.own.spark.createDataFrame(before), ["id"])


@pytest.mark.nightly
def test_the_case_is_the_data_and_not_its_dates(toy, unjudged, results, spark):
    flip = "UPDATE {} SET failed = 1 - failed WHERE id % 1000 = 7"
    _, first = toy.judge(unjudged.number)
    spark.sql(flip.format(results))
    _, other = toy.judge(unjudged.number)
    assert other.tags["report"] != first.tags["report"]
    _, again = toy.judge(unjudged.number)
    assert again.tags == other.tags


def with_policy(**changes):
    return replace(TOY, policy=replace(TOY.policy, **changes))


@pytest.mark.parametrize(
    ("use_case", "fault", "rules", "said"),
    [
        (
            with_policy(min_ranking=0.99, max_size_mb=0.001, max_latency_ms=0.0),
            "DELETE FROM {} WHERE judged >= '2024-01-26'",
            {"floor_auc", "size", "latency", "complete"},
            "days have no label at all, first 2024-01-26",
        ),
        pytest.param(
            TOY,
            "UPDATE {} SET failed = NULL WHERE judged >= '2024-01-26'",
            {"complete"},
            "of the reported outcomes carry a label",
            marks=pytest.mark.nightly,
        ),
        pytest.param(
            replace(TOY, features=TOY.features[:2]), None, {"contract"}, "due_around", marks=pytest.mark.nightly
        ),
    ],
    ids=["rules and days without label", "outcomes without label", "a feature that is gone"],
)
def test_a_broken_rule_refuses_and_the_run_ends_green(toy, unjudged, results, spark, use_case, fault, rules, said):
    if fault:
        spark.sql(fault.format(results))
    verdict, version = toy.judge(unjudged.number, use_case)
    found, document = refused(toy, version)
    assert verdict == "refused"
    assert rules <= found
    assert said in json.dumps(document)


def raising(error):
    def fail(*_, **__):
        raise error

    return fail


@pytest.mark.nightly
def test_a_report_that_cannot_be_written_is_a_refusal_that_is_not_kept_for_the_case(toy, unjudged, monkeypatch):
    monkeypatch.setattr(pages, "render_verdict", raising(OSError("disk full")))
    verdict, version = toy.judge(unjudged.number)
    assert (verdict, version.tags["verdict"], version.tags.get("report")) == ("refused", "refused", None)
    assert "disk full" in version.description
    monkeypatch.undo()
    assert toy.judge(unjudged.number)[0] == "accepted"


@pytest.mark.nightly
def test_a_holdout_that_is_scored_in_parts_gets_the_verdict_of_the_rows_that_are_not_sampled(toy, unjudged, caplog):
    caplog.set_level("INFO")
    made_champion(toy, toy.train("other_champion"))
    documents = []
    for limit in (100, 10**6):
        few = replace(TOY, policy=replace(TOY.policy, max_collected_rows=limit))
        verdict, version = toy.judge(unjudged.number, few)
        assert verdict == "accepted"
        documents.append({rule["name"]: rule for rule in refused(toy, version)[1]["rules"]})
    assert "they are scored in 5 parts" in caplog.text
    parts, whole = documents
    assert parts.keys() == whole.keys()
    for name in parts.keys() - {"latency"}:
        assert (parts[name]["value"] is None) == (whole[name]["value"] is None), name
        figures = [np.array([rule["value"], rule["limit"]], "float64") for rule in (parts[name], whole[name])]
        assert figures[0] == pytest.approx(figures[1], rel=1e-9, abs=1e-12, nan_ok=True), name
        assert parts[name]["reason"] == whole[name]["reason"]


@pytest.mark.parametrize("what", ["holdout", pytest.param("contract", marks=pytest.mark.nightly)])
def test_an_exception_anywhere_is_a_refusal_with_its_words(toy, unjudged, monkeypatch, what):
    fire = RuntimeError("the roof is on fire")
    if what == "holdout":
        monkeypatch.setattr(data_labels, "join_labels", raising(fire))
    else:
        monkeypatch.setattr(isolated_scoring, "_contract_of", lambda *_: fire)
    verdict, version = toy.judge(unjudged.number)
    found, document = refused(toy, version)
    assert verdict == "refused"
    assert found == {"holdout": {"judged"}, "contract": {"contract", "latency", "size"}}[what]
    assert "the roof is on fire" in json.dumps(document)


@pytest.mark.nightly
def test_an_empty_holdout_and_a_holdout_that_was_trained_on_are_refused(toy, unjudged):
    verdict, version = toy.judge(unjudged.number, as_of="2024-03-31T00:00:00Z")
    assert verdict == "refused"
    failed, document = refused(toy, version)
    assert failed == {"judged"}
    assert "2024-03" in json.dumps(document)  # the days without data are named
    verdict, version = toy.judge(unjudged.number, as_of="2024-01-26T00:00:00Z")
    assert verdict == "refused"
    assert refused(toy, version)[0] == {"unseen"}


@pytest.mark.nightly
def test_a_champion_that_vanished_or_was_changed_is_no_missing_champion(toy, unjudged):
    made_champion(toy, replace(unjudged, number=999))
    verdict, version = toy.judge(unjudged.number)
    found, document = refused(toy, version)
    assert verdict == "refused"
    assert {"champion", "non_inferior_auc", "slice_kind"} <= found
    assert "has no version 999" in json.dumps(document)
    other = toy.train("champion")
    made_champion(toy, other)  # whose alias was lost
    verdict, _ = toy.judge(unjudged.number)
    assert (verdict, verdict_of(toy, unjudged.number).judged_against) == ("accepted", other.number)


def test_a_version_that_is_not_there_is_a_failure_and_no_refusal(toy):
    with pytest.raises(ModelError, match="has no version 99"):
        toy.judge(99)


# --- the contract -----------------------------------------------------------------------------------------------------


class Answers:
    """Stands where a pipeline would."""

    def __init__(self, answer):
        self.answer = answer

    def predict_proba(self, frame):
        return np.column_stack([np.zeros(len(frame)), self.answer(frame)])


FRAME = pd.DataFrame({"size": np.linspace(0, 1, 30), "kind": ["x", "y"] * 15, "due_around": 3.0})
INPUTS = {"size": "double", "kind": "string", "due_around": "double"}


def strict(frame):
    if frame["size"].isna().any():
        raise ValueError("NaN")
    return np.full(len(frame), 0.5)


@pytest.mark.parametrize(
    ("answer", "inputs", "problems"),
    [
        (lambda frame: np.full(len(frame), 0.5), INPUTS, ()),
        (strict, INPUTS, ("missing numbers raised ValueError: NaN",)),
        (
            lambda frame: np.where(frame["kind"].isin(["x", "y"]), 0.5, math.nan),
            INPUTS,
            (
                "a category it never saw gave answers that are no probabilities",
                "missing categories gave answers that are no probabilities",
            ),
        ),
        (
            lambda frame: np.full(len(frame), 0.5),
            {"size": "long", "kind": "string", "colour": "string"},
            (
                "input colour is string, the feature is not there",
                "input due_around is not there, the feature is double",
                "input size is long, the feature is double",
            ),
        ),
        (
            lambda frame: np.full(len(frame), 0.5),
            dict(reversed(INPUTS.items())),
            ("its inputs stand in another order than the features",),
        ),
    ],
)
def test_a_contract_names_what_a_version_cannot_take(answer, inputs, problems):
    odd, latency = serving_checks.run_serving_checks(BINARY, Answers(answer), FRAME)
    assert (*serving_checks.signature_problems(inputs, "predict_proba", TOY), *odd) == problems
    assert 0 <= latency < 100
