"""The feeds: what their columns mean, what identifies a row, since when it is known, and what is expected of it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from mlops.contract import Action, Column, Expectation, Source

_FLIGHT = (
    Column(name="flight_id", type="string", comment="Local day, carrier, number and origin of a flight"),
    Column(name="carrier", type="string", comment="Two-letter code of the carrier"),
    Column(name="flight", type="long", comment="Flight number"),
    Column(name="origin", type="string", comment="Airport of departure: EWR, JFK or LGA"),
    Column(name="dest", type="string", comment="Airport of arrival"),
)
_TAIL = Column(name="tailnum", type="string", comment="Tail number of the aircraft", required=False)
_DEPARTURE = Column(name="scheduled_departure", type="timestamp", comment="Scheduled departure, UTC")
_ORIGINS = ["EWR", "JFK", "LGA"]


def _rule(kind: str, action: Action = "quarantine", min_rows: int = 1, **arguments: Any) -> Expectation:
    import great_expectations.expectations as gxe

    return Expectation(getattr(gxe, kind)(**arguments), action, min_rows)


def _between(column: str, low: float, high: float) -> Expectation:
    return _rule("ExpectColumnValuesToBeBetween", column=column, min_value=low, max_value=high)


def _typical(statistic: str, column: str, low: float, high: float, min_rows: int) -> Expectation:
    """A batch whose mean or median lies elsewhere is in another unit, or not what it says it is."""
    kind = f"ExpectColumn{statistic}ToBeBetween"
    return _rule(kind, "block", min_rows, column=column, min_value=low, max_value=high)


def _mostly_there(column: str, share: float) -> Expectation:
    return _rule("ExpectColumnValuesToNotBeNull", "block", 24, column=column, mostly=share)


def _one_of(column: str, values: list[str]) -> Expectation:
    return _rule("ExpectColumnValuesToBeInSet", column=column, value_set=values)


def _above(larger: str, smaller: str, *, or_equal: bool) -> Expectation:
    return _rule(
        "ExpectColumnPairValuesAToBeGreaterThanB",
        column_A=larger,
        column_B=smaller,
        or_equal=or_equal,
        ignore_row_if="either_value_is_missing",
    )


def _never_of(column: str, state: str) -> Expectation:
    """A flight that was cancelled or diverted has no such value."""
    from great_expectations.expectations.row_conditions import Column as Condition

    return _rule("ExpectColumnValuesToBeNull", column=column, row_condition=Condition(state) == 1)


def _never_where(column: str, condition: str) -> Expectation:
    """A value that contradicts what stands beside it. The condition is in pandas's words: GX knows none of columns."""
    from great_expectations.expectations.row_conditions import PassThroughCondition

    contradiction = PassThroughCondition(pass_through_filter=condition)
    return _rule("ExpectColumnValuesToBeNull", column=column, row_condition=contradiction)


def _schedule() -> Sequence[Expectation]:
    return (
        _one_of("origin", _ORIGINS),
        _between("distance", 10, 6000),
        _above("scheduled_arrival", "scheduled_departure", or_equal=False),
        _above("scheduled_departure", "published_at", or_equal=False),
        _typical("Mean", "distance", 700, 1400, 200),  # days of 2013: 976 to 1129; in kilometres 1571 and more
    )


def _departures() -> Sequence[Expectation]:
    return (
        _between("departure_delay", -180, 2000),
        _typical("Median", "departure_delay", -30, 180, 200),  # days of 2013: -5 to 58
    )


def _outcomes() -> Sequence[Expectation]:
    return (
        _between("departure_delay", -180, 2000),
        _between("arrival_delay", -180, 2000),
        _between("cancelled", 0, 1),
        _between("diverted", 0, 1),
        # The 8,255 cancelled and 1,175 diverted flights are good rows: they have an outcome, and it is no delay.
        _never_of("departure_delay", "cancelled"),
        _never_of("arrival_delay", "cancelled"),
        _never_of("arrival_delay", "diverted"),
        _typical("Median", "arrival_delay", -60, 180, 200),  # days of 2013: -22 to 64
    )


def _weather() -> Sequence[Expectation]:
    return (
        _one_of("origin", _ORIGINS),
        _between("temperature", -60, 130),
        _between("dew_point", -60, 100),
        _above("temperature", "dew_point", or_equal=True),
        _between("humidity", 0, 100),
        # Temperature and dew point fix the humidity; in Celsius the two lie too close together for it. No row of 2013
        # breaks this, and in Celsius 42 % or more of every day's would. (Rejected: the median of a week, which in
        # summer is a possible one in either unit.)
        _never_where("humidity", "temperature - dew_point < 0.23 * (100 - humidity)"),
        _between("wind_direction", 0, 360),
        # The feed reports 1048 mph at EWR on 12 February, 08:00 UTC; no wind on the surface has ever been above 253.
        _between("wind_speed", 0, 253),
        _between("wind_gust", 0, 253),
        _between("precipitation", 0, 12),
        _between("pressure", 850, 1100),
        _between("visibility", 0, 100),
        _typical("Median", "temperature", 5, 100, 48),  # days of 2013: 16 to 90
        _mostly_there("temperature", 0.9),
        _mostly_there("wind_speed", 0.9),
    )


