"""Columns of a group of rows, as workers get them."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from mlops.contract.data import FeatureType
from mlops.data.feature_blocks import _unpack_rows
from mlops.data.readers import ARROW_TYPES

LONGS = st.one_of(st.none(), st.integers(-3, 3), st.integers(-(2**63), 2**63 - 1))


@given(st.lists(LONGS, min_size=1), st.lists(LONGS))
def test_optional_whole_numbers_are_exact_whatever_else_the_group_holds(values, others):
    """Ids above 2^53 that differ by one are two ids; missing values of other rows change nothing."""
    everything = [*values, *others]
    group = pd.DataFrame(
        {
            "_kind": ["mine"] * len(values) + ["other"] * len(others),
            "n__long?": np.array([value or 0 for value in everything], "int64"),
            "n__long?_missing": [value is None for value in everything],
        }
    )
    (column,) = _unpack_rows(group, "mine", ["n"], {"n": "n__long?"}).items()
    read = column[1].to_numpy("object")
    assert [None if pd.isna(value) else int(value) for value in read] == values
    codes = pd.factorize(read)[0]
    assert [code < 0 for code in codes] == [value is None for value in values]
    assert len({*codes} - {-1}) == len({*values} - {None})


def test_a_feature_of_each_type_can_be_computed_in_this_process():
    assert {*get_args(FeatureType)} <= {*ARROW_TYPES}
