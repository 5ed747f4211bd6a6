"""Autologging of models that fit others inside, in threads, and of trainings at the same time."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import joblib
import mlflow
import pytest
from life import rows
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import BaggingClassifier, RandomForestClassifier, StackingClassifier, VotingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, RandomizedSearchCV
from sklearn.pipeline import Pipeline
from toy import TOY

from mlops.platform import autologging, model_scan
from mlops.platform.registry import Registry

pytestmark = pytest.mark.nightly


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    return Registry(tmp_path_factory.mktemp("home"))


SIMPLE = LogisticRegression()
GRID = {"C": [0.1, 1.0, 10.0]}
SEARCHED = {
    "a search": GridSearchCV(SIMPLE, GRID, cv=2, n_jobs=2),
    "a search over a search": GridSearchCV(
        GridSearchCV(SIMPLE, {"fit_intercept": [True, False]}, cv=2), {"estimator__C": [0.1, 1.0]}, cv=2, n_jobs=2
    ),
    "a random search": RandomizedSearchCV(SIMPLE, GRID, n_iter=2, cv=2, n_jobs=2, random_state=0),
    "a vote": VotingClassifier([("a", SIMPLE), ("b", LogisticRegression(C=2))], voting="soft", n_jobs=2),
    "a stack": StackingClassifier([("a", SIMPLE), ("b", LogisticRegression(C=2))], cv=2, n_jobs=2),
    "bags": BaggingClassifier(SIMPLE, n_estimators=4, n_jobs=2, random_state=0),
    "a forest": RandomForestClassifier(n_estimators=4, n_jobs=2, random_state=0),
    "calibration": CalibratedClassifierCV(SIMPLE, cv=2, n_jobs=2),
}


def with_last_step(estimator):
    """The toy's pipeline with another model at its end."""
    return Pipeline([*TOY.model.build({}).steps[:-1], ("model", estimator)])


def fit_logged(registry, name, pipeline, switch="on", wait=lambda: None):
    """One training: a run, a fit, one logged model; returns the run."""
    features, label = rows()
    with registry.open_run(name, "training", {}) as run_id, joblib.parallel_config("threading"):
        wait()
        with autologging.autolog_fit(switch):
            pipeline.fit(features, label)
        types = model_scan.find_missing_types(pipeline, TOY.model)
        registry.log_model(
            pipeline, features.head(5), method="predict_proba", trusted_types=types, requirements=["mlflow"]
        )
    return mlflow.get_run(run_id)


def list_sources(run):
    """List the runs of the models that the run's experiment has."""
    models = mlflow.search_logged_models([run.info.experiment_id], output_format="list")
    return [model.source_run_id for model in models]


def list_all_runs():
    everywhere = [experiment.experiment_id for experiment in mlflow.search_experiments()]
    return {run.info.run_id for run in mlflow.search_runs(everywhere, output_format="list")}


@pytest.mark.parametrize("name", SEARCHED)
def test_a_model_that_fits_others_in_threads_has_one_run_and_one_logged_model(registry, name):
    before = list_all_runs()
    run = fit_logged(registry, f"/{name}", with_last_step(SEARCHED[name]))
    assert list_sources(run) == [run.info.run_id]
    assert list_all_runs() - before == {run.info.run_id}
    assert run.data.params["model"].startswith(type(SEARCHED[name]).__name__)
    assert "training_log_loss" in run.data.metrics


@pytest.mark.parametrize(
    "switches",
    [("on", "on"), ("on", "off", "on")],
    ids="-".join,
)
def test_trainings_at_the_same_time_each_have_their_own_run_and_model(registry, switches):
    before, barrier = list_all_runs(), threading.Barrier(len(switches))

    def train(number):
        pipeline = with_last_step(LogisticRegression(C=number + 1.0))
        return fit_logged(registry, f"/{'-'.join(switches)}-{number}", pipeline, switches[number], barrier.wait)

    with ThreadPoolExecutor(len(switches)) as pool:
        results = list(pool.map(train, range(len(switches))))
    assert list_all_runs() - before == {run.info.run_id for run in results}
    for number, run in enumerate(results):
        is_logged = switches[number] == "on"
        assert run.data.params.get("model__C") == (f"{number + 1.0}" if is_logged else None)
        assert ("training_log_loss" in run.data.metrics) == is_logged
        assert list_sources(run) == [run.info.run_id]
