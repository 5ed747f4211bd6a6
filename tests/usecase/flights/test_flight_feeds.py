"""The flights' feeds wrong as a whole: each is blocked by its own rules, before anything learns from it."""

from __future__ import annotations

import io
import re
from datetime import UTC, date, datetime, timedelta
from functools import cache

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from mlops.data import expectations, quarantine, readers
from mlops.data.agreement import find_disagreements
from mlops.data.file_formats import File
from usecase import USE_CASE

NOW = datetime(2014, 1, 3, tzinfo=UTC)
DAYS = [date(2013, 2, 5), date(2013, 9, 17)]
"""One of winter and one of summer time, when fewest flights leave late."""
MONTHS = [date(2013, month, 17) for month in range(1, 13)]


@cache
def texts(day):
    return {name.split("/")[0]: text for name, text in USE_CASE.sample(day, day)}


def judge(name, *contents):
    source = USE_CASE.source(name)
    files = [File(f"{n}.csv", str(n), len(content), NOW, content.encode()) for n, content in enumerate(contents)]
    rows = readers.read_files(source, files)
    outcomes = expectations.run_expectations(rows.table.take(rows.read), source.expectations())
    return quarantine.split_valid_rows(source, files, rows, outcomes, ())


def frame_of(name, day):
    return pd.read_csv(
        io.StringIO(texts(day)[name]), dtype={"flight_id": str, "built": "Int64"}, keep_default_na=False, na_values=[""]
    )


@cache
def good_rows(name, day):
    """What is taken in of a day's feed as it is."""
    return judge(name, texts(day)[name]).good


def moved(column, hours):
    def change(rows):
        moments = pd.to_datetime(rows[column]) + timedelta(hours=hours)
        return rows.assign(**{column: moments.dt.strftime("%Y-%m-%dT%H:%M:%SZ")})

    return change


def made(column, value):
    """A column made by a function of the rows, or one value in all of them."""
    return lambda rows: rows.assign(**{column: value(rows) if callable(value) else value})


def some(share, change):
    """The change in a share of the rows, spread evenly."""

    def changed(rows):
        chosen = pd.Series((np.arange(len(rows)) * share) % 1 < share, rows.index)
        return pd.concat([change(rows[chosen]), rows[~chosen]]).sort_index()

    return changed


def rolled(column, by=1):
    """The column shifted by some rows against the others."""
    return made(column, lambda rows: np.roll(rows[column], by))


def times(column, factor, digits=4):
    return made(column, lambda rows: (rows[column] * factor).round(digits))


def local(rows):
    """Times of New York that say they are UTC."""
    for column in ("scheduled_departure", "scheduled_arrival"):
        zoned = pd.to_datetime(rows[column]).dt.tz_convert("America/New_York")
        rows = rows.assign(**{column: zoned.dt.strftime("%Y-%m-%dT%H:%M:%SZ")})
    return rows


def twice(rows):
    """Times taken to be New York's, although they were UTC, and converted again."""
    for column in ("scheduled_departure", "scheduled_arrival"):
        wall = pd.to_datetime(rows[column]).dt.tz_localize(None)
        zoned = wall.dt.tz_localize("America/New_York", ambiguous=True, nonexistent="shift_forward")
        rows = rows.assign(**{column: zoned.dt.tz_convert("UTC").dt.strftime("%Y-%m-%dT%H:%M:%SZ")})
    return rows


def no_flight(rows):
    """Every flight cancelled, and nothing known of any."""
    return rows.assign(cancelled=1, diverted=0, departure_delay=np.nan, arrival_delay=np.nan)


def of_carrier(code):
    """Flights of another carrier, by their keys, too."""
    return lambda rows: rows.assign(carrier=code, flight_id=rows.flight_id.str[:9] + code + rows.flight_id.str[11:])


