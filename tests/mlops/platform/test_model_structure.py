"""Fitted models whose indices lead out of their arrays or in circles are found before compiled code follows them."""

from __future__ import annotations

import copy
import subprocess
import sys
from pathlib import Path

import brokenmodels
import numpy as np
import pytest
import scipy.sparse
from brokenmodels import MODELS
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier, IsolationForest, RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import MinMaxScaler, OneHotEncoder, OrdinalEncoder, RobustScaler, StandardScaler
from sklearn.tree import DecisionTreeClassifier

from mlops.platform.model_structure import find_broken_indices

X = np.random.default_rng(0).random((300, 3))
X[:, 2] = np.floor(X[:, 2] * 5)
Y = (X[:, 0] + X[:, 2] > 2) * 1
BOOSTED = HistGradientBoostingClassifier(max_iter=3, categorical_features=[2], min_samples_leaf=5).fit(X, Y)
NODE = BOOSTED._predictors[0][0].nodes.dtype
ENCODED = ColumnTransformer([("one", OneHotEncoder(), [2])], remainder="passthrough")
SOUND = {
    "boosted trees": BOOSTED,
    "a forest": RandomForestClassifier(3, max_features=None, random_state=0).fit(X, Y),
    "a tree": DecisionTreeClassifier(max_leaf_nodes=5).fit(X, Y),
    "an isolation forest": IsolationForest(n_estimators=3, random_state=0).fit(X),
    "a pipeline": Pipeline([("encode", ENCODED), ("line", LogisticRegression())]).fit(X, Y),
}


@pytest.mark.parametrize("model", SOUND.values(), ids=SOUND.keys())
def test_what_was_fitted_has_nothing_broken(model):
    assert find_broken_indices(Pipeline([("model", model)])) == []


def boosted(field, value, where=0):
    model = copy.deepcopy(BOOSTED)
    tree = model._predictors[1][0]
    inner = np.flatnonzero(tree.nodes["is_leaf"] == 0)
    if field == "bitset_idx":
        inner = np.flatnonzero(tree.nodes["is_categorical"] * (1 - tree.nodes["is_leaf"]))
        assert len(inner)
    tree.nodes[field][inner[where % len(inner)]] = value
    return model


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("left", 2**31, "a left child lies outside of its"),
        ("right", 10**6, "a right child lies outside of its"),
        ("left", 0, "a left child comes before its parent"),
        ("feature_idx", 3, "a node asks for a feature outside of its 3"),
        ("feature_idx", -1, "a node asks for a feature with a negative number"),
        ("feature_idx", 2**40, "a node asks for a feature outside of its 3"),
        ("bitset_idx", 2**20, "a node asks for a set of categories outside of its"),
    ],
)
def test_a_boosted_tree_that_leads_astray_is_named(field, value, said):
    assert any(said in text for text in find_broken_indices(boosted(field, value)))


@settings(max_examples=60)
@given(st.sampled_from(["left", "right"]), st.integers(0, 2**32 - 1), st.integers(0, 100))
def test_any_child_that_is_no_later_node_is_found(field, value, where):
    model = boosted(field, value, where)
    tree = model._predictors[1][0]
    inner = np.flatnonzero(BOOSTED._predictors[1][0].nodes["is_leaf"] == 0)
    parent = inner[where % len(inner)]
    assert bool(find_broken_indices(model)) == (not parent < value < len(tree.nodes))


def test_a_number_that_is_taken_for_a_category_is_found():
    model = copy.deepcopy(BOOSTED)
    nodes = model._predictors[0][0].nodes
    number = np.flatnonzero((nodes["is_leaf"] == 0) & (nodes["is_categorical"] == 0))[0]
    nodes["is_categorical"][number] = 1
    assert any("takes a number for a category" in text for text in find_broken_indices(model))


@pytest.mark.parametrize("nodes", [np.zeros(0), np.zeros((2, 2)), [1, 2], np.zeros(0, NODE)])
def test_nodes_of_another_shape_are_found(nodes):
    model = copy.deepcopy(BOOSTED)
    model._predictors[0][0].nodes = nodes
    with_tree = find_broken_indices(model._predictors[0][0])
    assert with_tree == ["TreePredictor: its nodes are no list of nodes"]


@settings(max_examples=60)
@given(st.sampled_from(["left_child", "right_child", "feature"]), st.integers(-5, 2**40))
def test_any_index_of_a_decision_tree_is_looked_at(field, value):
    model = copy.deepcopy(SOUND["a forest"])
    tree = max((one.tree_ for one in model.estimators_), key=lambda one: one.node_count)
    state = tree.__getstate__()
    parent = int(np.flatnonzero(tree.children_left != -1)[-1])
    state["nodes"] = state["nodes"].copy()
    state["nodes"][field][parent] = value
    tree.__setstate__(state)
    good = 0 <= value < 3 if field == "feature" else parent < value < tree.node_count
    assert bool(find_broken_indices(model)) == (not good)


def test_a_sparse_matrix_that_points_outside_is_found():
    matrix = scipy.sparse.csr_matrix(np.eye(4))
    matrix.indices[2] = 4000
    model = LogisticRegression().fit(X, Y)
    model.coef_ = matrix
    assert any("csr_matrix" in text for text in find_broken_indices(model))


