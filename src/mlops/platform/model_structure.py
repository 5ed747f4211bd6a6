"""Check the indices inside a fitted model: compiled code does not check them, so each must be within its array.

A tree with a child outside of its nodes reads foreign memory, and one with a child before its parent never ends. Python
code checks indices itself and raises. NumPy, however, silently repeats an array of one value for all features, so the
lengths of the usual steps are checked, too. Types without a check here are covered by the separate process in which an
unaccepted model is scored (`mlops.modeling.isolated_scoring`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import scipy.sparse

_MOST = 5_000_000
"""Largest number of objects in a model; the largest forests have a tenth of this."""
type Check = Callable[[Any], Iterator[str]]
_PLAIN = (str, bytes, int, float, complex, bool, type(None), type)


def find_broken_indices(root: object) -> list[str]:
    """List what is wrong with the indices of a fitted model, one sentence each; empty: they are safe to follow."""
    problems: list[str] = []
    for number, thing in enumerate(_walk(root)):
        if number > _MOST:
            return [*problems, f"it consists of more than {_MOST} objects"]
        check = _CHECKS.get(type(thing).__name__)
        if check is not None and _is_fitted(thing):
            problems += [f"{type(thing).__name__}: {text}" for text in check(thing)]
    return list(dict.fromkeys(problems))


def _is_fitted(thing: object) -> bool:
    """Whether scikit-learn regards it as fitted; a pipeline also holds unfitted clones of its steps."""
    return not hasattr(thing, "get_params") or any(name.endswith("_") and name[:2] != "__" for name in vars(thing))


def _walk(root: object) -> Iterator[object]:
    """Yield every object that a model reaches through attributes, items and arrays of objects, each once."""
    seen: set[int] = set()
    waiting = [root]
    while waiting:
        thing = waiting.pop()
        if isinstance(thing, _PLAIN) or id(thing) in seen:
            continue
        seen.add(id(thing))
        yield thing
        if isinstance(thing, Mapping):
            waiting += [*thing.keys(), *thing.values()]
        elif isinstance(thing, list | tuple | set | frozenset):
            waiting += thing
        elif isinstance(thing, np.ndarray):
            waiting += thing.ravel().tolist() if thing.dtype.hasobject else []
        else:
            waiting += vars(thing).values() if hasattr(thing, "__dict__") else []


def _check_children(left: Any, right: Any, inner: Any) -> Iterator[str]:
    """Check that children exist and come after their parents, so that every path down ends at a leaf."""
    parents, count = np.flatnonzero(inner), len(left)
    for name, children in (("left", np.asarray(left)), ("right", np.asarray(right))):
        wanted = children[parents].astype(np.float64)
        if (wanted <= parents).any():
            yield f"a {name} child comes before its parent"
        if (wanted >= count).any():
            yield f"a {name} child lies outside of its {count} nodes"


def _check_boosting(model: Any) -> Iterator[str]:
    """Check gradient boosting: the nodes of every tree against the number of features of the model."""
    features, mapper = int(model.n_features_in_), getattr(model, "_bin_mapper", None)
    categorical = np.asarray(getattr(mapper, "is_categorical_", np.zeros(features))).astype(bool)
    if categorical.shape != (features,):
        yield f"its bins are of {categorical.size} features, not {features}"
        return
    thresholds = getattr(mapper, "bin_thresholds_", None)
    if thresholds is not None and len(thresholds) != features:
        yield f"its bin thresholds are of {len(thresholds)} features, not {features}"
    for tree in (tree for stage in model._predictors for tree in stage):  # noqa: SLF001 (nothing else holds the trees)
        nodes = tree.nodes
        used = nodes["feature_idx"][nodes["is_leaf"] == 0]
        if ((used < 0) | (used >= features)).any():
            yield f"a node asks for a feature outside of its {features}"
        elif nodes["is_categorical"][nodes["is_leaf"] == 0].astype(bool)[~categorical[used]].any():
            yield "a node takes a number for a category"


def _check_predictor(tree: Any) -> Iterator[str]:
    """Check one tree of gradient boosting by itself."""
    from sklearn.ensemble._hist_gradient_boosting.common import PREDICTOR_RECORD_DTYPE

    nodes = tree.nodes
    if not isinstance(nodes, np.ndarray) or nodes.dtype != PREDICTOR_RECORD_DTYPE or nodes.ndim != 1 or not len(nodes):
        yield "its nodes are no list of nodes"
        return
    inner = nodes["is_leaf"] == 0
    yield from _check_children(nodes["left"], nodes["right"], inner)
    if (nodes["feature_idx"][inner] < 0).any():
        yield "a node asks for a feature with a negative number"
    wanted = nodes["bitset_idx"][inner & (nodes["is_categorical"] != 0)]
    for name in ("raw_left_cat_bitsets", "binned_left_cat_bitsets"):
        sets = getattr(tree, name, None)
        if not isinstance(sets, np.ndarray) or sets.dtype != np.uint32 or sets.ndim != 2 or sets.shape[1] != 8:
            yield f"its {name} are no sets of categories"
        elif (wanted >= len(sets)).any():
            yield f"a node asks for a set of categories outside of its {len(sets)}"


def _check_tree(tree: Any) -> Iterator[str]:
    """Check one tree of a decision tree or a forest; scikit-learn has checked the types and shapes of its arrays."""
    left, right = tree.children_left, tree.children_right
    leaf = left == -1
    if (leaf != (right == -1)).any():
        yield "a node has one child"
        return
    yield from _check_children(left, right, ~leaf)
    used = tree.feature[~leaf]
    if ((used < 0) | (used >= tree.n_features)).any():
        yield f"a node asks for a feature outside of its {tree.n_features}"
    if len(tree.value) != tree.node_count or not tree.node_count:
        yield f"it has {len(tree.value)} values for {tree.node_count} nodes"


def _check_sparse(matrix: Any) -> Iterator[str]:
    """Check a compressed sparse matrix completely; by default SciPy checks only its first and last index."""
    try:
        matrix.check_format(full_check=True)
    except (ValueError, TypeError) as error:
        yield str(error)


def _check_svm(model: Any) -> Iterator[str]:
    """Check a support vector machine with a kernel: libsvm does not check its row numbers."""
    rows, support = int(model.shape_fit_[0]), np.asarray(model.support_)
    if ((support < 0) | (support >= rows)).any():
        yield f"a support vector lies outside of its {rows} rows"


def _check_neighbours(tree: Any) -> Iterator[str]:
    """Check a k-d or ball tree: its rows, their order, and each node's range of that order."""
    data, order, nodes = (np.asarray(part) for part in tree.__getstate__()[:3])
    if not np.array_equal(np.sort(order), np.arange(len(data))):
        yield f"its order is none of its {len(data)} rows"
    start, end = nodes["idx_start"], nodes["idx_end"]
    if ((start < 0) | (end < start) | (end > len(data))).any():
        yield f"a node holds rows outside of its {len(data)}"


