"""A feature more or less in the code, and the champion that was fitted before."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest
from toy import TOY

from mlops.contract import DataError, Feature, ModelError
from mlops.data.predictions import model_input
from mlops.modeling import serving_checks

WIDTH = Feature("width", lambda known: np.zeros(len(known.rows)), "double", "m", "the announcement", "Width.")
WIDER = dataclasses.replace(TOY, features=(WIDTH, *TOY.features))


@pytest.fixture
def rows():
    generator = np.random.default_rng(0)
    numbers = {name: generator.normal(size=50) for name in ("size", "due_around", "width")}
    return pd.DataFrame({**numbers, "kind": np.where(generator.random(50) < 0.5, "x", "y"), "batch": 1})


def fitted(use_case, rows):
    return use_case.model.build({}).fit(model_input(rows, use_case), np.arange(len(rows)) % 2)


def test_a_champion_is_not_shown_a_feature_that_came_later(rows):
    champion = fitted(TOY, rows)
    answers = champion.predict_proba(model_input(rows, TOY))
    assert (champion.predict_proba(model_input(rows, WIDER, champion)) == answers).all()
    assert list(model_input(rows, WIDER)) == ["width", "size", "kind", "due_around"]


def test_a_champion_whose_feature_is_gone_does_not_guess(rows):
    champion = fitted(WIDER, rows)
    with pytest.raises(ModelError, match="fitted on width, which"):
        model_input(rows, TOY, champion)


@pytest.mark.parametrize(
    ("damage", "there"),
    [(lambda rows: rows.drop(columns="size"), "missing"), (lambda rows: rows.astype({"size": str}), "object")],
)
def test_a_table_that_lacks_a_feature_or_has_it_as_text_is_told_with_the_cure(rows, damage, there):
    with pytest.raises(
        DataError, match=rf"'size' of table features is {there}, features.py makes it double: run the job"
    ):
        model_input(damage(rows), TOY)


def test_a_champion_goes_on_while_the_table_lacks_the_new_feature(rows):
    champion = fitted(TOY, rows)
    assert model_input(rows.drop(columns="width"), WIDER, champion).equals(model_input(rows, TOY))


TYPED = dataclasses.replace(
    TOY,
    features=(
        *TOY.features,
        Feature("urgent", lambda known: np.zeros(len(known.rows)), "boolean", "", "the announcement", "Urgent."),
        Feature("parts", lambda known: np.zeros(len(known.rows)), "long", "", "the announcement", "Parts."),
    ),
)


@pytest.mark.parametrize(
    ("urgent", "parts"),
    [
        ([True, False, True], [1, 2, 3]),
        (np.array([True, None, False], "object"), [1.0, np.nan, 3.0]),
        (np.array([None, None, None], "object"), [np.nan] * 3),
    ],
)
def test_truth_values_and_whole_numbers_are_numbers_for_the_model(rows, urgent, parts):
    inputs = model_input(rows.head(3).assign(urgent=urgent, parts=parts), TYPED)
    assert (inputs.dtypes[["urgent", "parts"]] == "float64").all()
    np.testing.assert_equal(inputs["urgent"].to_numpy(), np.array(urgent, "float64"))
    np.testing.assert_equal(inputs["parts"].to_numpy(), np.array(parts, "float64"))
    expected = {feature.name: feature.input_type for feature in TYPED.features}
    assert list(serving_checks.signature_problems(expected, "predict_proba", TYPED)) == []


def test_text_is_no_truth_value(rows):
    with pytest.raises(DataError, match=r"'urgent' of table features is object, features\.py makes it boolean"):
        model_input(rows.assign(urgent="yes", parts=1), TYPED)