FAULTS = {
    "wind in km/h": ("weather", times("wind_speed", 1.609344, 5)),
    "wind in km/h for a third of the hours": ("weather", some(0.34, times("wind_speed", 1.609344, 5))),
    "wind in whole km/h": ("weather", times("wind_speed", 1.609344, 0)),
    "wind in m/s": ("weather", times("wind_speed", 0.44704, 1)),
    "wind in knots": ("weather", times("wind_speed", 1 / 1.15078, 0)),
    "dew point in °C": ("weather", made("dew_point", lambda rows: ((rows.dew_point - 32) / 1.8).round(1))),
    "temperature in °C": ("weather", made("temperature", lambda rows: ((rows.temperature - 32) / 1.8).round(1))),
    "visibility in km": ("weather", times("visibility", 1.609344, 2)),
    "directions in radians": ("weather", made("wind_direction", lambda rows: np.radians(rows.wind_direction))),
    "arrivals an hour later": ("schedule", moved("scheduled_arrival", 1)),
    "arrivals an hour earlier": ("schedule", moved("scheduled_arrival", -1)),
    "arrivals three hours later": ("schedule", moved("scheduled_arrival", 3)),
    "a third of the arrivals in another zone": ("schedule", some(0.34, moved("scheduled_arrival", 1))),
    "local times that say UTC": ("schedule", local),
    "UTC twice": ("schedule", twice),
    "unknown destinations": ("schedule", some(0.05, made("dest", "ZZZ"))),
    "destinations in other codes": ("schedule", made("dest", lambda rows: "K" + rows.dest)),
    "unknown carriers": ("schedule", some(0.05, of_carrier("ZZ"))),
    "a third of the tail numbers missing": ("schedule", some(0.35, made("tailnum", np.nan))),
    "tail numbers that are NULL": ("schedule", some(0.35, made("tailnum", "NULL"))),
    "tail numbers without their N": ("schedule", made("tailnum", lambda rows: rows.tailnum.str[1:])),
    "distances in km": ("schedule", times("distance", 1.609344, 0)),
    "distances in nautical miles": ("schedule", times("distance", 0.868976, 0)),
    "schedules published a year before": ("schedule", some(0.5, moved("published_at", -24 * 365))),
    "no wind": ("weather", made("wind_speed", 0)),
    "the same rain in every hour": ("weather", made("precipitation", 0.1)),
    "humidity that is empty": ("weather", made("humidity", np.nan)),
    "pressure that is empty": ("weather", made("pressure", np.nan)),
    "visibility missing in a third": ("weather", some(0.34, made("visibility", np.nan))),
    "tail numbers cut off": ("schedule", made("tailnum", lambda rows: rows.tailnum.str[:4])),
    "tail numbers in small letters": ("departures", some(0.5, made("tailnum", lambda rows: rows.tailnum.str.lower()))),
    "one aircraft for all": ("schedule", made("tailnum", "N12345")),
    "one destination for all": ("departures", made("dest", "LAX")),
    "flight numbers that are all 0": ("departures", made("flight", 0)),
    "flight numbers of the next row": ("outcomes", some(0.5, rolled("flight"))),
    "carriers of another row": ("outcomes", made("carrier", lambda rows: rows.carrier.to_numpy()[::-1])),
    "keys of the next row": ("schedule", rolled("flight_id")),
    "destinations of the next row": ("schedule", rolled("dest")),
    "destinations of the row before": ("outcomes", rolled("dest", -1)),
    "destinations of the row after": ("departures", rolled("dest")),
    "tail numbers of the row before": ("departures", rolled("tailnum", -1)),
    "tail numbers of the row after": ("outcomes", rolled("tailnum")),
    "tail numbers of a row far away": ("outcomes", rolled("tailnum", 50)),
    "temperatures of the row before": ("weather", rolled("temperature")),
    "dew points of the row after": ("weather", rolled("dew_point", -1)),
    "humidities of the hour before": ("weather", rolled("humidity", 3)),
    "a third of the destinations of another row": ("schedule", some(0.34, rolled("dest", 3))),
    "distances of the next row": ("schedule", rolled("distance")),
    "labels of the next row": ("outcomes", rolled("arrival_delay")),
    "labels of the row before": ("outcomes", rolled("arrival_delay", -1)),
    "labels of a row far away": ("outcomes", rolled("arrival_delay", 100)),
    "departures of the next row": ("departures", rolled("departure_delay")),
    "keys that lost their zeros": (
        "outcomes",
        some(0.5, made("flight_id", lambda rows: rows.flight_id.str.replace("(?<=-..)0+", "", regex=True))),
    ),
    "sensors that stand still": (
        "weather",
        some(0.5, lambda rows: rows.assign(pressure=1017.2, temperature=rows.temperature.iloc[0])),
    ),
    "no visibility": ("weather", made("visibility", 0)),
    "keys that are N/A": ("schedule", made("flight_id", "N/A")),
    "keys that a spreadsheet rounded": ("schedule", made("flight_id", "2.0130xE+15")),
    "keys without their origin": ("schedule", made("flight_id", lambda rows: rows.flight_id.str[:-4])),
    "departures missing a third of the tails": ("departures", some(0.35, made("tailnum", np.nan))),
    "departures scheduled in another zone": ("departures", moved("scheduled_departure", 2)),
    "departures reported three hours late": ("departures", moved("reported_at", 3)),
    "departures reported before they left": ("departures", moved("reported_at", -1)),
    "keys of another day": ("departures", made("flight_id", lambda rows: "20130101" + rows.flight_id.str[8:])),
    "arrivals reported an hour early": ("outcomes", moved("reported_at", -1)),
    "arrivals reported an hour late": ("outcomes", moved("reported_at", 1)),
    "arrivals reported in local time": ("outcomes", moved("reported_at", -4)),
    "outcomes scheduled in another zone": ("outcomes", moved("scheduled_departure", 1)),
    "departures in hours": ("departures", times("departure_delay", 1 / 60)),
    "departures in whole hours": ("departures", times("departure_delay", 1 / 60, 0)),
    "half of the departures in whole hours": ("departures", some(0.5, times("departure_delay", 1 / 60, 0))),
    "departures without a delay": ("departures", made("departure_delay", 0)),
    "labels empty": ("outcomes", made("arrival_delay", np.nan)),
    "labels in hours": ("outcomes", times("arrival_delay", 1 / 60)),
    "labels in whole hours": ("outcomes", times("arrival_delay", 1 / 60, 0)),
    "a third of the labels in whole hours": ("outcomes", some(0.34, times("arrival_delay", 1 / 60, 0))),
    "labels of the departure": ("outcomes", made("arrival_delay", lambda rows: rows.departure_delay)),
    "labels in whole quarters of an hour": ("outcomes", times("arrival_delay", 1 / 15, 0)),
    "half of the labels 0": ("outcomes", some(0.5, made("arrival_delay", lambda rows: rows.arrival_delay * 0))),
    "labels in seconds": ("outcomes", times("arrival_delay", 60)),
    "labels all 0": ("outcomes", made("arrival_delay", lambda rows: rows.arrival_delay.clip(upper=15))),
    "no delay at all": ("outcomes", made("arrival_delay", lambda rows: rows.arrival_delay * 0)),
    "labels all 1": ("outcomes", made("arrival_delay", lambda rows: rows.arrival_delay.abs() + 16)),
    "delays without their sign": ("outcomes", made("arrival_delay", lambda rows: rows.arrival_delay.abs())),
    "all cancelled": ("outcomes", no_flight),
    "all diverted": ("outcomes", lambda rows: rows.assign(arrival_delay=np.nan, diverted=1 - rows.cancelled)),
    "outcomes missing a third of the tails": ("outcomes", some(0.35, made("tailnum", np.nan))),
}  # fmt: skip


