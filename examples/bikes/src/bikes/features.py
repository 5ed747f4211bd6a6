"""What is known of an hour three hours before it begins: one function per feature, named as its column."""

from __future__ import annotations

from datetime import timedelta
from functools import partial

from mlops.contract import Feature, Known, Values, feature

_HOUR = timedelta(hours=1)
_DAY = timedelta(days=1)
_LEAD = timedelta(hours=3)
_CALENDAR = "the calendar, at noon of the day before"
_OBSERVED = "its observation; the newest one at most 6 hours old"
_REPORTED = "the report of each hour, 5 minutes after its end"
_weather = partial(feature, unit="share", known_from=_OBSERVED, limits=(0, 1))
_bikes = partial(feature, unit="bikes", known_from=_REPORTED, limits=(0, 2000))


@feature(unit="", known_from=_CALENDAR, limits=(0, 23))
def hour(known: Known) -> Values:
    """Local hour of the day."""
    return known.rows["hour"].to_numpy("float64")


@feature(unit="", known_from=_CALENDAR, limits=(0, 6))
def weekday(known: Known) -> Values:
    """Day of the week, 0 is Sunday."""
    return known.rows["weekday"].to_numpy("float64")


@feature(unit="", known_from=_CALENDAR, limits=(0, 1))
def workingday(known: Known) -> Values:
    """1 on a day that is neither weekend nor holiday."""
    return known.rows["workingday"].to_numpy("float64")


@feature(unit="", known_from=_OBSERVED, dtype="string")
def situation(known: Known) -> Values:
    """Weather in words, as last observed."""
    return known.latest("weather", "situation", by=[], within=6 * _HOUR)


@_weather()
def temperature(known: Known) -> Values:
    """Air temperature, as last observed."""
    return known.latest("weather", "temperature", by=[], within=6 * _HOUR).astype("float64")


@_weather()
def humidity(known: Known) -> Values:
    """Relative humidity, as last observed."""
    return known.latest("weather", "humidity", by=[], within=6 * _HOUR).astype("float64")


@_weather()
def wind_speed(known: Known) -> Values:
    """Wind, as last observed."""
    return known.latest("weather", "wind_speed", by=[], within=6 * _HOUR).astype("float64")


@_bikes()
def bikers_last_hour(known: Known) -> Values:
    """Rentals of the last hour that was reported."""
    return known.latest("rentals", "bikers", by=[], within=6 * _HOUR).astype("float64")


@_bikes()
def bikers_24h(known: Known) -> Values:
    """Mean rentals per hour of the last 24 hours."""
    return known.window("rentals", by=[], since=_DAY).mean("bikers")


@_bikes()
def bikers_7d(known: Known) -> Values:
    """Mean rentals per hour of the last 7 days."""
    return known.window("rentals", by=[], since=7 * _DAY).mean("bikers")


@_bikes()
def bikers_yesterday(known: Known) -> Values:
    """Rentals of the same hour of the day, as last reported."""
    return known.latest("rentals", "bikers", by=["hour"], within=2 * _DAY).astype("float64")


@_bikes()
def bikers_of_hour_14d(known: Known) -> Values:
    """Mean rentals of the same hour on days of the same kind in the last 14 days: in more days the season changes."""
    return known.window("rentals", by=["hour", "workingday"], since=14 * _DAY).mean("bikers")


FEATURES = tuple(value for value in globals().values() if isinstance(value, Feature))
"""Every feature above, in its order."""
