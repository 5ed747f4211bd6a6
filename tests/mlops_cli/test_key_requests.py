"""A request with an entity's key and nothing else: the model gets the row that the batch would have scored."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from functools import partial
from types import SimpleNamespace

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_explain import AT, store
from toy import TOY

from mlops.contract import DataError, Feature
from mlops.data.predictions import model_input
from mlops_cli.key_requests import fill_features, find_features

TYPED = replace(
    TOY,
    features=(
        *TOY.features,
        Feature("urgent", lambda known: None, "boolean", "", "the start", "Urgent."),
        Feature("parts", lambda known: None, "long", "", "the start", "Parts."),
    ),
)
OF = {"id": 1, "prediction_time": AT, "event_time": AT + timedelta(hours=2), "batch": 1}
ROWS = [
    {**OF, "size": 2.5, "kind": "x", "due_around": 3.0, "urgent": True, "parts": 2},
    {**OF, "id": 2, "size": None, "kind": None, "due_around": float("nan"), "urgent": None, "parts": None},
    {**OF, "id": 3, "size": -0.1, "kind": "ü'", "due_around": 1e300, "urgent": False, "parts": 2**40},
    # A row that was made a day earlier: the batch would not score it now.
    {**OF, "prediction_time": AT - timedelta(days=1), "size": 9.0, "kind": "y", "due_around": 9.0, "urgent": False,
     "parts": 9},
]  # fmt: skip


@pytest.fixture
def deployed(tmp_path):
    store(tmp_path, {"features": ROWS})
    return SimpleNamespace(
        home=tmp_path, parameter_default=lambda job, name: {"data_catalog": "prod", "data_schema": "toy"}[name]
    )


def forms(keys):
    yield {"dataframe_split": {"columns": ["id"], "data": [[key] for key in keys]}}
    for name in ("dataframe_records", "instances", "inputs"):
        yield {name: [{"id": key} for key in keys]}
    yield {"inputs": {"id": keys}}


def test_the_model_gets_the_row_of_the_batch_for_all_features(deployed):
    keys = [3, 1, 2]
    batch = model_input(pd.DataFrame([ROWS[key - 1] for key in keys]), TYPED)
    for request in forms(keys):
        split = fill_features(request, TYPED, partial(find_features, deployed, TYPED))["dataframe_split"]
        given = pd.DataFrame(split["data"], columns=split["columns"])
        pd.testing.assert_frame_equal(given.astype(batch.dtypes), batch)


def test_an_unknown_key_is_told(deployed):
    with pytest.raises(DataError, match=r"prod\.toy\.features has no row with id 4: it is not due yet, or unknown"):
        find_features(deployed, TYPED, {"id": 4})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["id", "size", "columns", "data", "inputs", "instances", "dataframe_split"]), inner, max_size=3
    ),
    max_leaves=8,
)  # fmt: skip


@given(JSON)
def test_any_other_request_stays_as_it_is(request):
    asked = []
    filled = fill_features(request, TOY, lambda key: asked.append(key) or dict.fromkeys(["size", "kind", "due_around"]))
    assert asked or filled is request
    assert all(set(key) == {"id"} for key in asked)
