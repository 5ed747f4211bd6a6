"""Contributions are exact: they sum to the model's own answer, and are the Shapley values of the tree."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math

import numpy as np
import pandas as pd
import pytest
import toy
from hypothesis import given, reject, settings
from hypothesis import strategies as st
from lightgbm import LGBMClassifier, LGBMRegressor
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin, clone
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.feature_selection import VarianceThreshold
from sklearn.impute import KNNImputer, SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    KBinsDiscretizer,
    Normalizer,
    OneHotEncoder,
    OrdinalEncoder,
    PolynomialFeatures,
    QuantileTransformer,
    StandardScaler,
)

from mlops.contract import ConfigError, ModelError
from mlops.data import contributions
from mlops.data.contributions import check_explainable, explain_row, explain_rows, find_reasons
from mlops.data.tree_contributions import Tree, explain_tree, number_patterns, product_shapley

FACTORS = st.lists(st.tuples(st.floats(1e-6, 1), st.sampled_from([0.0, 1.0])), min_size=1, max_size=6)


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
    values = product_shapley(np.array(zero), np.array([one, one]).T)
    assert values == pytest.approx(np.array([expected, expected]).T / len(orders), abs=1e-12)


@given(st.integers(0, 80), st.integers(1, 12), st.integers(0, 99))
def test_equal_answers_and_only_they_get_the_same_number(nodes, count, seed):
    answers = np.random.default_rng(seed).random((nodes, count)) < 0.1
    answers[:, -1] = answers[:, 0]
    codes, columns = number_patterns(answers), [tuple(column) for column in answers.T]
    assert sorted(set(codes)) == list(range(len(set(columns))))
    assert all((codes[a] == codes[b]) == (columns[a] == columns[b]) for a in range(count) for b in range(count))


def random_tree(generator, leaves, count, rows):
    """A tree whose nodes ask the same features again and again, with answers that need not fit a threshold."""
    left, right, cover = [-1], [-1], [1024.0]
    while sum(child < 0 for child in left) < leaves:
        node = generator.choice([place for place, child in enumerate(left) if child < 0])
        left[node], right[node] = len(left), len(left) + 1
        share = generator.uniform(0.01, 0.99)
        cover += [cover[node] * share, cover[node] * (1 - share)]
        left, right = [*left, -1, -1], [*right, -1, -1]
    size = len(left)
    answers = generator.random((size, rows)) < 0.5
    feature, value = generator.integers(0, count, size), generator.normal(size=size)
    return Tree(np.array(left), np.array(right), feature, np.array(cover), value, answers)


def expect(tree, row, known, node=0):
    """What a tree answers on average if only some features are known."""
    if tree.left[node] < 0:
        return tree.value[node]
    left, right = (int(child) for child in (tree.left[node], tree.right[node]))
    if tree.feature[node] in known:
        return expect(tree, row, known, left if tree.goes_left[node, row] else right)
    parts = (tree.cover[child] * expect(tree, row, known, child) for child in (left, right))
    return sum(parts) / tree.cover[node]


@settings(max_examples=15)
@given(st.integers(0, 10**6), st.integers(1, 12))
def test_values_of_a_tree_are_shapleys_by_their_definition(seed, leaves):
    count = 4
    tree = random_tree(np.random.default_rng(seed), leaves, count, 3)
    base, values = explain_tree(tree, count)
    assert base == pytest.approx(expect(tree, 0, set()))
    for row, feature in itertools.product(range(3), range(count)):
        others = [other for other in range(count) if other != feature]
        expected = sum(
            (expect(tree, row, {*known, feature}) - expect(tree, row, {*known}))
            / (count * math.comb(count - 1, len(known)))
            for size in range(count)
            for known in itertools.combinations(others, size)
        )
        assert values[row, feature] == pytest.approx(expected, abs=1e-9)


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
    together = explain_rows(pipeline, other.head(25))
    assert together.is_exact.all()
    for number in range(25):
        row = other.iloc[[number]]
        explanation = explain_row(pipeline, row)  # raises if the sum is not the pipeline's own answer
        assert set(explanation.contributions) == set(frame.columns)
        known = dict(zip(together.names, together.values[number], strict=True))
        assert known == pytest.approx(explanation.contributions, abs=1e-12)
        assert explanation.scale == together.scales[number]
        if explanation.scale == "logit":
            chance = pipeline.predict_proba(row)[0, 1]
            assert 1 / (1 + math.exp(-explanation.score)) == pytest.approx(chance)


def test_our_trees_and_lightgbms_own_contributions_agree():
    """LightGBM's trees, explained by our algorithm, give what LightGBM computes itself."""
    frame, score = rows(2, missing=False)
    numbers = frame[["a", "b", "n"]]
    model = LGBMRegressor(**FEW).fit(numbers, score)
    base, values, given = 0.0, np.zeros((10, 3)), numbers.head(10).to_numpy()
    for info in model.booster_.dump_model()["tree_info"]:
        expected, added = explain_tree(to_tree(info["tree_structure"], given), 3)
        base, values = base + expected, values + added
    own = model.booster_.predict(given, pred_contrib=True)
    assert values == pytest.approx(own[:, :-1], abs=1e-9)
    assert own[:, -1] == pytest.approx(base)


