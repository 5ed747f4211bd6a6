"""A version of each kind: registered, scanned, scored in a process of its own, judged, and replaced by a second one."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kinds import CLASSES
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import Pipeline
from toy import TOY, build

from mlops.contract import ConfigError, Label, Model, Share, Value
from mlops.contract.model_version import VersionFacts
from mlops.modeling import backtest
from mlops.modeling.baselines import make_baselines
from mlops.modeling.coverage import COUNTS, Coverage
from mlops.modeling.gate_case import Scored
from mlops.modeling.gates import decide_verdict
from mlops.modeling.isolated_scoring import run_trial
from mlops.monitoring import alerts, drift
from mlops.monitoring.quality import measure_slices
from mlops.monitoring.retraining import decide_retraining
from mlops.platform.model_scan import artifact_digest
from mlops.platform.registry import Registry
from mlops.questions import question_of

START = datetime(2024, 3, 1, tzinfo=UTC)


def end_with(estimator):
    return Model(build=lambda parameters: Pipeline([build({}).steps[0], ("model", estimator(**parameters))]))


def make_use_case(kind, estimator):
    label = Label(
        name="end",
        source="results",
        value="failed",
        matured="TRUE",
        kind=kind,
        classes=CLASSES if kind == "classes" else (),
    )
    scaled = {"min_skill": 0.05, "min_ranking": 0.55, "max_gap": 0.15, "margin_loss": Share(0.05)}
    return replace(TOY, label=label, model=end_with(estimator), policy=replace(TOY.policy, **scaled))


USE_CASES = {
    kind: make_use_case(kind, estimator)
    for kind, estimator in {
        "binary": LogisticRegression,
        "classes": LogisticRegression,
        "number": LinearRegression,
    }.items()
}


def make_rows(kind, seed, days=14, per_day=60):
    rng = np.random.default_rng(seed)
    rows = days * per_day
    day = pd.Timestamp("2024-03-01") + pd.to_timedelta(np.repeat(np.arange(days), per_day), "D")
    frame = pd.DataFrame({"size": rng.normal(size=rows), "kind": rng.choice(["x", "y"], rows), "due_around": 30.0})
    drive = 1.5 * frame["size"] + np.where(frame["kind"] == "x", 0.8, -0.8)
    label = {
        "binary": (rng.random(rows) < 1 / (1 + np.exp(-drive))).astype("float64"),
        "number": 20 + 5 * drive + rng.normal(0, 3, rows),
        "classes": (np.column_stack([drive, -drive, np.zeros(rows)]) + rng.gumbel(size=(rows, 3))).argmax(axis=1) * 1.0,
    }[kind]
    return frame.assign(label=label, day=day, reported=True)


def fit(use_case, rows):
    names = [feature.name for feature in use_case.features]
    target = question_of(use_case.label).training_target(rows["label"])
    return use_case.model.build({}).fit(rows[names], target)


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    return Registry(tmp_path_factory.mktemp("home"))


@pytest.mark.parametrize("kind", ["classes", "number", pytest.param("binary", marks=pytest.mark.nightly)])
def test_two_versions_of_each_kind_are_registered_scored_apart_and_accepted(registry, kind):
    use_case, question = USE_CASES[kind], question_of(USE_CASES[kind].label)
    holdout, scores = make_rows(kind, 9), []
    names = [feature.name for feature in use_case.features]
    for seed in (1, 2):
        pipeline = fit(use_case, make_rows(kind, seed, days=28))
        with registry.open_run("/kinds", "training", {}):
            version = registry.register_model(
                f"dev.kinds.{kind}", pipeline, holdout[names].head(3), method=question.method, trusted_types=(),
                requirements=["skops==0.16.0"], facts=VersionFacts(), tags={},
            )  # fmt: skip
        p, days = question.predict_scores(pipeline, holdout[names]), holdout["day"].to_numpy("datetime64[D]")
        scores.append(Scored(holdout["label"].to_numpy(), p, days, holdout[["kind"]], START - timedelta(days=1)))
    with registry.fetch_files(version) as folder:
        digest = artifact_digest(folder)
    trial = run_trial(registry, replace(version, facts=VersionFacts(artifact_digest=digest)), use_case, holdout)
    assert trial.contract.problems == ()
    assert np.allclose(trial.p, p)
    unique = np.unique(scores[0].day)
    coverage = Coverage(pd.DataFrame({"day": unique, **dict.fromkeys(COUNTS, 60)}), pd.Timestamp(unique[0]))
    verdict = decide_verdict(
        question=question, challenger=scores[1], contract=trial.contract, champion=scores[0], coverage=coverage,
        policy=use_case.policy,
    )  # fmt: skip
    assert [rule.name for rule in verdict.rules if not rule.passed] == []


@pytest.mark.parametrize("kind", USE_CASES)
def test_predictions_of_each_kind_are_counted_measured_and_decided_on(kind):
    use_case, question = USE_CASES[kind], question_of(USE_CASES[kind].label)
    rows = make_rows(kind, 3)
    pipeline = fit(use_case, make_rows(kind, 1, days=28))
    names = [feature.name for feature in use_case.features]
    scored = rows.assign(**question.pack_scores(question.predict_scores(pipeline, rows[names])))
    end = START + timedelta(days=14)
    whole, *slices = measure_slices(question, scored, START, end, use_case.policy, due=True)
    assert whole.state == "judged"
    assert whole.ranking_low < whole.ranking < whole.ranking_high
    assert whole.loss_low < whole.loss < whole.loss_high
    assert whole.gap_low < whole.gap < whole.gap_high
    assert np.isnan(whole.excess_loss) == (kind == "number")
    assert {slice_.state for slice_ in slices} == {"judged"}
    assert all(slice_.offset_error > 0 for slice_ in slices)
    decision = decide_retraining(
        names=question.names, gap=whole.gap, gap_reference=whole.gap_reference, trained_until=START,
        last_training=None, as_of=end, policy=use_case.policy, label_problem="",
    )  # fmt: skip
    findings = list(alerts.find_quality(question.names, [whole, *slices], alerts.Usual(), decision, use_case.policy))
    assert [finding.rule for finding in findings if finding.firing] == []
    assert {finding.rule for finding in findings} <= alerts.OWNERS.keys()
    counts = drift.count_bins(scored[["prediction"]], np.zeros(len(rows)))
    assert counts["rows"].sum() == len(rows)
    assert counts["bin"].str.startswith("=").all() == (kind == "classes")


@pytest.mark.parametrize("kind", USE_CASES)
def test_the_model_beats_both_baselines_of_its_kind_where_they_lack_the_features(kind):
    question = question_of(USE_CASES[kind].label)
    train, test = make_rows(kind, 1, days=28), make_rows(kind, 2)
    figures = {}
    for who, pipeline in make_baselines(question, train[["size", "kind"]]).items():
        pipeline.fit(train[["size", "kind"]], question.training_target(train["label"]))
        scores = question.predict_scores(pipeline, test[["size", "kind"]])
        figures[who] = question.compute_metrics(test["label"], scores)
    assert figures["linear"].loss < figures["dummy"].loss
    assert figures["dummy"].ranking == pytest.approx(0.5)
    assert figures["linear"].skill > 0.1
    assert abs(figures["dummy"].skill) < 0.05


@pytest.mark.parametrize("kind", USE_CASES)
def test_a_backtest_shuffles_rows_that_lack_a_class(kind, monkeypatch):
    monkeypatch.setattr(backtest, "_SHUFFLED", 1)
    use_case, rows = USE_CASES[kind], make_rows(kind, 1)
    names, target = ["size", "kind", "due_around"], question_of(use_case.label).training_target(rows["label"])
    fold = (np.arange(600), np.arange(600, len(rows)))
    found = backtest.run_backtest(use_case, {}, rows[names], target, fold)
    assert "importance.svg" in found.plots
    assert found.metrics[f"backtest_dummy_{question_of(use_case.label).names.ranking}"] == pytest.approx(0.5)


@pytest.mark.parametrize("kind", USE_CASES)
def test_curves_and_columns_of_each_kind_have_names_of_their_own(kind):
    question, rows = question_of(USE_CASES[kind].label), make_rows(kind, 3)
    names = ["size", "kind", "due_around"]
    scores = {"model": question.predict_scores(fit(USE_CASES[kind], make_rows(kind, 1)), rows[names])}
    curves = question.draw_curves(rows["label"].to_numpy(), scores)
    # Two of the whole, and of each class two of its own.
    assert len({curve.name for curve in curves}) == len(curves) == 2 + 2 * len(question.label.classes)
    assert all(any(name in curve.title for curve in curves) for name in question.label.classes)
    columns = [column.name for column in question.metric_columns()]
    assert len(set(columns)) == len(columns)
    assert {question.names.ranking, question.names.loss, question.names.gap, question.names.level} <= set(columns)


@pytest.mark.parametrize(
    ("kind", "changed", "said"),
    [
        ("number", {"model": end_with(LogisticRegression)}, "ends with LogisticRegression, which predicts no number"),
        ("binary", {"model": end_with(LinearRegression)}, "ends with LinearRegression, a regressor"),
        ("classes", {"model": end_with(LinearRegression)}, "ends with LinearRegression, a regressor"),
        ("number", {"policy": replace(TOY.policy, margin_precision=0.1)}, "sets margin_precision"),
        ("number", {"policy": replace(TOY.policy, value=Value(matrix=((1.0,),)))}, "a predicted number is no decision"),
        ("classes", {"policy": replace(TOY.policy, value=Value(matrix=((1.0, 0.0),)))}, "must have 3 rows of 3"),
    ],
)
def test_a_model_or_a_policy_that_does_not_fit_the_kind_is_refused_at_import(kind, changed, said):
    with pytest.raises(ConfigError, match=said):
        replace(USE_CASES[kind], **changed)


@settings(max_examples=30)
@given(st.floats(0.0, 10.0), st.floats(0.001, 1.0), st.booleans())
def test_a_share_is_a_limit_of_its_reference_and_a_number_is_itself(reference, share, negative):
    from mlops.contract import resolve_limit

    signed = -reference if negative else reference
    assert resolve_limit(Share(share), signed) == pytest.approx(share * reference)
    assert resolve_limit(share, signed) == share
