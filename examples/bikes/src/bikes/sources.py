"""The sources: the calendar, the weather and the rentals, one row per hour each."""

from __future__ import annotations

from datetime import timedelta

from bikes import rules
from mlops.contract import Column, Source

_HOUR_ID = Column(name="hour_id", type="string", comment="Names the hour, as 2011-01-31T23")
_HOUR = Column(name="hour", type="long", comment="Local hour of the day, 0 to 23")
_WORKINGDAY = Column(name="workingday", type="long", comment="1: neither weekend nor holiday")
HOURS = Source(
    name="hours",
    comment="The hours of tomorrow, published at noon of the day before",
    columns=(
        _HOUR_ID,
        _HOUR,
        Column(name="weekday", type="long", comment="0 is Sunday"),
        Column(name="holiday", type="long", comment="1: a public holiday"),
        _WORKINGDAY,
        Column(name="starts_at", type="timestamp", comment="When the hour begins"),
        Column(name="published_at", type="timestamp", comment="When it was published"),
    ),
    key=("hour_id",),
    known_at="published_at",
    history=timedelta(days=2),
    expectations=rules.hour_rules,
)
WEATHER = Source(
    name="weather",
    comment="Hourly observations in Washington, D.C.",
    columns=(
        _HOUR_ID,
        Column(name="situation", type="string", comment="clear, cloudy/misty, light rain/snow or heavy rain/snow"),
        Column(name="temperature", type="double", comment="Air temperature, divided by 41", unit="°C/41"),
        Column(name="humidity", type="double", comment="Relative humidity, divided by 100"),
        Column(name="wind_speed", type="double", comment="Wind, divided by 67", unit="km/h/67"),
        Column(name="observed_at", type="timestamp", comment="When it was observed"),
    ),
    key=("hour_id",),
    known_at="observed_at",
    history=timedelta(days=1),
    expectations=rules.weather_rules,
)
RENTALS = Source(
    name="rentals",
    comment="Bikes rented in an hour, reported 5 minutes after its end",
    columns=(
        _HOUR_ID,
        _HOUR,
        _WORKINGDAY,
        Column(name="casual", type="long", comment="Rented by people without a subscription"),
        Column(name="registered", type="long", comment="Rented by subscribers"),
        Column(name="bikers", type="long", comment="All rentals of the hour"),
        Column(name="reported_at", type="timestamp", comment="When the hour was reported"),
    ),
    key=("hour_id",),
    known_at="reported_at",
    history=timedelta(days=29),
    expectations=rules.rental_rules,
)
SOURCES = (HOURS, WEATHER, RENTALS)
