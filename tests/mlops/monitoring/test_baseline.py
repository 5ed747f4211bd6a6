"""The first champion stays beside the one that serves, to show what monitoring would see without any retraining."""

from __future__ import annotations

import logging
from dataclasses import replace
from types import SimpleNamespace

import pandas as pd
import pytest
from toy import TOY

from mlops.contract import ModelError
from mlops.data.predictions import model_input
from mlops.monitoring import store

ROWS = pd.DataFrame({"size": [1.0, 2.0], "kind": ["x", "y"], "due_around": [1.0, 2.0]})
FITTED = TOY.model.build({}).fit(model_input(ROWS, TOY), [0, 1])


@pytest.fixture(autouse=True)
def _recorded(monkeypatch):
    monkeypatch.setattr(store, "as_recorded", lambda version, row: version)


def load(use_case=TOY, load_model=lambda *_: FITTED, serving=2):
    registry = SimpleNamespace(get_version=lambda model, number: number, load_model=load_model)
    job = SimpleNamespace(registry=registry, use_case=use_case, log=logging.getLogger("baseline"))
    champion = SimpleNamespace(model="prod.toy.failing", number=serving)
    return store.load_baseline(job, champion, SimpleNamespace(to_version=1))


def test_the_first_champion_is_compared_with_a_later_one(caplog):
    assert load() is FITTED
    assert caplog.text == ""


def test_the_first_champion_is_compared_after_the_use_case_got_a_feature(caplog):
    wider = replace(TOY, features=(*TOY.features, replace(TOY.features[0], name="width")))
    assert load(wider) is FITTED
    assert caplog.text == ""


def test_the_first_champion_is_not_compared_with_itself():
    assert load(serving=1) == "champion"


def test_a_first_champion_whose_feature_is_gone_or_whose_files_are_gone_is_left_out_with_the_reason(caplog):
    assert load(replace(TOY, features=TOY.features[1:])) is None
    assert "no comparison with version 1, which served first: the model was fitted on size" in caplog.text

    def gone(*_):
        raise ModelError("its files are gone")

    assert load(load_model=gone) is None
    assert "no comparison with version 1, which served first: its files are gone" in caplog.text