SCHEDULE = Source(
    name="schedule",
    comment="Flights that will depart tomorrow, published at noon UTC of the day before",
    columns=(
        *_FLIGHT,
        _DEPARTURE,
        Column(name="scheduled_arrival", type="timestamp", comment="Scheduled arrival, UTC"),
        Column(name="distance", type="double", comment="Great-circle distance", unit="mi"),
        _TAIL,
        Column(name="published_at", type="timestamp", comment="When the schedule was published, UTC"),
    ),
    key=("flight_id",),
    known_at="published_at",
    history=timedelta(days=2),
    expectations=_schedule,
)
DEPARTURES = Source(
    name="departures",
    comment="Flights that have departed, 5 minutes after they did; cancelled ones never do",
    columns=(
        *_FLIGHT,
        _TAIL,
        _DEPARTURE,
        Column(name="departure_delay", type="double", comment="Departure after schedule", unit="min"),
        Column(name="reported_at", type="timestamp", comment="When the departure was reported, UTC"),
    ),
    key=("flight_id",),
    known_at="reported_at",
    history=timedelta(days=2),
    expectations=_departures,
)
OUTCOMES = Source(
    name="outcomes",
    comment="How flights ended, 30 minutes after landing; cancelled and diverted ones a day after their schedule",
    columns=(
        *_FLIGHT,
        _TAIL,
        _DEPARTURE,
        Column(name="departure_delay", type="double", comment="Departure after schedule", unit="min", required=False),
        Column(name="arrival_delay", type="double", comment="Arrival after schedule", unit="min", required=False),
        Column(name="cancelled", type="long", comment="1: did not depart"),
        Column(name="diverted", type="long", comment="1: landed elsewhere"),
        Column(name="reported_at", type="timestamp", comment="When the outcome was reported, UTC"),
    ),
    key=("flight_id",),
    known_at="reported_at",
    history=timedelta(days=28),
    expectations=_outcomes,
)
WEATHER = Source(
    name="weather",
    comment="Hourly observations at the three airports",
    columns=(
        Column(name="origin", type="string", comment="Airport"),
        Column(name="temperature", type="double", comment="Air temperature", unit="°F", required=False),
        Column(name="dew_point", type="double", comment="Dew point", unit="°F", required=False),
        Column(name="humidity", type="double", comment="Relative humidity", unit="%", required=False),
        Column(name="wind_direction", type="double", comment="Direction the wind comes from", unit="°", required=False),
        Column(name="wind_speed", type="double", comment="Wind", unit="mph", required=False),
        Column(name="wind_gust", type="double", comment="Gusts", unit="mph", required=False),
        Column(
            name="precipitation", type="double", comment="Rain or melted snow of the hour", unit="in", required=False
        ),
        Column(name="pressure", type="double", comment="Pressure at sea level", unit="mbar", required=False),
        Column(name="visibility", type="double", comment="Visibility", unit="mi", required=False),
        Column(name="observed_at", type="timestamp", comment="When it was observed, UTC"),
    ),
    key=("origin", "observed_at"),
    known_at="observed_at",
    history=timedelta(days=1),
    expectations=_weather,
)
PLANES = Source(
    name="planes",
    comment="Aircraft, published once",
    columns=(
        Column(name="tailnum", type="string", comment="Tail number"),
        Column(name="built", type="long", comment="Year of manufacture", required=False),
        Column(name="manufacturer", type="string", comment="Manufacturer"),
        Column(name="model", type="string", comment="Model"),
        Column(name="engines", type="long", comment="Number of engines"),
        Column(name="seats", type="long", comment="Number of seats"),
        Column(name="published_at", type="timestamp", comment="When it was published, UTC"),
    ),
    key=("tailnum",),
    known_at="published_at",
)
AIRPORTS = Source(
    name="airports",
    comment="Airports, published once",
    columns=(
        Column(name="airport", type="string", comment="FAA code"),
        Column(name="name", type="string", comment="Name"),
        Column(name="latitude", type="double", comment="Latitude", unit="°"),
        Column(name="longitude", type="double", comment="Longitude", unit="°"),
        Column(name="altitude", type="double", comment="Altitude", unit="ft"),
        Column(name="time_zone", type="string", comment="Name of its time zone", required=False),
        Column(name="published_at", type="timestamp", comment="When it was published, UTC"),
    ),
    key=("airport",),
    known_at="published_at",
)
AIRLINES = Source(
    name="airlines",
    comment="Carriers, published once",
    columns=(
        Column(name="carrier", type="string", comment="Two-letter code"),
        Column(name="name", type="string", comment="Name"),
        Column(name="published_at", type="timestamp", comment="When it was published, UTC"),
    ),
    key=("carrier",),
    known_at="published_at",
)
SOURCES = (SCHEDULE, DEPARTURES, OUTCOMES, WEATHER, PLANES, AIRPORTS, AIRLINES)
