"""No feature of the use case sees the future, on the days that `USE_CASE.replay.tested` names.

It goes with a fork: it knows no column and no source. A feature that fails here would look better offline than it is.
"""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path

import numpy as np
import pytest
import yaml
from honesty import files_of, frames_of, made, moments_of, served_differently, unstable

from usecase import USE_CASE


@pytest.mark.parametrize("how", ["drop", "shuffle", "twice"])
def test_what_becomes_known_later_moves_no_feature(frames, how):
    for seed, cut in enumerate(moments_of(USE_CASE, frames, 4)):
        assert unstable(USE_CASE, frames, cut, how, seed=seed) == set(), f"asked by {cut}"


def test_training_sees_what_serving_made(frames):
    assert sorted(served_differently(USE_CASE, frames)) == []


def test_each_file_holds_only_what_became_known_on_its_day(files):
    assert files
    for path, rows in ((path, frames_of(USE_CASE, {path: text})) for path, text in files.items()):
        name, day = path.removesuffix(".csv").split("/")
        assert set(rows[name][USE_CASE.source(name).known_at].dt.strftime("%Y-%m-%d")) == {day[:10]}, path


def test_the_same_days_give_the_same_files(files):
    assert files_of(USE_CASE) == files


def test_features_are_finite_within_their_limits_and_some_are_there(frames):
    table = made(USE_CASE, frames)
    for feature in USE_CASE.features:
        values = table[feature.name].dropna()
        assert len(values), f"{feature.name} is missing in every row of the tested days"
        if feature.dtype != "string":
            assert np.isfinite(values).all(), feature.name
            assert values.between(*feature.limits).all(), f"{feature.name} is outside of {feature.limits}"


def test_every_feature_says_what_it_is_and_since_when_it_is_known():
    names = [feature.name for feature in USE_CASE.features]
    assert len(names) == len(set(names)) > 0
    assert [feature.name for feature in USE_CASE.features if not (feature.comment and feature.known_from)] == []


def test_the_days_of_the_job_integration_are_days_of_the_sample():
    days = yaml.safe_load((Path(__file__).parents[2] / "databricks.yml").read_text())["variables"]["trial_days"][
        "default"
    ]
    moments = [datetime.fromisoformat(days[name]).date() for name in ("trained", "scored", "measured")]
    assert moments == sorted(moments)
    if USE_CASE.replay:
        first, last = USE_CASE.replay.first_file, USE_CASE.replay.last_day
        since, until = (date.fromisoformat(days[name]) for name in ("since", "until"))
        assert first <= since < until <= last, "databricks.yml: trial_days lie outside of the days of `replay`"