def to_tree(root, rows):
    left, right, feature, cover, value, goes = ([] for _ in range(6))

    def add(node):
        place = len(left)
        leaf = "leaf_value" in node
        for column, value_here in (
            (left, -1), (right, -1), (feature, 0 if leaf else node["split_feature"]),
            (cover, node["leaf_count"] if leaf else node["internal_count"]),
            (value, node.get("leaf_value", 0.0)),
            (goes, rows[:, node.get("split_feature", 0)] <= node.get("threshold", 0)),
        ):  # fmt: skip
            column.append(value_here)
        if not leaf:
            left[place], right[place] = add(node["left_child"]), add(node["right_child"])
        return place

    add(root)
    return Tree(np.array(left), right, feature, cover, value, np.array(goes, dtype=bool))


@settings(max_examples=20)
@given(st.integers(0, 1000))
def test_linear_models_and_codes_of_several_columns(seed):
    frame, score = rows(seed, missing=False)
    inputs = ColumnTransformer([("text", OneHotEncoder(handle_unknown="ignore"), ["text"])], remainder=StandardScaler())
    for model, label in ((LogisticRegression(), score > 1), (LinearRegression(), score)):
        pipeline = Pipeline([("inputs", inputs), ("model", model)]).fit(frame, label)
        assert set(explain_row(pipeline, frame.iloc[[3]]).contributions) == set(frame.columns)


class Reverse(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    """Says that its outputs are its inputs, and reverses them."""

    def fit(self, X, y=None):  # noqa: N803 (scikit-learn's name)
        self.n_features_in_ = X.shape[1]
        return self

    def transform(self, X):  # noqa: N803 (as above)
        return np.asarray(X)[:, ::-1]


TRANSFORMERS = st.sampled_from([
    None, "passthrough", PCA(), PCA(2), StandardScaler(), Normalizer(), Reverse(), PolynomialFeatures(2), KNNImputer(),
    QuantileTransformer(n_quantiles=20), SimpleImputer(add_indicator=True), SimpleImputer(keep_empty_features=True),
    SimpleImputer(strategy="constant", fill_value=0, add_indicator=True, keep_empty_features=True),
    KBinsDiscretizer(3, encode="ordinal", quantile_method="averaged_inverted_cdf"), OneHotEncoder(drop="first",
    sparse_output=False, max_categories=4, handle_unknown="infrequent_if_exist"), VarianceThreshold(),
    FunctionTransformer(), FunctionTransformer(np.abs, feature_names_out="one-to-one"),
    OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1),
    FunctionTransformer(lambda rows: np.asarray(rows)[:, ::-1], feature_names_out="one-to-one"),
    FeatureUnion([("reversed", Reverse()), ("scaled", StandardScaler())]),
])  # fmt: skip
COLUMNS = st.sampled_from([
    ["a", "b"], ["c", "a"], [2, 0], slice(1, 3), [False, True, True, False], [-1, 0], ["d"], [0],
])  # fmt: skip
PARTS = st.lists(TRANSFORMERS, min_size=1, max_size=2).map(lambda steps: make_pipeline(*steps))


