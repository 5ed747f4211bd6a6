"""Check the indices inside a fitted model: compiled code does not check them, so each must be within its array.

A tree with a child outside of its nodes reads foreign memory, and one with a child before its parent never ends. Python
code checks indices itself and raises. Types without a check here are covered by the separate process in which an
unaccepted model is scored (`mlops.modeling.isolated_scoring`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

_MOST = 5_000_000
"""Largest number of objects in a model; the largest forests have a tenth of it."""
_PLAIN = (str, bytes, int, float, complex, bool, type(None), type)


def find_broken_indices(root: object) -> list[str]:
    """List what is wrong with the indices of a fitted model, one sentence each; empty: they are safe to follow."""
    problems: list[str] = []
    for number, thing in enumerate(_walk(root)):
        if number > _MOST:
            return [*problems, f"it consists of more than {_MOST} objects"]
        check = _CHECKS.get(type(thing).__name__)
        if check is not None:
            problems += [f"{type(thing).__name__}: {text}" for text in check(thing)]
    return list(dict.fromkeys(problems))


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
    """Of support vector machines with a kernel: libsvm takes their rows by number, unchecked."""
    rows, support = int(model.shape_fit_[0]), np.asarray(model.support_)
    if ((support < 0) | (support >= rows)).any():
        yield f"a support vector lies outside of its {rows} rows"


def _check_neighbours(tree: Any) -> Iterator[str]:
    """Of k-d and ball trees: rows, their order, and the stretch of it that each node has."""
    data, order, nodes = (np.asarray(part) for part in tree.__getstate__()[:3])
    if not np.array_equal(np.sort(order), np.arange(len(data))):
        yield f"its order is none of its {len(data)} rows"
    start, end = nodes["idx_start"], nodes["idx_end"]
    if ((start < 0) | (end < start) | (end > len(data))).any():
        yield f"a node holds rows outside of its {len(data)}"


_CHECKS = {
    "TreePredictor": _check_predictor,
    "HistGradientBoostingClassifier": _check_boosting,
    "HistGradientBoostingRegressor": _check_boosting,
    "Tree": _check_tree,
    **dict.fromkeys(("SVC", "NuSVC", "SVR", "NuSVR", "OneClassSVM"), _check_svm),
    **dict.fromkeys(("KDTree", "KDTree32", "BallTree", "BallTree32"), _check_neighbours),
    **dict.fromkeys(("csr_matrix", "csc_matrix", "bsr_matrix", "csr_array", "csc_array", "bsr_array"), _check_sparse),
}
