"""Every input that a feature of the flights reads moves it, and two planted leaks are found by the look at honesty."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pandas as pd
import pytest
from honesty import made, served_differently, unstable

from mlops.contract import Feature, feature
from mlops.data.point_in_time import columns_read
from usecase import USE_CASE

SINCE = USE_CASE.replay.tested[0]
FIRST = pd.Timestamp(SINCE) + timedelta(days=1)


@pytest.fixture(scope="module")
def airport(frames):
    """One of the three airports, cheap to look at often, with every kind of history."""
    return {name: rows[rows["origin"] == "LGA"] if "origin" in rows else rows for name, rows in frames.items()}


@feature(unit="min", known_from="the scheduled departure, landed or not: a leak")
def leak_c(known):
    """Mean arrival delay of the origin's flights of the last 3 hours, where the window ends at the departure."""
    ended = known.frames["outcomes"]
    ended = ended.assign(known_at=ended["scheduled_departure"]).sort_values("known_at").dropna(subset=["arrival_delay"])
    departs = known.rows["scheduled_departure"].to_numpy()
    total = np.append(0.0, ended["arrival_delay"].cumsum())
    first, last = (
        np.searchsorted(ended["known_at"].to_numpy(), departs - hours, "right")
        for hours in (np.timedelta64(3, "h"), np.timedelta64(0, "h"))
    )
    return (total[last] - total[first]) / np.maximum(last - first, 1)


@feature(unit="share", known_from="the end of the day: a leak")
def leak_d(known):
    """Share of late arrivals of the origin's flights of the same day, joined on the date."""
    ended = known.frames["outcomes"]
    late = (ended["arrival_delay"] > 15).groupby(ended["scheduled_departure"].dt.date).mean()
    return known.rows["scheduled_departure"].dt.date.map(late).to_numpy()


@pytest.mark.parametrize("how", ["drop", "shuffle"])
def test_the_two_planted_leaks_are_found_by_the_same_look(airport, how):
    cut = FIRST + timedelta(hours=40)
    watched = [*USE_CASE.features, leak_c, leak_d]
    assert unstable(USE_CASE, airport, cut, how, features=watched) == {"leak_c", "leak_d"}


def test_training_sees_the_two_planted_leaks_otherwise_than_serving_would(airport):
    assert {name for _, name in served_differently(USE_CASE, airport, [leak_c, leak_d])} == {"leak_c", "leak_d"}


def read_by(one: Feature) -> list[tuple[str, str]]:
    """Source and column that a feature looks at, but for keys, which only order rows known at the same moment."""
    read = columns_read(USE_CASE.entity, [one], USE_CASE.sources)
    keys = {"flight_id"}
    return [(source, column) for source, columns in read.items() for column in columns if column not in keys]


INPUTS = [(one, *pair) for one in USE_CASE.features for pair in read_by(one)]


def changed(rows: pd.DataFrame, column: str) -> pd.DataFrame:
    """Times two months later, numbers half a unit more, texts of nobody."""
    values = rows[column]
    if values.dtype.kind == "M":
        return rows.assign(**{column: values + timedelta(days=60)})
    return rows.assign(**{column: "nobody" if values.dtype.kind not in "if" else values + 0.5})


@pytest.mark.parametrize(
    ("one", "source", "column"), INPUTS, ids=[f"{one.name}-{source}.{column}" for one, source, column in INPUTS]
)
def test_a_known_input_that_changes_moves_its_feature(airport, one, source, column):
    entities = airport["schedule"].sample(400, random_state=0)
    other = {**airport, source: changed(airport[source], column)}
    left, right = (made(USE_CASE, world, [one], entities)[one.name] for world in (airport, other))
    assert not left.equals(right)


@pytest.mark.parametrize("one", [f for f in USE_CASE.features if not read_by(f)], ids=lambda f: f.name)
def test_a_feature_of_the_flight_itself_moves_with_its_schedule(airport, one):
    entities = airport["schedule"].sample(50, random_state=0).assign(published_at=pd.Timestamp(SINCE))
    other = entities.assign(
        carrier="XX", origin="XXX", dest="YYY", distance=123.0,
        scheduled_departure=entities["scheduled_departure"] + timedelta(hours=25),
        scheduled_arrival=entities["scheduled_arrival"] + timedelta(hours=26),
    )  # fmt: skip
    left, right = (made(USE_CASE, airport, [one], rows)[one.name] for rows in (entities, other))
    assert not (left == right).any()


def test_a_missing_value_stays_missing(airport):
    numbers = made(USE_CASE, airport).select_dtypes("number")
    assert numbers["plane_seats"].isna().any()
    assert numbers["pressure"].isna().any()