@st.composite
def column_transformers(draw):
    parts = draw(st.lists(st.tuples(PARTS | st.just("passthrough"), COLUMNS), min_size=1, max_size=3))
    named = [(str(place), part, columns) for place, (part, columns) in enumerate(parts)]
    return ColumnTransformer(named, remainder=draw(st.sampled_from(["drop", "passthrough", StandardScaler()])))


@settings(max_examples=25)
@given(st.lists(TRANSFORMERS | PARTS | column_transformers(), min_size=1, max_size=3), st.integers(0, 99))
@pytest.mark.filterwarnings("ignore")
def test_a_change_of_one_feature_changes_only_contributions_under_its_name(steps, seed):
    """Whatever the steps are: a contribution whose owner lacks the feature does not depend on it."""
    generator = np.random.default_rng(seed)
    frame = pd.DataFrame(generator.integers(-3, 4, (60, 4)).astype(float), columns=[*"abcd"])
    frame["b"] *= generator.integers(0, 2)  # of some frames a column is constant, of some it is missing
    frame.loc[generator.random(60) < generator.choice([0, 0, 0.3, 1]), "c"] = np.nan
    try:
        last = SimpleImputer(strategy="constant", fill_value=0.0), LinearRegression()
        model = clone(make_pipeline(*steps, *last))  # a step may be drawn twice
        model.fit(frame, generator.normal(size=60))
    except (ValueError, np.linalg.LinAlgError):  # PCA takes no missing values, and no column fewer than it makes
        reject()
    before = explain_rows(model, frame)
    assert before.is_exact.all()
    for name in frame.columns:
        moved = frame.assign(**{name: frame[name].to_numpy()[::-1]})
        after = explain_rows(model, moved)
        others = [place for place, owner in enumerate(before.names) if name not in owner.split(" + ")]
        assert after.values[:, others] == pytest.approx(before.values[:, others], abs=1e-6)


def test_contributions_of_mixed_and_of_traced_inputs():
    generator = np.random.default_rng(0)
    frame = pd.DataFrame({"a": generator.normal(size=400), "b": 3 * generator.normal(size=400), "e": np.nan})
    frame.loc[::3, "b"] = np.nan
    texts = pd.DataFrame({"k": ["x"] * 300, "z": generator.choice(["u", "v", "w"], 300)})
    codes = make_pipeline(SimpleImputer(strategy="constant", fill_value="?"), OneHotEncoder(drop="first"))
    row = pd.DataFrame({"a": [1.0], "b": [0.0]})

    def explain(steps, given, label, asked):
        return explain_row(make_pipeline(steps, LinearRegression()).fit(given, label), asked).contributions

    numbers = frame[["a", "b"]].fillna(0)
    assert explain(PCA(), numbers, frame["a"] * 2, row).keys() == {"a + b"}
    scaled = explain(StandardScaler(), numbers, frame["a"] * 2, row)
    assert scaled["b"] == pytest.approx(0) != pytest.approx(scaled["a"])
    frame, asked = frame[["e", "a", "b"]], row.assign(e=np.nan)[["e", "a", "b"]]
    with pytest.warns(UserWarning, match="Skipping features without any observed values"):
        filled = explain(SimpleImputer(add_indicator=True), frame, frame["a"], asked)
    assert filled == pytest.approx({"a": 1, "b": 0, "e": 0}, abs=1e-6)
    for step in (codes, ColumnTransformer([("codes", codes, ["k", "z"])])):
        coded = explain(step, texts, texts["z"] == "v", pd.DataFrame({"k": ["x"], "z": ["v"]}))
        assert coded == pytest.approx({"z": 1.0})
    column = FunctionTransformer(lambda values: np.reshape(values, (-1, 1)))
    first = ColumnTransformer([("column", column, "a")], remainder="passthrough")  # one name, not a list of them
    assert explain(first, numbers, frame["a"], row) == pytest.approx({"a": 1.0, "b": 0.0}, abs=1e-9)


