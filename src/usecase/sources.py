"""The sources: their columns, keys, known-at columns and histories."""

from __future__ import annotations

from datetime import timedelta

from mlops.contract import Column, Source
from usecase import rules

_FLIGHT = (
    Column(name="flight_id", type="string", comment="Local day, carrier, number and origin of a flight"),
    Column(name="carrier", type="string", comment="Two-letter code of the carrier"),
    Column(name="flight", type="long", comment="Flight number"),
    Column(name="origin", type="string", comment="Airport of departure: EWR, JFK or LGA"),
    Column(name="dest", type="string", comment="Airport of arrival"),
)
_TAIL = Column(name="tailnum", type="string", comment="Tail number of the aircraft", required=False)
_PLANNED = {"schedule": ("dest", "tailnum", "scheduled_departure")}
_DEPARTURE = Column(name="scheduled_departure", type="timestamp", comment="Scheduled departure, UTC")
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
    expectations=rules.schedule_rules,
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
    agrees_with=_PLANNED,
    history=timedelta(days=2),
    expectations=rules.departure_rules,
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
    agrees_with={**_PLANNED, "departures": ("departure_delay",)},
    history=timedelta(days=28),
    expectations=rules.outcome_rules,
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
    expectations=rules.weather_rules,
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
    expectations=rules.plane_rules,
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
    expectations=rules.airport_rules,
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
    expectations=rules.airline_rules,
)
SOURCES = (SCHEDULE, DEPARTURES, OUTCOMES, WEATHER, PLANES, AIRPORTS, AIRLINES)