def _check_lengths(*names: str) -> Check:
    """Make a check that each of the named attributes has one value per feature."""

    def check(step: Any) -> Iterator[str]:
        for name in names:
            values = getattr(step, name, None)
            if values is not None and len(values) != step.n_features_in_:
                yield f"{name} is of {len(values)} features, not {step.n_features_in_}"

    return check


def _check_linear(model: Any) -> Iterator[str]:
    """Check a linear model: one row of coefficients and one intercept per class; a single one for two classes."""
    classes = len(getattr(model, "classes_", ()))
    coefficients = np.atleast_2d(model.coef_)
    if scipy.sparse.issparse(model.coef_) or coefficients.dtype.kind != "f":
        yield "its coefficients are no array of numbers"
        return
    if coefficients.shape[1] != model.n_features_in_:
        yield f"coef_ is of {coefficients.shape[1]} features, not {model.n_features_in_}"
    if classes and coefficients.shape[0] != (1 if classes == 2 else classes):
        yield f"coef_ has {coefficients.shape[0]} rows for {classes} classes"
    if np.size(model.intercept_) not in {1, coefficients.shape[0]}:
        yield f"it has {np.size(model.intercept_)} intercepts for {coefficients.shape[0]} rows of coefficients"


def _check_categories(encoder: Any) -> Iterator[str]:
    """Check an encoder: it finds values by binary search, so unsorted numbers get the code of another value."""
    yield from _check_lengths("categories_")(encoder)
    # Private, but nothing else holds them.
    rare = encoder._default_to_infrequent_mappings if encoder._infrequent_enabled else None  # noqa: SLF001
    if rare is not None and len(rare) != encoder.n_features_in_:
        yield f"its rare categories are not of {encoder.n_features_in_} features"
    for values in map(np.asarray, encoder.categories_):
        if values.ndim != 1 or (values.dtype.kind in "iuf" and not (np.diff(values[~np.isnan(values)]) > 0).all()):
            yield "categories are no list of values in order"


