"""What is known of a flight two hours before its scheduled departure: one function per feature, named as its column.

Grain: one value per flight. The month is left out on purpose: a model trained on three months cannot know the others'.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import numpy as np
import pandas as pd

from mlops.contract import Known, Values, feature

_HOUR = timedelta(hours=1)
_LEAD = timedelta(hours=2)
_SCHEDULE = "the schedule, at noon UTC of the day before"
_OBSERVED = "its observation; the newest one at most 6 hours old"


def _local_departure(known: Known) -> pd.Series[pd.Timestamp]:
    departure: pd.Series[pd.Timestamp] = known.rows["scheduled_departure"]
    return departure.dt.tz_localize("UTC").dt.tz_convert("America/New_York")


def _number(values: Any) -> Values:
    return np.asarray(values, "float64")


# --- schedule, carrier, route ----------------------------------------------------------------------------------------


@feature(unit="min", known_from=_SCHEDULE)
def minute_of_day(known: Known) -> Values:
    """Scheduled departure, minutes after local midnight."""
    local = _local_departure(known)
    return _number(local.dt.hour * 60 + local.dt.minute)


@feature(unit="", known_from=_SCHEDULE)
def weekday(known: Known) -> Values:
    """Local weekday of the departure, 0 is Monday."""
    return _number(_local_departure(known).dt.dayofweek)


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


@feature(unit="mi", known_from=_SCHEDULE)
def distance(known: Known) -> Values:
    """Great-circle distance of the route."""
    return _number(known.rows["distance"])


@feature(unit="min", known_from=_SCHEDULE)
def block_time(known: Known) -> Values:
    """Scheduled time from gate to gate."""
    rows = known.rows
    return _number((rows["scheduled_arrival"] - rows["scheduled_departure"]).dt.total_seconds() / 60)


# --- aircraft --------------------------------------------------------------------------------------------------------


@feature(unit="years", known_from=_SCHEDULE)
def plane_age(known: Known) -> Values:
    """Age of the scheduled aircraft; missing for one in six."""
    return _number(known.prediction_time.dt.year) - _number(known.lookup("planes", "built", on="tailnum"))


@feature(unit="seats", known_from=_SCHEDULE)
def plane_seats(known: Known) -> Values:
    """Seats of the scheduled aircraft."""
    return _number(known.lookup("planes", "seats", on="tailnum"))


# --- congestion: flights scheduled within an hour of this one --------------------------------------------------------


@feature(unit="flights", known_from=_SCHEDULE)
def departures_at_origin(known: Known) -> Values:
    """Departures scheduled from the same airport within an hour before or after."""
    return known.window(
        "schedule", by=["origin"], since=_HOUR - _LEAD, until=_HOUR + _LEAD, on="scheduled_departure"
    ).count()


@feature(unit="flights", known_from=_SCHEDULE)
def carrier_departures_at_origin(known: Known) -> Values:
    """The same carrier's departures scheduled from the same airport within an hour before or after."""
    return known.window(
        "schedule", by=["carrier", "origin"], since=_HOUR - _LEAD, until=_HOUR + _LEAD, on="scheduled_departure"
    ).count()


@feature(unit="flights", known_from=_SCHEDULE)
def departures_to_dest(known: Known) -> Values:
    """Departures from New York scheduled to the same destination within an hour before or after."""
    return known.window(
        "schedule", by=["dest"], since=_HOUR - _LEAD, until=_HOUR + _LEAD, on="scheduled_departure"
    ).count()


# --- weather at the origin, as observed by the prediction time -------------------------------------------------------


def _observed(known: Known, column: str) -> Values:
    return _number(known.latest("weather", column, by=["origin"], within=6 * _HOUR))


@feature(unit="°F", known_from=_OBSERVED)
def temperature(known: Known) -> Values:
    """Air temperature at the origin."""
    return _observed(known, "temperature")


@feature(unit="°F", known_from=_OBSERVED)
def dew_point(known: Known) -> Values:
    """Dew point at the origin."""
    return _observed(known, "dew_point")


@feature(unit="%", known_from=_OBSERVED)
def humidity(known: Known) -> Values:
    """Relative humidity at the origin."""
    return _observed(known, "humidity")


@feature(unit="°", known_from=_OBSERVED)
def wind_direction(known: Known) -> Values:
    """Direction that the wind at the origin comes from."""
    return _observed(known, "wind_direction")


@feature(unit="mph", known_from=_OBSERVED)
def wind_speed(known: Known) -> Values:
    """Wind at the origin."""
    return _observed(known, "wind_speed")


@feature(unit="in", known_from=_OBSERVED)
def precipitation(known: Known) -> Values:
    """Rain or melted snow of the hour at the origin."""
    return _observed(known, "precipitation")


@feature(unit="mbar", known_from=_OBSERVED)
def pressure(known: Known) -> Values:
    """Pressure at the origin, reduced to sea level."""
    return _observed(known, "pressure")


@feature(unit="mi", known_from=_OBSERVED)
def visibility(known: Known) -> Values:
    """Visibility at the origin."""
    return _observed(known, "visibility")


FEATURES = (
    minute_of_day,
    weekday,
    carrier,
    origin,
    dest,
    distance,
    block_time,
    plane_age,
    plane_seats,
    departures_at_origin,
    carrier_departures_at_origin,
    departures_to_dest,
    temperature,
    dew_point,
    humidity,
    wind_direction,
    wind_speed,
    precipitation,
    pressure,
    visibility,
)
