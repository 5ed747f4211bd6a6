"""Contributions are exact: they sum to the model's own answer, and are the Shapley values of the tree."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pandas as pd
import pytest
import toy
from hypothesis import given, settings
from hypothesis import strategies as st
from lightgbm import LGBMClassifier, LGBMRegressor
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

from mlops.contract import ModelError
from mlops_cli.contributions import explain_row
from mlops_cli.tree_contributions import Tree, explain_tree, product_shapley

FACTORS = st.lists(st.tuples(st.floats(0, 1), st.sampled_from([0.0, 1.0])), min_size=1, max_size=6)


@given(FACTORS)
def test_product_shapley_is_the_mean_over_all_orders(factors):
    zero, one = ([pair[side] for pair in factors] for side in (0, 1))
    orders = list(itertools.permutations(range(len(zero))))
    expected = np.zeros(len(zero))
    for order in orders:
        present = set()
        for player in order:
            before = math.prod(one[i] if i in present else zero[i] for i in range(len(zero)))
            present.add(player)
            expected[player] += math.prod(one[i] if i in present else zero[i] for i in range(len(zero))) - before
    assert product_shapley(zero, one) == pytest.approx(expected / len(orders), abs=1e-12)


def rows(seed, missing=True):
    """Two numbers with gaps, a whole number, a text with rare and missing values, and a label that needs them all."""
    generator = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "a": generator.normal(size=300),
            "b": generator.normal(size=300),
            "n": generator.integers(0, 5, 300).astype(float),
            "text": generator.choice(["x", "y", "z", "rare"], 300, p=[0.5, 0.3, 0.19, 0.01]),
        }
    )
    score = frame["a"] * frame["b"] + (frame["text"] == "x") * frame["n"]
    if missing:
        frame.loc[generator.random(300) < 0.2, "a"] = np.nan
        frame["text"] = frame["text"].astype(object).where(generator.random(300) > 0.1, None)
    return frame, score


def encoded(model):
    codes = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan, encoded_missing_value=np.nan)
    return Pipeline([("inputs", ColumnTransformer([("text", codes, ["text"])], remainder="passthrough")), ("m", model)])


SMALL = {"max_iter": 15, "min_samples_leaf": 5, "max_leaf_nodes": 12}
FEW = {"n_estimators": 15, "min_child_samples": 5, "num_leaves": 12, "verbose": -1, "n_jobs": 1}
MODELS = {
    "boosting": (lambda: HistGradientBoostingClassifier(**SMALL), lambda s: s > 1),
    "boosting of a number": (lambda: HistGradientBoostingRegressor(**SMALL), lambda s: s),
    "boosting of three classes": (lambda: HistGradientBoostingClassifier(**SMALL), lambda s: np.digitize(s, [0, 2])),
    "boosting with categories": (
        lambda: HistGradientBoostingClassifier(**SMALL, categorical_features=[0, 3]),
        lambda s: s > 1,
    ),
    "lightgbm": (lambda: LGBMClassifier(**FEW), lambda s: s > 1),
    "lightgbm of a number": (lambda: LGBMRegressor(**FEW), lambda s: s),
    "lightgbm of three classes": (lambda: LGBMClassifier(**FEW), lambda s: np.digitize(s, [0, 2])),
}


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.filterwarnings("ignore:X does not have valid feature names")
def test_contributions_sum_to_the_answer_of_trees(name):
    build, label = MODELS[name]
    frame, score = rows(0)
    pipeline = encoded(build()).fit(frame, label(score))
    other, _ = rows(1)
    other.loc[0, "text"] = "never seen"
    for number in range(25):
        row = other.iloc[[number]]
        explanation = explain_row(pipeline, row)  # raises if the sum is not the pipeline's own answer
        assert set(explanation.contributions) == set(frame.columns)
        if explanation.scale == "logit":
            chance = pipeline.predict_proba(row)[0, 1]
            assert 1 / (1 + math.exp(-explanation.score)) == pytest.approx(chance)


def test_our_trees_and_lightgbms_own_contributions_agree():
    """LightGBM's trees, explained by our algorithm, give what LightGBM computes itself."""
    frame, score = rows(2, missing=False)
    numbers = frame[["a", "b", "n"]]
    model = LGBMRegressor(**FEW).fit(numbers, score)
    dumped = model.booster_.dump_model()["tree_info"]
    for number in range(10):
        row = numbers.iloc[number].to_numpy()
        base, values = 0.0, np.zeros(3)
        for info in dumped:
            expected, added = explain_tree(to_tree(info["tree_structure"], row), 3)
            base, values = base + expected, values + added
        own = model.booster_.predict(row[None, :], pred_contrib=True)[0]
        assert [*values, base] == pytest.approx(own, abs=1e-9)


def to_tree(root, row):
    left, right, feature, cover, value, goes = ([] for _ in range(6))

    def add(node):
        place = len(left)
        leaf = "leaf_value" in node
        for column, value_here in (
            (left, -1), (right, -1), (feature, 0 if leaf else node["split_feature"]),
            (cover, node["leaf_count"] if leaf else node["internal_count"]),
            (value, node.get("leaf_value", 0.0)), (goes, not leaf and row[node["split_feature"]] <= node["threshold"]),
        ):  # fmt: skip
            column.append(value_here)
        if not leaf:
            left[place], right[place] = add(node["left_child"]), add(node["right_child"])
        return place

    add(root)
    return Tree(left, right, feature, cover, value, goes)


@settings(max_examples=20)
@given(st.integers(0, 1000))
def test_linear_models_and_codes_of_several_columns(seed):
    frame, score = rows(seed, missing=False)
    inputs = ColumnTransformer([("text", OneHotEncoder(handle_unknown="ignore"), ["text"])], remainder=StandardScaler())
    for model, label in ((LogisticRegression(), score > 1), (LinearRegression(), score)):
        pipeline = Pipeline([("inputs", inputs), ("model", model)]).fit(frame, label)
        assert set(explain_row(pipeline, frame.iloc[[3]]).contributions) == set(frame.columns)


def test_the_toys_pipeline_and_a_model_without_an_exact_way():
    from life import rows as toy_rows

    features, label = toy_rows()
    pipeline = toy.TOY.model.build({}).fit(features, label)
    assert next(iter(explain_row(pipeline, features.iloc[[0]]).contributions)) in {"size", "kind"}
    numbers = features[["size"]]
    with pytest.raises(ModelError, match="GaussianNB has no exact contributions; there are some of HistGradient"):
        explain_row(Pipeline([("model", GaussianNB())]).fit(numbers, label), numbers.iloc[[0]])
