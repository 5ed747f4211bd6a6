"""The bikes, a second use case: its data, and two planted leaks, which the tests that go with a fork turn red."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import numpy as np
import pandas as pd
import pytest
from bikes import USE_CASE
from honesty import files_of, frames_of, made, moments_of, served_differently, unstable

from mlops.contract import feature


@pytest.fixture(scope="module")
def frames():
    return frames_of(USE_CASE, files_of(USE_CASE))


@feature(unit="bikes", known_from="the end of the hour itself: a leak")
def casual_riders(known):
    """Casual riders of the hour that is predicted, joined by its key."""
    counts = known.frames["rentals"].groupby("hour_id")["casual"].last()
    return known.rows["hour_id"].map(counts).to_numpy("float64")


@feature(unit="bikes", known_from="the end of the day: a leak")
def bikers_of_the_day(known):
    """Mean rentals of the same day, joined on the date."""
    ended = known.frames["rentals"]
    per_day = ended["bikers"].groupby((ended["reported_at"] - pd.Timedelta(minutes=65)).dt.date).mean()
    return known.rows["starts_at"].dt.date.map(per_day).to_numpy("float64")


LEAKS = {"casual_riders", "bikers_of_the_day"}
LEAKY = replace(USE_CASE, features=(*USE_CASE.features, casual_riders, bikers_of_the_day))


@pytest.mark.parametrize("how", ["drop", "shuffle", "twice"])
def test_two_planted_leaks_move_with_the_future_and_no_other_feature_does(frames, how):
    moved = set()
    for seed, cut in enumerate(moments_of(LEAKY, frames, 4)):
        moved |= unstable(LEAKY, frames, cut, how, seed=seed)
    assert moved == LEAKS


def test_training_sees_two_planted_leaks_otherwise_than_serving_made_them(frames):
    assert {name for _, name in served_differently(LEAKY, frames)} == LEAKS


def test_every_hour_of_the_year_is_there_and_an_hour_without_a_row_had_no_rental():
    files = dict(USE_CASE.sample(USE_CASE.replay.first_file, date(2012, 1, 1)))
    rows = frames_of(USE_CASE, files)
    assert len(rows["hours"]) == len(rows["rentals"]) == 365 * 24
    assert len(rows["weather"]) == 8645
    assert (rows["rentals"]["bikers"] == 0).sum() == 115
    assert rows["rentals"]["bikers"].sum() == 1243103
    assert (rows["rentals"]["casual"] + rows["rentals"]["registered"]).equals(rows["rentals"]["bikers"])


def test_the_model_is_the_same_in_every_fit_and_takes_what_it_has_never_seen(frames):
    rows = made(USE_CASE, frames)
    columns = [each.name for each in USE_CASE.features]
    labels = frames["rentals"].set_index("hour_id")["bikers"].reindex(rows.index).fillna(0)
    one, two = (USE_CASE.model.build({}).fit(rows[columns], labels) for _ in range(2))
    assert np.array_equal(one.predict(rows[columns]), two.predict(rows[columns]))
    strange = rows[columns].head(2).assign(situation=[None, "hail"], humidity=np.nan)
    assert np.isfinite(one.predict(strange)).all()
