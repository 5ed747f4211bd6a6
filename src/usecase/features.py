"""The features of a flight, as known two hours before its scheduled departure: one function per column.

Grain: one value per flight. The month is left out on purpose: a model trained on three months cannot know the others'.
"""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from mlops.contract import Columns, Feature, Known, Values, Window, feature

_HOUR = timedelta(hours=1)
_LEAD = timedelta(hours=2)
_SCHEDULE = "the schedule, at noon UTC of the day before"
_OBSERVED = "its observation; the newest one at most 6 hours old"
_REPORTED = "the report of each departure, 5 minutes after it"
_ENDED = "the report of each arrival, 30 minutes after it landed"
_LATE = 15
_DAY = 24 * 60
_share = partial(feature, unit="share", limits=(0, 1))
_delay = partial(feature, unit="min", limits=(-180, 2000))
_flights = partial(feature, unit="flights", limits=(0, 1000))


def _local_departure(known: Known) -> pd.Series[pd.Timestamp]:
    departure: pd.Series[pd.Timestamp] = known.rows["scheduled_departure"]
    return departure.dt.tz_localize("UTC").dt.tz_convert("America/New_York")


def _to_float(values: Any) -> Values:
    return np.asarray(values, "float64")


# --- schedule, carrier, route ----------------------------------------------------------------------------------------


@feature(unit="min", known_from=_SCHEDULE, limits=(0, _DAY))
def minute_of_day(known: Known) -> Values:
    """Scheduled departure, minutes after local midnight."""
    local = _local_departure(known)
    return _to_float(local.dt.hour * 60 + local.dt.minute)


@feature(unit="", known_from=_SCHEDULE, limits=(0, 6))
def weekday(known: Known) -> Values:
    """Local weekday of the departure, 0 is Monday."""
    return _to_float(_local_departure(known).dt.dayofweek)


@feature(unit="", known_from=_SCHEDULE, dtype="string")
def carrier(known: Known) -> Values:
    """Carrier."""
    return known.rows["carrier"].to_numpy()


@feature(unit="", known_from=_SCHEDULE, dtype="string")
def origin(known: Known) -> Values:
    """Airport of departure."""
    return known.rows["origin"].to_numpy()


@feature(unit="", known_from=_SCHEDULE, dtype="string")
def dest(known: Known) -> Values:
    """Airport of arrival."""
    return known.rows["dest"].to_numpy()


@feature(unit="mi", known_from=_SCHEDULE, limits=(10, 6000))
def distance(known: Known) -> Values:
    """Great-circle distance of the route."""
    return _to_float(known.rows["distance"])


@feature(unit="min", known_from=_SCHEDULE, limits=(0, _DAY))
def block_time(known: Known) -> Values:
    """Scheduled time from gate to gate."""
    rows = known.rows
    return _to_float((rows["scheduled_arrival"] - rows["scheduled_departure"]).dt.total_seconds() / 60)


# --- aircraft --------------------------------------------------------------------------------------------------------


@feature(unit="years", known_from=_SCHEDULE, limits=(-1, 100))
def plane_age(known: Known) -> Values:
    """Age of the scheduled aircraft; missing for one in six."""
    return _to_float(known.prediction_time.dt.year) - _to_float(known.lookup("planes", "built", on="tailnum"))


@feature(unit="seats", known_from=_SCHEDULE, limits=(1, 1000))
def plane_seats(known: Known) -> Values:
    """Seats of the scheduled aircraft."""
    return _to_float(known.lookup("planes", "seats", on="tailnum"))


# --- congestion: flights scheduled within an hour of this one --------------------------------------------------------


def _schedule_count(known: Known, by: list[str]) -> Values:
    return known.window("schedule", by=by, since=_HOUR - _LEAD, until=_HOUR + _LEAD, on="scheduled_departure").count()


@_flights(known_from=_SCHEDULE)
def departures_at_origin(known: Known) -> Values:
    """Departures scheduled from the same airport within an hour before or after."""
    return _schedule_count(known, ["origin"])


@_flights(known_from=_SCHEDULE)
def carrier_departures_at_origin(known: Known) -> Values:
    """The same carrier's departures scheduled from the same airport within an hour before or after."""
    return _schedule_count(known, ["carrier", "origin"])


@_flights(known_from=_SCHEDULE)
def departures_to_dest(known: Known) -> Values:
    """Departures from New York scheduled to the same destination within an hour before or after."""
    return _schedule_count(known, ["dest"])


