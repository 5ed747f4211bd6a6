"""The plan of a training's sample, against plain loops over rows."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kinds import BINARY
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline

from mlops.contract import ConfigError
from mlops.data import sample_plan
from mlops.data.sample_plan import BUCKETS, plan_sample
from mlops.data.training_sample import weigh_rows
from mlops.modeling.fitting import fit_pipeline, takes_weights

CLASSES = st.dictionaries(st.sampled_from([0.0, 1.0, 2.0]), st.integers(0, 3000), min_size=1)


def drawn(sizes, seed):
    rng = np.random.default_rng(seed)
    return {name: rng.integers(0, BUCKETS, size) for name, size in sizes.items()}


def counted(rows):
    return {name: np.bincount(buckets, minlength=BUCKETS) for name, buckets in rows.items()}


@given(CLASSES, st.integers(50, 5000), st.integers(0, 5))
@settings(max_examples=60)
def test_a_sample_is_as_large_as_it_may_be_and_takes_the_rows_that_it_counts(sizes, limit, seed):
    rows = drawn(sizes, seed)
    plan = plan_sample(counted(rows), limit)
    total = sum(sizes.values())
    assert plan.kept == {name: int((buckets < plan.bounds[name]).sum()) for name, buckets in rows.items()}
    kept = sum(plan.kept.values())
    assert kept <= limit
    assert plan.is_whole == (total <= limit)
    assert plan.is_whole or kept >= limit - 5  # buckets hold few rows here
    for name, size in sizes.items():  # no class falls below its floor, if there is more than one
        assert len(sizes) == 1 or plan.kept[name] >= min(size, limit // 10 - 5)
        assert plan.weights.get(name, 1.0) >= 1.0


@given(CLASSES, st.integers(50, 2000), st.integers(50, 2000))
@settings(max_examples=30)
def test_a_smaller_sample_lies_within_a_larger_one(sizes, one, other):
    counts = counted(drawn(sizes, 0))
    small, large = (plan_sample(counts, limit) for limit in sorted((one, other)))
    assert all(small.bounds[name] <= large.bounds[name] for name in sizes)


def test_a_rare_class_keeps_its_rows_and_weights_restore_its_share():
    rows = drawn({0.0: 1_000_000, 1.0: 1000}, 1)
    plan = plan_sample(counted(rows), 20_000)
    assert plan.kept[1.0] == 1000
    assert 18_900 <= plan.kept[0.0] <= 19_000
    sample = pd.DataFrame({"label": np.repeat([0.0, 1.0], [plan.kept[0.0], plan.kept[1.0]])})
    weights = weigh_rows(sample, plan, SimpleNamespace(label=BINARY.label))
    assert np.average(sample["label"], weights=weights) == pytest.approx(1000 / 1_001_000, rel=1e-9)
    assert (
        plan.describe() == f"{sum(plan.kept.values()):,} of 1,001,000 labelled rows, weights 52.66 for 0.0, 1 for 1.0"
    )
    assert plan.common_bound == plan.bounds[0.0]


def test_common_classes_are_sampled_alike_without_weights():
    plan = plan_sample(counted(drawn({0.0: 8000, 1.0: 2000}, 2)), 3000)
    assert len(set(plan.bounds.values())) == 1
    assert set(plan.weights.values()) == {1.0}
    assert weigh_rows(pd.DataFrame({"label": [0.0]}), plan, SimpleNamespace(label=BINARY.label)) is None


def test_a_limit_that_takes_no_row_is_refused():
    counts = {1.0: np.full(BUCKETS, 7)}
    with pytest.raises(ConfigError, match="max_training_rows is 5, too few to sample"):
        plan_sample(counts, 5)
    assert sample_plan.plan_sample(counts, 7).kept == {1.0: 7}


def test_weights_reach_the_last_step_of_those_pipelines_that_take_them():
    inputs, labels = pd.DataFrame({"x": [0.0, 1.0, 2.0, 3.0]}), pd.Series([0.0, 2.0, 2.0, 0.0])
    repeated = np.repeat(np.arange(4), [1, 2, 3, 4])
    weighted = fit_pipeline(make_pipeline(LinearRegression()), inputs, labels, np.array([1.0, 2.0, 3.0, 4.0]))
    plain = fit_pipeline(make_pipeline(LinearRegression()), inputs.iloc[repeated], labels.iloc[repeated])
    assert weighted[-1].coef_ == pytest.approx(plain[-1].coef_)
    assert takes_weights(make_pipeline(LogisticRegression()))
    assert not takes_weights(make_pipeline(KNeighborsClassifier()))
    assert not takes_weights(make_pipeline(LogisticRegression(), "passthrough"))
    assert not takes_weights(LogisticRegression())


def test_a_sample_of_rows_without_a_label_is_all_of_them():
    assert plan_sample({}, 10).is_whole