def _check_one_hot(encoder: Any) -> Iterator[str]:
    """Check an encoder of one column per category: compiled code writes where its counts say, unchecked."""
    yield from _check_categories(encoder)
    counts = [len(values) for values in encoder.categories_]
    if encoder._infrequent_enabled:  # noqa: SLF001 (nothing else holds the counts)
        rare = zip(encoder._default_to_infrequent_mappings, encoder._infrequent_indices, strict=True)  # noqa: SLF001
        for number, (codes, together) in enumerate(rare):
            if codes is None:
                continue
            wanted, counts[number] = counts[number], counts[number] - len(together) + 1
            if np.shape(codes) != (wanted,) or min(codes) < 0 or max(codes) >= counts[number]:
                yield f"rare categories of feature {number} have codes outside of its {counts[number]}"
    for number, left_out in enumerate(() if encoder.drop_idx_ is None else encoder._drop_idx_after_grouping):  # noqa: SLF001
        if left_out is None:
            continue
        if not 0 <= left_out < counts[number]:
            yield f"it leaves out category {left_out} of feature {number}, which has {counts[number]}"
        counts[number] -= 1
    if list(encoder._n_features_outs) != counts:  # noqa: SLF001
        yield f"it makes {list(encoder._n_features_outs)} columns of its features, and has {counts} categories"  # noqa: SLF001


def _check_columns(step: Any) -> Iterator[str]:
    """Check a step with one transformer per group of columns: without a transformer its columns are dropped."""
    fitted = {name for name, *_ in step.transformers_}
    if missing := [name for name, *_ in step.transformers if name not in fitted]:
        yield f"it was fitted without {', '.join(missing)}"


_CHECKS: Mapping[str, Check] = {
    "ColumnTransformer": _check_columns,
    "TreePredictor": _check_predictor,
    "HistGradientBoostingClassifier": _check_boosting,
    "HistGradientBoostingRegressor": _check_boosting,
    "Tree": _check_tree,
    "StandardScaler": _check_lengths("mean_", "scale_", "var_"),
    "MinMaxScaler": _check_lengths("min_", "scale_"),
    "MaxAbsScaler": _check_lengths("scale_"),
    "RobustScaler": _check_lengths("center_", "scale_"),
    "SimpleImputer": _check_lengths("statistics_"),
    "KBinsDiscretizer": _check_lengths("bin_edges_", "n_bins_"),
    "OrdinalEncoder": _check_categories,
    "OneHotEncoder": _check_one_hot,
    **dict.fromkeys(("LogisticRegression", "LinearRegression", "Ridge", "RidgeClassifier", "Lasso"), _check_linear),
    **dict.fromkeys(("SVC", "NuSVC", "SVR", "NuSVR", "OneClassSVM"), _check_svm),
    **dict.fromkeys(("KDTree", "KDTree32", "BallTree", "BallTree32"), _check_neighbours),
    **dict.fromkeys(("csr_matrix", "csc_matrix", "bsr_matrix", "csr_array", "csc_array", "bsr_array"), _check_sparse),
}