# --- weather at the origin, as observed by the prediction time -------------------------------------------------------


def _latest_weather(known: Known, column: str) -> Values:
    return _to_float(known.latest("weather", column, by=["origin"], within=6 * _HOUR))


@feature(unit="°F", known_from=_OBSERVED, limits=(-60, 130))
def temperature(known: Known) -> Values:
    """Air temperature at the origin."""
    return _latest_weather(known, "temperature")


@feature(unit="°F", known_from=_OBSERVED, limits=(-100, 130))
def dew_point(known: Known) -> Values:
    """Dew point at the origin."""
    return _latest_weather(known, "dew_point")


@feature(unit="%", known_from=_OBSERVED, limits=(0, 110))
def humidity(known: Known) -> Values:
    """Relative humidity at the origin."""
    return _latest_weather(known, "humidity")


@feature(unit="°", known_from=_OBSERVED, limits=(0, 360))
def wind_direction(known: Known) -> Values:
    """Direction that the wind at the origin comes from."""
    return _latest_weather(known, "wind_direction")


@feature(unit="mph", known_from=_OBSERVED, limits=(0, 253))
def wind_speed(known: Known) -> Values:
    """Wind at the origin."""
    return _latest_weather(known, "wind_speed")


@feature(unit="in", known_from=_OBSERVED, limits=(0, 20))
def precipitation(known: Known) -> Values:
    """Rain or melted snow of the hour at the origin."""
    return _latest_weather(known, "precipitation")


@feature(unit="mbar", known_from=_OBSERVED, limits=(850, 1100))
def pressure(known: Known) -> Values:
    """Pressure at the origin, reduced to sea level."""
    return _latest_weather(known, "pressure")


@feature(unit="mi", known_from=_OBSERVED, limits=(0, 100))
def visibility(known: Known) -> Values:
    """Visibility at the origin."""
    return _latest_weather(known, "visibility")


@feature(unit="mph", known_from=_OBSERVED, limits=(0, 253))
def wind_gust(known: Known) -> Values:
    """Gusts at the origin; four in five observations have none."""
    return _latest_weather(known, "wind_gust")


# --- history: how flights did that were reported by the prediction time ----------------------------------------------


def _departures_window(known: Known, by: list[str], hours: int) -> Window:
    return known.window("departures", by=by, since=hours * _HOUR)


def _outcomes_window(known: Known, by: list[str], hours: int) -> Window:
    return known.window("outcomes", by=by, since=hours * _HOUR)


def _late_departure(rows: Columns) -> Values:
    return np.asarray(rows["departure_delay"] > _LATE)


def _late_arrival(rows: Columns) -> Values:
    # Cancelled and diverted flights have no delay: they are neither late nor on time.
    return np.where(rows["arrival_delay"].isna(), np.nan, rows["arrival_delay"] > _LATE)


@_share(known_from=_REPORTED)
def late_departures_at_origin_2h(known: Known) -> Values:
    """Share of the origin's departures of the last 2 hours that left more than 15 minutes late."""
    return _departures_window(known, ["origin"], 2).mean(_late_departure)


@_delay(known_from=_REPORTED)
def departure_delay_at_origin_2h(known: Known) -> Values:
    """Mean delay of the origin's departures of the last 2 hours."""
    return _departures_window(known, ["origin"], 2).mean("departure_delay")


@_share(known_from=_REPORTED)
def late_departures_at_origin_24h(known: Known) -> Values:
    """Share of the origin's departures of the last 24 hours that left more than 15 minutes late."""
    return _departures_window(known, ["origin"], 24).mean(_late_departure)


@_share(known_from=_REPORTED)
def carrier_late_departures_at_origin_3h(known: Known) -> Values:
    """The same of the carrier's departures at the origin in the last 3 hours."""
    return _departures_window(known, ["carrier", "origin"], 3).mean(_late_departure)


@_delay(known_from=_REPORTED)
def carrier_departure_delay_at_origin_3h(known: Known) -> Values:
    """Mean delay of the carrier's departures at the origin in the last 3 hours."""
    return _departures_window(known, ["carrier", "origin"], 3).mean("departure_delay")


@_share(known_from=_REPORTED)
def late_departures_to_dest_6h(known: Known) -> Values:
    """Share of the departures from New York to the destination in the last 6 hours that left late."""
    return _departures_window(known, ["dest"], 6).mean(_late_departure)


