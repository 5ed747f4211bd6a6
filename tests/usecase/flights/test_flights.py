"""The flights: what the sample's files may hold, and the engine's features against a script written without it."""

from __future__ import annotations

from datetime import date, timedelta

import joblib
import numpy as np
import pandas as pd
from benchmarks.bare import features
from honesty import made
from threadpoolctl import threadpool_limits

from mlops.data.feature_families import find_families
from usecase import USE_CASE

SINCE, UNTIL = USE_CASE.replay.tested
COLUMNS = [feature.name for feature in USE_CASE.features]


def test_files_have_the_columns_of_their_source(files):
    assert len(files) > 15
    for path, text in files.items():
        source = USE_CASE.source(path.split("/")[0])
        assert sorted(text.splitlines()[0].split(",")) == sorted(column.name for column in source.columns)


def test_a_missing_tail_number_does_not_tell_a_cancellation(frames):
    flights = frames["schedule"].merge(frames["outcomes"][["flight_id", "cancelled"]], on="flight_id")
    assert flights["cancelled"].sum() > 20
    assert flights.loc[flights["cancelled"] == 1, "tailnum"].notna().all()


def test_only_flights_that_left_are_reported_as_departed_and_only_then(frames):
    flights = frames["departures"].merge(frames["outcomes"][["flight_id", "cancelled"]], on="flight_id")
    left = frames["departures"]["scheduled_departure"] + pd.to_timedelta(frames["departures"]["departure_delay"], "min")
    assert len(flights) > 3000
    assert flights["cancelled"].sum() == 0
    assert (frames["departures"]["reported_at"] - left == pd.Timedelta("5min")).all()


def test_every_feature_of_the_module_is_in_the_use_case_once_and_says_what_it_is():
    assert len(COLUMNS) == len(set(COLUMNS)) == 43
    for feature in USE_CASE.features:
        assert feature.comment.endswith(".")
        assert feature.known_from
        assert feature.dtype == "string" or all(np.isfinite(feature.limits)), feature.name


def test_the_engine_makes_the_features_of_a_script_written_without_it(frames, landing):
    ours = made(USE_CASE, frames)
    # Before that, flights were due whose schedule is in no file.
    ours = ours[ours["prediction_time"] >= pd.Timestamp(SINCE) + pd.Timedelta("27h")]
    theirs = features(landing).set_index("flight_id").loc[ours.index]
    assert len(ours) > 3000
    for feature in USE_CASE.features:
        left, right = ours[feature.name], theirs[feature.name]
        assert left.notna().sum() > 100, feature.name
        if feature.dtype == "string":
            assert left.equals(right), feature.name
        else:
            np.testing.assert_allclose(left, right, rtol=1e-12, err_msg=feature.name)


def test_the_model_is_the_same_in_every_fit_and_takes_what_it_has_never_seen(frames):
    rows = made(USE_CASE, frames)
    late = np.arange(len(rows)) % 3 == 0
    with threadpool_limits(limits=1):
        one, two = (USE_CASE.model.build({}).fit(rows[COLUMNS], late) for _ in range(2))
    assert joblib.hash(one) == joblib.hash(two)
    strange = rows[COLUMNS].head(2).assign(carrier=[None, "ZZ"], pressure=np.nan)
    assert np.isfinite(one.predict_proba(strange)).all()


def test_the_year_is_replayed_in_ten_windows_and_april_is_the_first():
    windows = list(USE_CASE.replay.list_windows(date(2013, 12, 31)))
    assert len(windows) == 10
    assert windows[0] == (date(2013, 4, 1), date(2013, 4, 30))


def test_the_figures_of_all_flights_read_one_day_of_28_days_of_history():
    (alone,) = (family for family in find_families(USE_CASE) if not family.keys)
    assert alone.reach == {"outcomes": timedelta(days=1)}