def every(step, cases):
    """All cases, of which the default run has every so many."""
    return [case if n % step == 0 else pytest.param(case, marks=pytest.mark.nightly) for n, case in enumerate(cases)]


@pytest.mark.parametrize("fault", every(7, FAULTS))
def test_a_feed_that_is_wrong_as_a_whole_is_blocked(fault):
    name, change = FAULTS[fault]
    day = DAYS[1 if "UTC" in fault else list(FAULTS).index(fault) % 2]
    judged = judge(name, change(frame_of(name, day)).to_csv(index=False))
    assert judged.problems, judged.summary


@pytest.mark.nightly
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("fault", FAULTS)
def test_a_feed_that_is_wrong_as_a_whole_is_blocked_in_every_month(fault):
    name, change = FAULTS[fault]
    for day in MONTHS:
        assert judge(name, change(frame_of(name, day)).to_csv(index=False)).problems, day


REFERENCES = {
    "tail numbers in small letters": ("planes", made("tailnum", lambda rows: rows.tailnum.str.lower())),
    "tail numbers without their N": ("planes", made("tailnum", lambda rows: rows.tailnum.str[1:])),
    "seats and engines swapped": ("planes", lambda rows: rows.assign(seats=rows.engines, engines=rows.seats)),
    "tail numbers of the next row": ("planes", rolled("tailnum")),
    "tail numbers of the row before": ("planes", rolled("tailnum", -1)),
    "seats of the next row": ("planes", rolled("seats")),
    "years of the next row": ("planes", rolled("built")),
    "models of the next row": ("planes", rolled("model")),
    "seats that are all alike": ("planes", made("seats", 1)),
    "no year of manufacture": ("planes", made("built", pd.NA)),
    "airports in small letters": ("airports", made("airport", lambda rows: rows.airport.str.lower())),
    "latitude and longitude swapped": (
        "airports", lambda rows: rows.assign(latitude=rows.longitude, longitude=rows.latitude)
    ),
    "carriers by name": ("airlines", made("carrier", lambda rows: rows["name"])),
}  # fmt: skip