def test_the_toys_pipeline_and_a_model_without_an_exact_way():
    from life import rows as toy_rows

    features, label = toy_rows()
    pipeline = toy.TOY.model.build({}).fit(features, label)
    assert next(iter(explain_row(pipeline, features.iloc[[0]]).contributions)) in {"size", "kind"}
    numbers = features[["size"]]
    with pytest.raises(ModelError, match="GaussianNB has no exact contributions; there are some of HistGradient"):
        explain_row(Pipeline([("model", GaussianNB())]).fit(numbers, label), numbers.iloc[[0]])


@pytest.fixture(scope="module")
def toy_model():
    """The toy's fitted pipeline, rows that it scores, and what explains each of them."""
    from life import rows as toy_rows

    features, label = toy_rows()
    pipeline = toy.TOY.model.build({}).fit(features, label)
    return pipeline, features, [explain_row(pipeline, features.iloc[[at]]).contributions for at in range(40)]


@settings(max_examples=20)
@given(st.sets(st.integers(0, 39)), st.integers(1, 5))
def test_reasons_are_the_largest_contributions_of_the_rows_that_were_scored(toy_model, positions, count):
    pipeline, features, known = toy_model
    is_scored = np.isin(np.arange(40), list(positions))
    for at, text in enumerate(find_reasons(pipeline, features.head(40), toy.TOY, is_scored, count)):
        assert (text is None) == (at not in positions)
        if text is None:
            continue
        reasons = json.loads(text)
        assert {reason["feature"]: reason["contribution"] for reason in reasons} == pytest.approx(
            dict(list(known[at].items())[:count]), abs=1e-12
        )
        sizes = [abs(reason["contribution"]) for reason in reasons]
        assert sizes == sorted(sizes, reverse=True)


def test_a_score_without_exact_contributions_has_no_reasons(toy_model, monkeypatch):
    pipeline, features, _ = toy_model
    every, places = np.ones(len(features), dtype=bool), range(len(features))
    other = Pipeline([("model", GaussianNB())]).fit(features[["size"]], features["size"] > 0)
    assert find_reasons(other, features, toy.TOY, every, 2) == [None] * len(features)
    assert check_explainable(other).startswith("GaussianNB has no exact contributions")
    assert check_explainable(pipeline) == ""
    genuine = contributions._SPLITS["LogisticRegression"]

    def miss_some(model, rows, index):
        base, values = genuine(model, rows, index)
        return base + (np.arange(len(rows)) % 4 == 0), values

    monkeypatch.setitem(contributions._SPLITS, "LogisticRegression", miss_some)
    reasons = find_reasons(pipeline, features, toy.TOY, every, 2)
    assert [at for at in places if reasons[at] is None] == [*places[::4]]
    with pytest.raises(ModelError, match="the contributions sum to"):
        explain_row(pipeline, features.head(1))


def test_a_policy_refuses_a_number_of_reasons_below_0():
    with pytest.raises(ConfigError, match="reasons is -1"):
        dataclasses.replace(toy.TOY.policy, reasons=-1)
    assert repr(dataclasses.replace(toy.TOY.policy, reasons=3)) == repr(toy.TOY.policy)  # no verdict depends on it