@_delay(known_from=_REPORTED)
def departure_delay_to_dest_6h(known: Known) -> Values:
    """Mean delay of the departures from New York to the destination in the last 6 hours."""
    return _departures_window(known, ["dest"], 6).mean("departure_delay")


@_share(known_from=_ENDED)
def late_arrivals_24h(known: Known) -> Values:
    """Share of all flights that landed in the last 24 hours that were more than 15 minutes late."""
    return _outcomes_window(known, [], 24).mean(_late_arrival)


@_share(known_from=_ENDED)
def carrier_late_arrivals_24h(known: Known) -> Values:
    """The same of the carrier's flights."""
    return _outcomes_window(known, ["carrier"], 24).mean(_late_arrival)


@_share(known_from=_ENDED)
def carrier_late_arrivals_from_origin_24h(known: Known) -> Values:
    """The same of the carrier's flights from the origin."""
    return _outcomes_window(known, ["carrier", "origin"], 24).mean(_late_arrival)


@_share(known_from=_ENDED)
def late_arrivals_at_dest_3h(known: Known) -> Values:
    """Share of the flights that landed at the destination in the last 3 hours that were late."""
    return _outcomes_window(known, ["dest"], 3).mean(_late_arrival)


@_delay(known_from=_ENDED)
def arrival_delay_at_dest_3h(known: Known) -> Values:
    """Mean delay of the flights that landed at the destination in the last 3 hours."""
    return _outcomes_window(known, ["dest"], 3).mean("arrival_delay")


@_share(known_from=_ENDED)
def late_arrivals_at_dest_24h(known: Known) -> Values:
    """Share of the flights that landed at the destination in the last 24 hours that were late."""
    return _outcomes_window(known, ["dest"], 24).mean(_late_arrival)


@_share(known_from=_ENDED)
def route_late_arrivals_24h(known: Known) -> Values:
    """The same of the route's flights in the last 24 hours."""
    return _outcomes_window(known, ["origin", "dest"], 24).mean(_late_arrival)


@_share(known_from=_ENDED)
def route_late_arrivals_28d(known: Known) -> Values:
    """The same of the route's flights in the last 28 days."""
    return _outcomes_window(known, ["origin", "dest"], 28 * 24).mean(_late_arrival)


@_share(known_from=_ENDED)
def flight_late_arrivals_28d(known: Known) -> Values:
    """The same of the flight number in the last 28 days."""
    return _outcomes_window(known, ["carrier", "flight"], 28 * 24).mean(_late_arrival)


@_delay(known_from=_ENDED)
def flight_arrival_delay_28d(known: Known) -> Values:
    """Mean delay of the flight number in the last 28 days."""
    return _outcomes_window(known, ["carrier", "flight"], 28 * 24).mean("arrival_delay")


@_delay(known_from=_ENDED)
def aircraft_arrival_delay(known: Known) -> Values:
    """Delay of the scheduled aircraft's last flight that landed, if that was in the last 24 hours."""
    return _to_float(known.latest("outcomes", "arrival_delay", by=["tailnum"], within=24 * _HOUR))


@_delay(known_from=_REPORTED)
def aircraft_departure_delay(known: Known) -> Values:
    """Delay of the scheduled aircraft's last departure, if that was in the last 24 hours."""
    return _to_float(known.latest("departures", "departure_delay", by=["tailnum"], within=24 * _HOUR))


def _backlog_count(known: Known, by: list[str]) -> Values:
    due, gone = (
        known.window(source, by=by, since=3 * _HOUR, on="scheduled_departure").count()
        for source in ("schedule", "departures")
    )
    # A schedule that has not been published (late, or from before the first file) is no negative backlog.
    return _to_float(np.maximum(due - gone, 0))


@_flights(known_from=_REPORTED)
def backlog_at_origin(known: Known) -> Values:
    """Departures scheduled at the origin in the last 3 hours that nobody has reported yet."""
    return _backlog_count(known, ["origin"])


@_flights(known_from=_REPORTED)
def carrier_backlog_at_origin(known: Known) -> Values:
    """The carrier's departures scheduled at the origin in the last 3 hours that nobody has reported yet."""
    return _backlog_count(known, ["carrier", "origin"])


@_flights(known_from=_REPORTED)
def backlog_to_dest(known: Known) -> Values:
    """Departures to the destination scheduled in the last 3 hours that nobody has reported yet."""
    return _backlog_count(known, ["dest"])


FEATURES = tuple(value for value in globals().values() if isinstance(value, Feature))
"""Every feature above, in its order."""