@pytest.mark.parametrize("fault", every(3, REFERENCES))
def test_a_reference_table_that_is_wrong_as_a_whole_is_blocked(fault):
    name, change = REFERENCES[fault]
    rows = frame_of(name, date(2012, 12, 31))
    assert judge(name, rows.to_csv(index=False)).problems == ()
    assert judge(name, change(rows).to_csv(index=False)).problems


@pytest.mark.parametrize("hours", every(2, [-5, -4, 4, 5]))
def test_two_weeks_of_weather_in_another_zone_are_blocked(hours):
    days = pd.date_range("2013-04-02", periods=14)
    rows = pd.concat([frame_of("weather", day.date()) for day in days])
    assert judge("weather", rows.to_csv(index=False)).problems == ()
    assert judge("weather", moved("observed_at", hours)(rows).to_csv(index=False)).problems


def test_a_schedule_published_at_another_hour_is_taken_in_with_a_warning():
    rows = moved("published_at", 5)(frame_of("schedule", DAYS[0]))
    judged = judge("schedule", rows.to_csv(index=False))
    assert judged.problems == ()
    assert f"; WARNING: {len(rows)} of {len(rows)} rows break published_at:be_null" in judged.summary
    assert "WARNING" not in judge("schedule", texts(DAYS[0])["schedule"]).summary


def test_rain_in_millimetres_is_blocked_where_it_rains():
    rows = frame_of("weather", date(2013, 6, 8))
    assert judge("weather", rows.to_csv(index=False)).problems == ()
    judged = judge("weather", times("precipitation", 25.4, 2)(rows).to_csv(index=False))
    assert re.search(r"19 of 69 rows break precipitation:be_null\[precipitation > 0.5\]", judged.problems[0])


@pytest.mark.parametrize("factor", [1000, 1.4])
def test_one_bad_row_blocks_nothing(factor):
    rows = frame_of("schedule", DAYS[0]).astype({"distance": float})
    rows.loc[5, "distance"] = rows.loc[5, "distance"] * factor
    judged = judge("schedule", rows.to_csv(index=False))
    assert judged.problems == ()
    assert judged.good.num_rows == len(rows) - (factor == 1000)


@pytest.mark.parametrize("column", ["tailnum", "arrival_delay"])
def test_one_bad_row_that_spoils_the_others_of_its_group_blocks_no_small_batch(column):
    """One row with another aircraft's number, or with a delay that moves the median of a route of two flights."""
    rows = frame_of("outcomes", DAYS[0])
    rows = rows[(rows.cancelled == 0) & (rows.diverted == 0)].reset_index(drop=True)
    if column == "tailnum":
        busy = rows.tailnum.value_counts().index[0]
        group = rows[rows.tailnum == busy].index
        stray = rows[rows.carrier > rows.carrier[group[0]]].index[0]
        rows.loc[stray, "tailnum"] = busy
    else:
        group = rows[rows.dest == rows.dest.value_counts().loc[lambda counts: counts == 2].index[0]].index
        stray = group[0]
        rows.loc[stray, "arrival_delay"] += 150
    chosen = [*dict.fromkeys([stray, *group, *rows.index[::8]])][:110]
    assert judge("outcomes", rows.loc[chosen].to_csv(index=False)).problems == ()


def test_a_correction_of_a_whole_day_is_taken_in():
    rows = frame_of("schedule", DAYS[0])
    corrected = moved("published_at", 1)(rows.assign(tailnum=np.roll(rows.tailnum, 1)))
    judged = judge("schedule", rows.to_csv(index=False), corrected.to_csv(index=False))
    assert (judged.problems, judged.bad) == ((), 0)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("planes", {"seats": 0}),
        ("planes", {"built": 12}),
        ("schedule", {"scheduled_arrival": "2014-02-06T00:00:00Z"}),
        ("weather", {"humidity": 101}),
        ("departures", {"departure_delay": -181}),
    ],
)
def test_a_value_that_would_stop_the_features_is_set_aside(name, values):
    day = date(2012, 12, 31) if name == "planes" else DAYS[0]
    rows = frame_of(name, day)
    for column, value in values.items():
        rows[column] = rows[column].astype(object)
        rows.loc[3, column] = value
    judged = judge(name, rows.to_csv(index=False))
    assert (judged.problems, judged.bad) == ((), 1)


