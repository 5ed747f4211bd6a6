"""Autologging: what a run holds with it and without it, and that it changes neither the model nor other runs."""

from __future__ import annotations

import inspect
import logging
from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace

import joblib
import mlflow
import numpy as np
import pandas as pd
import pytest
from life import rows
from mlflow.utils.autologging_utils import versioning
from toy import TOY

from mlops.contract.model_version import Version
from mlops.modeling import backtest
from mlops.platform import autologging
from mlops.platform.registry import Registry

LOG = logging.getLogger("mlops.training")


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    return Registry(tmp_path_factory.mktemp("home"))


def fitted(registry, switch, name):
    """Fit and backtest as training does; returns the run and the model's digest."""
    features, label = rows()[0], pd.Series(rows()[1])
    job = SimpleNamespace(use_case=TOY, config=SimpleNamespace(autologging=switch), registry=registry, log=LOG)
    fold = np.arange(300), np.arange(300, 400)
    with registry.open_run(name, "training", {}) as run_id:
        pipeline, study = backtest.fit_with_backtest(job, {}, features, label, fold, weights=None)
    assert isinstance(study, backtest.Backtest)
    return mlflow.get_run(run_id), joblib.hash(pipeline)


def runs_and_models(run):
    ids = [run.info.experiment_id]
    return (
        len(mlflow.search_runs(ids, output_format="list")),
        len(mlflow.search_logged_models(ids, output_format="list")),
    )


def test_the_switch_decides_what_is_logged_and_not_what_is_fitted(registry):
    off, plain = fitted(registry, "off", "/off")
    on, logged = fitted(registry, "on", "/on")
    assert logged == plain
    assert (off.data.params, off.data.metrics) == ({}, {})
    assert on.data.params["model__C"] == "1.0"
    assert on.data.tags["estimator_name"] == "Pipeline"
    assert {"training_roc_auc", "training_log_loss"} <= set(on.data.metrics)
    assert (runs_and_models(off), runs_and_models(on)) == ((1, 0), (1, 0))
    everywhere = mlflow.search_experiments()
    assert len(mlflow.search_runs([e.experiment_id for e in everywhere], output_format="list")) == 2


def test_a_fit_after_the_logged_one_is_not_logged(registry):
    with registry.open_run("/after", "training", {}) as run_id:
        with autologging.autolog_fit("on"):
            pass
        features, label = rows()
        TOY.model.build({}).fit(features, label)
    assert mlflow.get_run(run_id).data.params == {}


def test_a_version_that_mlflow_does_not_know_is_named_and_not_logged(registry, monkeypatch, caplog):
    known = versioning._ML_PACKAGE_VERSIONS["sklearn"]["autologging"]
    monkeypatch.setitem(known, "maximum", "1.5.0")
    with caplog.at_level(logging.WARNING, "mlops"):
        run, _ = fitted(registry, "on", "/unsupported")
    import sklearn

    assert f"scikit-learn {sklearn.__version__} is installed" in caplog.text
    assert f"{known['minimum']} to 1.5.0" in caplog.text
    assert run.data.params == {}


def test_the_table_names_every_switch_of_mlflow_with_databricks_value():
    arguments = inspect.signature(mlflow.sklearn.autolog).parameters.values()
    defaults = {each.name: each.default for each in arguments if isinstance(each.default, bool)}
    databricks = {name: setting.databricks for name, setting in autologging.SETTINGS.items()}
    assert databricks == defaults | {"disable_for_unsupported_versions": True}


def test_the_figures_of_a_later_run_are_on_the_logged_model_of_the_version(registry, caplog):
    features, label = rows()
    with registry.open_run("/figures", "training", {}) as run_id:
        info = registry.log_model(
            TOY.model.build({}).fit(features, label),
            features.head(5),
            method="predict_proba",
            trusted_types=(),
            requirements=["mlflow"],
        )
    version = Version("prod.toy.failing", 1, run_id, datetime(2024, 1, 1, tzinfo=UTC), {}, ())
    with registry.open_run("/figures", "validation", {}) as later:
        registry.log_tables({"prod.toy.features": 3}, "validation")
        registry.log_to_run({}, {"floor_auc": 0.7}, {}, model_id=registry.link_model(version))
    logged = mlflow.get_logged_model(info.model_id)
    assert [(metric.key, metric.value, metric.run_id) for metric in logged.metrics] == [("floor_auc", 0.7, later)]
    inputs = mlflow.get_run(later).inputs
    assert [model.model_id for model in inputs.model_inputs] == [info.model_id]
    assert [each.dataset.name for each in inputs.dataset_inputs] == ["prod.toy.features"]
    with registry.open_run("/figures", "validation", {}):
        assert registry.link_model(replace(version, run_id="of another workspace")) is None
    assert "prod.toy.failing version 1 are in this run only" in caplog.text