def test_a_model_that_holds_itself_ends():
    model = Pipeline([("a", LogisticRegression())])
    model.steps.append(("again", model))
    assert find_broken_indices(model) == []


def test_support_vectors_and_neighbours_lie_within_their_rows():
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.svm import SVC

    rows = np.arange(400.0).reshape(200, 2)
    labels = np.arange(200) % 2
    machine = SVC(kernel="precomputed").fit(rows @ rows.T, labels)
    assert find_broken_indices(machine) == []
    machine.support_ = np.full_like(machine.support_, 10**8)
    assert find_broken_indices(machine) == ["SVC: a support vector lies outside of its 200 rows"]
    for kind in ("kd_tree", "ball_tree"):
        model = KNeighborsClassifier(algorithm=kind).fit(rows, labels)
        assert find_broken_indices(model) == []
        whole = tuple(model._tree.__getstate__())
        model._tree.__setstate__((whole[0], np.full_like(whole[1], 10**9), *whole[2:]))
        assert "its order is none of its 200 rows" in find_broken_indices(model)[0]
        nodes = np.array(whole[2])
        nodes["idx_end"] = 10**9
        model._tree.__setstate__((*whole[:2], nodes, *whole[3:]))
        assert "a node holds rows outside of its 200" in find_broken_indices(model)[0]


def encoder(**given):
    rows = np.array([[str(n % 3), str(n % 7)] for n in range(100)] + [["8", "9"]], dtype=object)
    return OneHotEncoder(**given).fit(rows)


@given(st.lists(st.integers(-2, 12), max_size=4))
def test_columns_of_an_encoder_are_counted_again(columns):
    """Compiled code writes a 1 where these counts say: one too few, and it writes to foreign memory."""
    for model in (encoder(), encoder(drop="first"), encoder(min_frequency=5), encoder(min_frequency=5, drop="first")):
        assert find_broken_indices(model) == []
        right = model._n_features_outs
        model._n_features_outs = columns
        assert bool(find_broken_indices(model)) == (columns != right)


@given(st.integers(-(10**6), 10**6), st.integers(0, 7))
def test_codes_of_rare_and_left_out_categories_lie_within_their_columns(code, where):
    model = encoder(min_frequency=5, drop="first")
    codes = model._default_to_infrequent_mappings[1]
    columns = 8 - len(model._infrequent_indices[1]) + 1
    codes[where] = code
    assert bool(find_broken_indices(model)) == (not 0 <= code < columns)
    model = encoder(drop="first")
    model._drop_idx_after_grouping[1] = code
    assert bool(find_broken_indices(model)) == (not 0 <= code < 8)


@pytest.mark.parametrize("kind", [OneHotEncoder, OrdinalEncoder])
def test_numbers_that_an_encoder_searches_by_halving_are_in_order(kind):
    model = kind().fit(X[:, [2]])
    assert find_broken_indices(model) == []
    model.categories_ = [model.categories_[0][::-1]]
    assert find_broken_indices(model) == [f"{kind.__name__}: categories are no list of values in order"]


@pytest.mark.parametrize(
    ("step", "name"),
    [
        (StandardScaler(), "mean_"),
        (StandardScaler(), "scale_"),
        (MinMaxScaler(), "min_"),
        (RobustScaler(), "center_"),
        (SimpleImputer(), "statistics_"),
        (OrdinalEncoder(), "categories_"),
    ],
)
@pytest.mark.parametrize("length", [0, 1, 2, 4])
def test_a_step_has_one_value_for_each_feature(step, name, length):
    """NumPy would repeat one value for all features, and nobody would hear of it."""
    model = copy.deepcopy(step).fit(X)
    assert find_broken_indices(model) == []
    setattr(model, name, list(getattr(model, name))[:1] * length)
    assert f"{type(step).__name__}: {name} is of {length} features, not 3" in find_broken_indices(model)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("coef_", np.zeros((2, 3)), "coef_ has 2 rows for 2 classes"),
        ("coef_", np.zeros((1, 4)), "coef_ is of 4 features, not 3"),
        ("coef_", np.zeros((1, 3), dtype=object), "its coefficients are no array of numbers"),
        ("intercept_", np.zeros(3), "it has 3 intercepts for 1 rows of coefficients"),
    ],
)
def test_a_linear_model_has_coefficients_for_its_features_and_classes(name, value, said):
    model = LogisticRegression().fit(X, Y)
    setattr(model, name, value)
    assert find_broken_indices(model) == [f"LogisticRegression: {said}"]


def test_a_transformer_that_is_left_out_is_named():
    model = MODELS["dense"]()
    inputs = model.named_steps["inputs"]
    inputs.transformers_ = inputs.transformers_[1:]
    assert find_broken_indices(model) == ["ColumnTransformer: it was fitted without codes"]


@pytest.mark.nightly
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", MODELS)
def test_no_changed_array_ends_in_a_crash_or_in_numbers_of_another_length(name):
    script = Path(brokenmodels.__file__)
    done = subprocess.run([sys.executable, str(script), name], capture_output=True, text=True, check=True, timeout=900)
    assert done.stdout == ""
    assert int(done.stderr.split()[-1]) > 200