@pytest.mark.nightly
@pytest.mark.timeout(900)
@pytest.mark.parametrize("length", [1, 7, 28, 365])
def test_the_sample_keeps_its_contract_but_for_one_gust(length):
    """Every delivery of that many days: nothing is blocked, and only the 1048 mph of 12 February are set aside."""
    starts = pd.date_range("2012-12-31", "2013-12-31")
    files = dict(USE_CASE.sample(starts[0].date(), starts[-1].date()))
    aside, good = [], {source.name: [] for source in USE_CASE.sources}
    for first in range(0, len(starts), length if length > 1 else 9):  # of single days every ninth
        wanted = {f"{day:%Y-%m-%d}.csv" for day in starts[first : first + length]}
        for source in USE_CASE.sources:
            named = [(name, text.encode()) for name, text in files.items() if name.split("/")[0] == source.name]
            here = [File(name, name, 0, NOW, text) for name, text in named if name.split("/")[1] in wanted]
            if here:
                rows = readers.read_files(source, here)
                outcomes = expectations.run_expectations(rows.table.take(rows.read), source.expectations())
                judged = quarantine.split_valid_rows(source, here, rows, outcomes, ())
                assert judged.problems == ()
                assert "WARNING" not in judged.summary
                good[source.name].append(judged.good)
                aside += [(each.file.name, each.rule) for each in judged.broken]
    assert aside in ([("weather/2013-02-12.csv", "wind_speed:be_between")], [])
    assert aside or length == 1
    for source in USE_CASE.sources:
        for other in source.agrees_with:
            assert find_disagreements(source, pa.concat_tables(good[source.name]), other, good[other]) == []


CHANGES = {
    **{
        f"{column} of another row": (column, rolled(column, 1)) for column in ("dest", "tailnum", "scheduled_departure")
    },
    "some tails of the row before": ("tailnum", some(0.2, rolled("tailnum", -1))),
    "half an hour early": ("scheduled_departure", moved("scheduled_departure", -0.5)),
}


@pytest.mark.parametrize("change", every(2, CHANGES))
@pytest.mark.parametrize("name", ["departures", "outcomes"])
def test_flights_that_contradict_their_schedule_are_blocked(name, change):
    source, (column, damage) = USE_CASE.source(name), CHANGES[change]
    before = date.fromordinal(DAYS[0].toordinal() - 1)
    schedules = [good_rows("schedule", day) for day in (before, DAYS[0])]
    damaged = judge(name, damage(frame_of(name, DAYS[0])).to_csv(index=False)).good
    assert find_disagreements(source, good_rows(name, DAYS[0]), "schedule", schedules) == []
    problems = find_disagreements(source, damaged, "schedule", schedules)
    assert [problem.split()[1] for problem in problems] == [column]
    # A schedule with the same fault is as wrong, and nothing contradicts it; its own rules have to.
    assert find_disagreements(source, damaged, "schedule", [damaged]) == []


def test_delays_of_departures_and_outcomes_have_to_agree():
    source = USE_CASE.source("outcomes")
    departures = good_rows("departures", DAYS[0])
    rows = frame_of("outcomes", DAYS[0])
    for damage, blocked in ((lambda rows: rows, False), (rolled("departure_delay"), True)):
        good = judge("outcomes", damage(rows).to_csv(index=False)).good
        assert bool(find_disagreements(source, good, "departures", [departures])) is blocked


@pytest.mark.parametrize("month", every(6, range(1, 13)))
def test_a_weather_feed_in_celsius_is_blocked_in_every_season(month):
    day = date(2013, month, 15)
    rows = frame_of("weather", day)
    assert judge("weather", texts(day)["weather"]).problems == ()
    rows[["temperature", "dew_point"]] = (rows[["temperature", "dew_point"]] - 32) / 1.8
    problems = judge("weather", rows.to_csv(index=False)).problems
    assert re.search(r"may; most break (temperature|dew_point|humidity):be_null", "; ".join(problems)), problems
