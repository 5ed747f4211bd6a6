"""The flights: what the sample's files may hold, and the engine's features against a script written without it."""

from __future__ import annotations

import io
from datetime import date

import joblib
import numpy as np
import pandas as pd
import pytest
from benchmarks.bare import features

from mlops.lifecycle.pointintime import compute_features
from usecase import USE_CASE

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
    assert dict(USE_CASE.sample(SINCE, UNTIL)) == {path: text for path, text in files.items() if "2013" in path}


def test_a_missing_tail_number_does_not_tell_a_cancellation(frames):
    flights = frames["schedule"].merge(frames["outcomes"][["flight_id", "cancelled"]], on="flight_id")
    assert flights["cancelled"].sum() > 20
    assert flights.loc[flights["cancelled"] == 1, "tailnum"].notna().all()


def test_the_engine_makes_the_features_of_a_script_written_without_it(frames, landing):
    ours = made(frames)
    theirs = features(landing).set_index("flight_id").loc[ours["flight_id"]].reset_index()
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


def test_the_model_is_the_same_in_every_fit_and_takes_what_it_has_never_seen(frames):
    rows = made(frames)
    names = [feature.name for feature in USE_CASE.features]
    late = np.arange(len(rows)) % 3 == 0
    one, two = (USE_CASE.model.build({}).fit(rows[names], late) for _ in range(2))
    assert joblib.hash(one) == joblib.hash(two)
    strange = rows[names].head(2).assign(carrier=[None, "ZZ"], pressure=np.nan)
    assert np.isfinite(one.predict_proba(strange)).all()
