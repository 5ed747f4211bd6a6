"""Split the scores of trees into Shapley values of the trees themselves, many rows at once.

If a feature is left out, a row goes down both branches, weighted by the training rows of each.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pandas as pd

Array = np.ndarray[Any, Any]
_BITS = 32
"""Nodes whose answers are packed into one number."""


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
    """Whether an explained row goes left at a node: nodes x rows; of leaves nothing is read."""


def explain_tree(tree: Tree, count: int) -> tuple[float, Array]:
    """Compute the expected value of a tree and each row's Shapley values of `count` inputs; they sum to its answer.

    Returns:
        The expected value, and an array of rows x inputs.
    """
    # Rows that give the same answers at all nodes have the same values: of 10,000 rows usually some hundreds differ.
    codes = number_patterns(tree.goes_left[tree.left >= 0])
    patterns = np.empty((len(tree.left), codes.max(initial=-1) + 1), dtype=bool)
    patterns[:, codes] = tree.goes_left
    base, values = 0.0, np.zeros((patterns.shape[1], count))
    for leaf, path in _leaves(tree, patterns, 0, {}):
        zero = np.array([share for share, _ in path.values()])
        base += leaf * math.prod(zero)
        if path:
            one = np.array([on for _, on in path.values()], dtype=np.float64)
            values[:, list(path)] += leaf * product_shapley(zero, one).T
    return base, values[codes]


def number_patterns(answers: Array) -> Array:
    """Give each column of a table of yes and no a number from 0 on; equal columns get the same one."""
    codes: Array = np.zeros(answers.shape[1], dtype=np.int64)
    for start in range(0, len(answers), _BITS):
        part = answers[start : start + _BITS]
        bits = (1 << np.arange(len(part))) @ part
        # Codes are below the number of rows, so that both fit into 64 bits.
        codes = pd.factorize((codes << _BITS) | bits)[0]
    return codes


def _leaves(
    tree: Tree, patterns: Array, node: int, path: dict[int, tuple[float, Array]]
) -> Iterator[tuple[float, dict[int, tuple[float, Array]]]]:
    """Yield value and path of each leaf.

    A path has, per feature, the share of training rows that take its branches, and which patterns do.
    """
    if tree.left[node] < 0:
        yield float(tree.value[node]), path
        return
    feature = int(tree.feature[node])
    share, on = path.get(feature, (1.0, np.ones(patterns.shape[1], dtype=bool)))
    for child, taken in ((tree.left[node], patterns[node]), (tree.right[node], ~patterns[node])):
        part = share * float(tree.cover[child]) / float(tree.cover[node])
        yield from _leaves(tree, patterns, int(child), {**path, feature: (part, on & taken)})


def product_shapley(zero: Array, one: Array) -> Array:
    """Compute the Shapley values of games whose worth is a product over their players.

    A player contributes the factor `one` if it takes part and `zero` if not. If each other player takes part with the
    chance t, the mean worth of the others is the product of `zero + t * (one - zero)`. The value of a player is its
    change of factor times the integral of that over t from 0 to 1 (Owen, 1972): a polynomial of a degree below the
    number of players, for which Gauss' rule with half as many points is exact.

    Args:
        zero: factor of each player, above 0.
        one: players x games, 0 or 1.

    Returns:
        Players x games.
    """
    points, weights = _gauss_points((len(zero) + 1) // 2)
    change = one - zero[:, None]
    worth: Array = np.zeros_like(one)
    for t, weight in zip((points + 1) / 2, weights / 2, strict=True):
        factors = zero[:, None] + t * change  # above 0, as t is neither 0 nor 1
        worth += weight * factors.prod(axis=0) / factors
    return change * worth


@cache
def _gauss_points(count: int) -> tuple[Array, Array]:
    """Compute points and weights of Gauss' rule for the integral from -1 to 1."""
    return np.polynomial.legendre.leggauss(count)


def split_boosting(model: Any, rows: Array, index: int) -> tuple[float, Array]:
    """Explain scikit-learn's gradient boosting on histograms: a start value and a sum of trees."""
    # Private attributes, here and below: only they hold trees, start value and codes of categories.
    order: Array = np.arange(rows.shape[1])
    if model._preprocessor is not None:  # noqa: SLF001
        # The model encodes categories itself, and puts them before the numbers.
        rows = model._preprocessor.transform(rows)  # noqa: SLF001
        order = np.argsort(~model.is_categorical_, kind="stable")
    base, values = float(np.ravel(model._baseline_prediction)[index]), np.zeros(rows.shape)  # noqa: SLF001
    known, positions = model._bin_mapper.make_known_categories_bitsets()  # noqa: SLF001
    inputs, missing = np.ascontiguousarray(rows.T), np.ascontiguousarray(np.isnan(rows.T))
    for stage in model._predictors:  # noqa: SLF001
        nodes = stage[index].nodes
        goes: Array = np.zeros((len(nodes), len(rows)), dtype=bool)
        for place in np.flatnonzero(nodes["is_leaf"] == 0):
            feature, to_left = nodes[place]["feature_idx"], bool(nodes[place]["missing_go_to_left"])
            column, unseen = inputs[feature], missing[feature]
            if nodes[place]["is_categorical"]:
                unseen = ~_have_bits(known[positions[feature]], column)
                here = _have_bits(stage[index].raw_left_cat_bitsets[nodes[place]["bitset_idx"]], column)
            else:
                here = column <= nodes[place]["num_threshold"]
            goes[place] = np.where(unseen, to_left, here)
        left = np.where(nodes["is_leaf"] == 1, -1, nodes["left"].astype(np.int64))
        tree = Tree(left, nodes["right"], nodes["feature_idx"], nodes["count"], nodes["value"], goes)
        expected, added = explain_tree(tree, rows.shape[1])
        base += expected
        values += added
    return base, values[:, np.argsort(order)]


def _have_bits(bitset: Array, values: Array) -> Array:
    """Whether the bit of each value is set; missing values and those outside of 0 to 255 have none."""
    bits: Array = np.unpackbits(np.ascontiguousarray(bitset).view(np.uint8), bitorder="little").astype(bool)
    inside = (values >= 0) & (values < len(bits))
    is_set: Array = bits[np.where(inside, values, 0).astype(np.int64)]
    return inside & is_set
