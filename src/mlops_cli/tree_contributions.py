"""Split the score of trees into Shapley values of the trees themselves.

If a feature is left out, a row goes down both branches, weighted by the training rows of each.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Tree:
    """One tree as arrays, one value per node; node 0 is the root."""

    left: Array
    """The left child; negative: a leaf."""
    right: Array
    feature: Array
    cover: Array
    """Training rows that reached the node."""
    value: Array
    goes_left: Array
    """Whether the explained row goes left at the node."""


def explain_tree(tree: Tree, count: int) -> tuple[float, Array]:
    """Compute the expected value of a tree and the Shapley value of each of `count` inputs; they sum to its answer."""
    base, values = 0.0, np.zeros(count)
    for leaf, path in _leaves(tree, 0, {}):
        zero = [share for share, _ in path.values()]
        base += leaf * math.prod(zero)
        for feature, weight in zip(path, product_shapley(zero, [float(on) for _, on in path.values()]), strict=True):
            values[feature] += leaf * weight
    return base, values


def _leaves(
    tree: Tree, node: int, path: dict[int, tuple[float, bool]]
) -> Iterator[tuple[float, dict[int, tuple[float, bool]]]]:
    """Yield value and path of each leaf.

    A path has, per feature, the share of training rows that take its branches, and whether the explained row does.
    """
    if tree.left[node] < 0:
        yield float(tree.value[node]), path
        return
    feature = int(tree.feature[node])
    share, on = path.get(feature, (1.0, True))
    for child, taken in ((tree.left[node], tree.goes_left[node]), (tree.right[node], not tree.goes_left[node])):
        part = share * float(tree.cover[child]) / float(tree.cover[node])
        yield from _leaves(tree, int(child), {**path, feature: (part, on and bool(taken))})


def product_shapley(zero: Sequence[float], one: Sequence[float]) -> list[float]:
    """Compute the Shapley values of a game whose worth is a product over its players.

    A player contributes the factor `one` if it takes part and `zero` if not. The value of a player is its change of
    factor times the mean worth of the others over all orders. Coefficient k of the polynomial below is the sum of the
    worths over all choices of k others, of which each has the weight k! (n - 1 - k)! / n!.
    """
    size = len(zero)
    weights = np.array([1 / (size * math.comb(size - 1, k)) for k in range(size)])
    values = []
    for player in range(size):
        worths: Array = np.ones(1)
        for other in range(size):
            if other != player:
                worths = np.convolve(worths, (zero[other], one[other]))
        values.append((one[player] - zero[player]) * float(worths @ weights))
    return values


def split_boosting(model: Any, row: Array, index: int) -> tuple[float, Array]:
    """Explain scikit-learn's gradient boosting on histograms: a start value and a sum of trees."""
    # Private attributes, here and below: only they hold trees, start value and codes of categories.
    order: Array = np.arange(len(row))
    if model._preprocessor is not None:  # noqa: SLF001
        # The model encodes categories itself, and puts them before the numbers.
        row = model._preprocessor.transform(row[None, :])[0]  # noqa: SLF001
        order = np.argsort(~model.is_categorical_, kind="stable")
    base, values = float(np.ravel(model._baseline_prediction)[index]), np.zeros(len(row))  # noqa: SLF001
    known, positions = model._bin_mapper.make_known_categories_bitsets()  # noqa: SLF001
    for stage in model._predictors:  # noqa: SLF001
        nodes = stage[index].nodes
        goes = [_goes_left(node, row, stage[index].raw_left_cat_bitsets, known, positions) for node in nodes]
        left = np.where(nodes["is_leaf"] == 1, -1, nodes["left"].astype(np.int64))
        tree = Tree(left, nodes["right"], nodes["feature_idx"], nodes["count"], nodes["value"], np.array(goes))
        expected, added = explain_tree(tree, len(row))
        base, values[order] = base + expected, values[order] + added
    return base, values


def _goes_left(node: Any, row: Array, bitsets: Array, known: Array, positions: Array) -> bool:
    """Whether a row goes left at a node in scikit-learn: missing and unseen values go where the node says."""
    value = row[node["feature_idx"]]
    if not node["is_categorical"]:
        return bool(node["missing_go_to_left"]) if np.isnan(value) else bool(value <= node["num_threshold"])
    unseen = np.isnan(value) or not 0 <= value < 256 or not _has_bit(known[positions[node["feature_idx"]]], value)
    return bool(node["missing_go_to_left"]) if unseen else _has_bit(bitsets[node["bitset_idx"]], value)


def _has_bit(bitset: Array, value: float) -> bool:
    return bool((int(bitset[int(value) // 32]) >> (int(value) % 32)) & 1)
