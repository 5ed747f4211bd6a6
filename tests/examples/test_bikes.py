"""The bikes, a second use case: its data, and two planted leaks, which the tests that go with a fork turn red."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime
from importlib.metadata import version as version_of
from pathlib import Path

import bikes
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from bikes import USE_CASE
from honesty import files_of, frames_of, made, moments_of, served_differently, unstable
from sklearn.pipeline import Pipeline

from mlops.contract import Model, feature
from mlops.contract.model_version import VersionFacts
from mlops.data.expectations import find_broken_rows
from mlops.data.predictions import pick_example
from mlops.modeling.coverage import COUNTS, Coverage
from mlops.modeling.gate_case import Scored
from mlops.modeling.gates import decide_verdict
from mlops.modeling.isolated_scoring import run_trial
from mlops.platform import model_scan
from mlops.platform.model_scan import artifact_digest
from mlops.platform.registry import Registry
from mlops.questions import question_of


@pytest.fixture(scope="module")
def frames():
    return frames_of(USE_CASE, files_of(USE_CASE))


@feature(unit="bikes", known_from="the end of the hour itself: a leak")
def casual_riders(known):
    """Casual riders of the hour that is predicted, joined by its key."""
    counts = known.frames["rentals"].groupby("hour_id")["casual"].last()
    return known.rows["hour_id"].map(counts).to_numpy("float64")


@feature(unit="bikes", known_from="the end of the day: a leak")
def bikers_of_the_day(known):
    """Mean rentals of the same day, joined on the date."""
    ended = known.frames["rentals"]
    per_day = ended["bikers"].groupby((ended["reported_at"] - pd.Timedelta(minutes=65)).dt.date).mean()
    return known.rows["starts_at"].dt.date.map(per_day).to_numpy("float64")


LEAKS = {"casual_riders", "bikers_of_the_day"}
LEAKY = replace(USE_CASE, features=(*USE_CASE.features, casual_riders, bikers_of_the_day))


@pytest.mark.parametrize("how", ["drop", "shuffle", "twice"])
def test_two_planted_leaks_move_with_the_future_and_no_other_feature_does(frames, how):
    moved = set()
    for seed, cut in enumerate(moments_of(LEAKY, frames, 4)):
        moved |= unstable(LEAKY, frames, cut, how, seed=seed)
    assert moved == LEAKS


def test_training_sees_two_planted_leaks_otherwise_than_serving_made_them(frames):
    assert {name for _, name in served_differently(LEAKY, frames)} == LEAKS


def test_every_hour_of_the_year_is_there_and_an_hour_without_a_row_had_no_rental():
    files = dict(USE_CASE.sample(USE_CASE.replay.first_file, date(2012, 1, 1)))
    rows = frames_of(USE_CASE, files)
    assert len(rows["hours"]) == len(rows["rentals"]) == 365 * 24
    assert len(rows["weather"]) == 8645
    assert (rows["rentals"]["bikers"] == 0).sum() == 115
    assert rows["rentals"]["bikers"].sum() == 1243103
    assert (rows["rentals"]["casual"] + rows["rentals"]["registered"]).equals(rows["rentals"]["bikers"])


def test_the_model_is_the_same_in_every_fit_and_takes_what_it_has_never_seen(frames):
    rows = made(USE_CASE, frames)
    columns = [each.name for each in USE_CASE.features]
    labels = frames["rentals"].set_index("hour_id")["bikers"].reindex(rows.index).fillna(0)
    one, two = (USE_CASE.model.build({}).fit(rows[columns], labels) for _ in range(2))
    assert np.array_equal(one.predict(rows[columns]), two.predict(rows[columns]))
    strange = rows[columns].head(2).assign(situation=[None, "hail"], humidity=np.nan)
    assert np.isfinite(one.predict(strange)).all()


@pytest.fixture(scope="module")
def half_year():
    """Features, label and day of every hour until the end of June."""
    files = dict(USE_CASE.sample(USE_CASE.replay.first_file, USE_CASE.replay.trained))
    world = frames_of(USE_CASE, files)
    rows = made(USE_CASE, world).join(world["rentals"].set_index("hour_id")["bikers"].rename("label"), how="inner")
    return rows.assign(label=rows["label"].astype("float64"), day=rows["event_time"].dt.floor("D"), reported=True)


@pytest.fixture(scope="module")
def score(half_year, tmp_path_factory):
    """Registers what was fitted until a day, and scores the four weeks after 2 June in a process of its own, or here.

    Both give the same scores: tests/mlops/questions/test_versions_of_kinds.py.
    """
    registry, question = Registry(tmp_path_factory.mktemp("home")), question_of(USE_CASE.label)
    columns = [each.name for each in USE_CASE.features]
    holdout = half_year[half_year["day"].between("2011-06-02", "2011-06-29")].reset_index()

    def score_apart(fitted, model):
        packages = (*model_scan.PACKAGES, *model.packages)
        with registry.open_run("/bikes", "training", {}):
            version = registry.register_model(
                "dev.bikes.rentals", fitted, pick_example(half_year[columns]), method=question.method,
                trusted_types=model.trusted_types,
                requirements=[f"{name}=={version_of(name)}" for name in packages], facts=VersionFacts(), tags={},
            )  # fmt: skip
        with registry.fetch_files(version) as folder:
            facts = VersionFacts(artifact_digest=artifact_digest(folder))
        trial = run_trial(registry, replace(version, facts=facts), replace(USE_CASE, model=model), holdout)
        assert trial.contract.problems == ()
        return trial

    def fit_and_score(until, model=USE_CASE.model, *, apart=True):
        rows = half_year[half_year["day"] < until]
        fitted = model.build({}).fit(rows[columns], rows["label"])
        trial = score_apart(fitted, model) if apart else None
        p = question.predict_scores(fitted, holdout[columns]) if trial is None else trial.p
        trained = datetime.fromisoformat(f"{until}T00:00:00+00:00")
        days = holdout["day"].to_numpy("datetime64[D]")
        return trial, Scored(holdout["label"].to_numpy(), p, days, holdout[["workingday"]], trained)

    return fit_and_score


def decide(trial, challenger, champion):
    days = np.unique(challenger.day)
    coverage = Coverage(pd.DataFrame({"day": days, **dict.fromkeys(COUNTS, 24)}), pd.Timestamp(days[0]))
    return decide_verdict(
        question=question_of(USE_CASE.label), challenger=challenger, contract=trial.contract, champion=champion,
        coverage=coverage, policy=USE_CASE.policy,
    )  # fmt: skip


def test_rows_that_are_scored_meet_the_rules_of_ingestion_and_a_broken_one_is_named(half_year):
    rows = half_year[[each.name for each in USE_CASE.features]].reset_index(drop=True)
    rows.loc[7, ["hour", "situation"]] = 24.0, "sunny"
    breaks = find_broken_rows(pa.Table.from_pandas(rows), USE_CASE.entity.expectations())
    assert {rule: at.tolist() for rule, at in breaks.items() if len(at)} == {
        "hour:be_between": [7],
        "situation:be_in_set": [7],
    }


def test_a_version_is_accepted_and_one_of_winter_alone_does_not_replace_it(score, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(Path(bikes.__file__).parents[1]))  # in a wheel it is installed
    trial, good = score("2011-06-02")
    assert [rule.reason for rule in decide(trial, good, None).rules if not rule.passed] == []
    _, stale = score("2011-03-01", apart=False)
    refused = {rule.name for rule in decide(trial, stale, good).rules if not rule.passed}
    assert {"non_inferior_absolute_error", "non_inferior_concordance"} <= refused


def build_xgboost(parameters):
    from xgboost import XGBRegressor

    inputs = USE_CASE.model.build({})[:-1]
    trees = XGBRegressor(n_estimators=200, max_depth=4, learning_rate=0.1, n_jobs=1, random_state=0, **parameters)
    return Pipeline([*inputs.steps, ("trees", trees)])


@pytest.mark.nightly
def test_a_model_of_xgboost_with_ones_own_transformer_goes_from_training_to_the_gate(score, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(Path(bikes.__file__).parents[1]))
    types = ("bikes.transformers.HourCircle", "xgboost.core.Booster", "xgboost.sklearn.XGBRegressor")
    model = Model(build=build_xgboost, trusted_types=types)
    assert model.packages == ("xgboost-cpu",)
    trial, scored = score("2011-06-02", model)
    assert [rule.reason for rule in decide(trial, scored, None).rules if not rule.passed] == []


def test_an_example_of_the_inputs_has_every_text_if_some_row_has():
    rows = pd.DataFrame({"word": [None, "a", None, "b"], "number": [1.0, np.nan, 2.0, 3.0]})
    assert pick_example(rows)["word"].tolist() == ["a", "b"]
    assert pick_example(rows.assign(word=None))["number"].tolist()[:1] == [1.0]
