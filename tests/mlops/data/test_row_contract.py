"""A row that cannot be scored stops no other row, whatever is wrong with it."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toy import TOY

from mlops.contract import DataError, Feature, Label, ModelError
from mlops.data.row_contract import score_valid_rows

WEIGHT = Feature("weight", lambda known: None, "double", "kg", "the start", "Weight.", limits=(0.0, 100.0))
PARTS = Feature("parts", lambda known: None, "long", "", "the start", "Parts.", limits=(-np.inf, 9))
URGENT = Feature("urgent", lambda known: None, "boolean", "", "the start", "Urgent.")
KIND = Feature("kind", lambda known: None, "string", "", "the start", "Kind.")
CASE = dataclasses.replace(TOY, features=(WEIGHT, PARTS, URGENT, KIND))


class Strict:
    """A model as people write them: it raises for a missing weight or an unknown kind, and can answer nonsense."""

    feature_names_in_ = ("weight", "parts", "urgent", "kind")
    classes_ = (0, 1)

    def __init__(self):
        self.calls = 0

    def predict_proba(self, rows):
        self.calls += 1
        if rows["weight"].isna().any():
            raise ValueError("Input X contains NaN")
        if not set(rows["kind"]) <= {"red", "blue", None}:
            raise KeyError("unknown kind")
        p = rows["weight"].to_numpy() / 100
        p = np.where(rows["parts"] == 7, np.nan, np.where(rows["parts"] == 8, 1.5, p))
        return np.column_stack([1 - p, p])


ROW = st.fixed_dictionaries(
    {
        "weight": st.one_of(st.sampled_from([np.nan, np.inf, -np.inf, -1.0, 100.0, 100.5]), st.floats(0, 100)),
        "parts": st.one_of(st.none(), st.integers(0, 12)),
        "urgent": st.one_of(st.none(), st.booleans()),
        "kind": st.sampled_from(["red", "blue", None, "green", "", "🟥"]),
    }
)


def frame(rows):
    columns = {name: [row[name] for row in rows] for name in ("weight", "parts", "urgent", "kind")}
    made = pd.DataFrame(columns)
    return made.astype({"weight": "float64", "parts": "float64", "urgent": "object", "kind": "object"})


def rules_of(row, without=()):
    """The oracle: one row by itself."""
    rules = [f"{name}:limits" for name, bad in (
        ("weight", np.isinf(row["weight"]) or row["weight"] < 0 or row["weight"] > 100),
        ("parts", row["parts"] is not None and row["parts"] > 9),
    ) if bad] + [f"{name}:required" for name in without]  # fmt: skip
    if rules:
        return rules
    if np.isnan(row["weight"]):
        return ["prediction:ValueError"]
    if row["kind"] not in {"red", "blue", None}:
        return ["prediction:KeyError"]
    return ["prediction:odd"] if row["parts"] in {7, 8} else None


@settings(deadline=None)
@given(st.lists(ROW, min_size=1, max_size=40), st.sets(st.integers(0, 39)))
def test_each_row_is_scored_or_broken_as_if_it_came_alone(rows, keyless):
    lacks = {at for at in keyless if at < len(rows)}
    expected = {at: rules for at, row in enumerate(rows) if (rules := rules_of(row, ["id"] if at in lacks else []))}
    raising = [at for at, rules in expected.items() if rules[0] in {"prediction:ValueError", "prediction:KeyError"}]
    tried = [at for at in range(len(rows)) if at not in expected or expected[at][0].startswith("prediction")]
    incomplete = {"id:required": np.array(sorted(lacks), "int64")}
    if is_many := len(raising) == len(tried) >= 20:
        with pytest.raises(ModelError, match=f"raises for each of {len(tried)} rows"):
            score_valid_rows(Strict(), frame(rows), CASE, incomplete)
    scores, broken = score_valid_rows(Strict(), frame(rows), CASE, incomplete, is_tolerant=is_many)
    assert broken == expected
    for at, row in enumerate(rows):
        assert np.isnan(scores[at]) if at in expected else scores[at] == pytest.approx(row["weight"] / 100)


def test_one_broken_row_among_many_costs_a_few_calls():
    rows = frame([{"weight": 1.0, "parts": 1, "urgent": True, "kind": "red"}] * 4096)
    rows.loc[1234, "weight"] = np.nan
    model = Strict()
    scores, broken = score_valid_rows(model, rows, CASE, {})
    assert broken == {1234: ["prediction:ValueError"]}
    assert np.isnan(scores).sum() == 1
    assert model.calls <= 2 * 12 + 1


def test_a_column_of_another_type_is_no_fault_of_a_row():
    rows = frame([{"weight": 1.0, "parts": 1, "urgent": True, "kind": "red"}]).astype({"weight": str})
    with pytest.raises(DataError, match="'weight' of table features is object"):
        score_valid_rows(Strict(), rows, CASE, {})


@pytest.mark.parametrize(
    ("label", "answers", "expected"),
    [
        (
            Label(name="failed", source="results", value="failed", matured="true", kind="classes", classes=("a", "b")),
            np.array([[0.5, 0.5], [np.nan, 1.0], [0.9, 0.9], [1.0, 0.0]]),
            {1: ["prediction:odd"], 2: ["prediction:odd"]},
        ),
        (
            Label(name="failed", source="results", value="failed", matured="true", kind="number"),
            np.array([1.0, np.inf, -3.0, np.nan]),
            {1: ["prediction:odd"], 3: ["prediction:odd"]},
        ),
    ],
    ids=["classes", "number"],
)
def test_scores_that_are_none_are_broken_rows_for_every_kind(label, answers, expected):
    class Fixed(Strict):
        def predict(self, rows):
            return answers[rows["parts"].to_numpy("int64")]

        predict_proba = predict

    case = object.__new__(type(CASE))
    case.__dict__.update(CASE.__dict__, label=label)
    rows = frame([{"weight": 1.0, "parts": at, "urgent": True, "kind": "red"} for at in range(4)])
    scores, broken = score_valid_rows(Fixed(), rows, case, {})
    assert broken == expected
    assert {int(at) for at in np.flatnonzero(np.isnan(scores.reshape(4, -1)).any(axis=1))} == set(expected)
