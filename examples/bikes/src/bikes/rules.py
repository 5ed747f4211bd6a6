"""What is expected of each source, and of the rows that are scored."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mlops.contract import Expectation


def _expect_between(column: str, low: float, high: float) -> Expectation:
    return _make_rule("ExpectColumnValuesToBeBetween", column=column, min_value=low, max_value=high)


def _make_rule(kind: str, **arguments: Any) -> Expectation:
    import great_expectations.expectations as gxe

    return Expectation(getattr(gxe, kind)(**arguments), "quarantine")


def hour_rules() -> Sequence[Expectation]:
    """Parts of the calendar are in their range."""
    return (_expect_between("hour", 0, 23), _expect_between("weekday", 0, 6), _expect_between("workingday", 0, 1))


def weather_rules() -> Sequence[Expectation]:
    """Observations are in the range of their units, and the situation is one of four."""
    situations = ["clear", "cloudy/misty", "light rain/snow", "heavy rain/snow"]
    return (
        _make_rule("ExpectColumnValuesToBeInSet", column="situation", value_set=situations),
        *(_expect_between(column, 0, 1) for column in ("temperature", "humidity", "wind_speed")),
    )


def rental_rules() -> Sequence[Expectation]:
    """Counts are not negative."""
    return tuple(_expect_between(column, 0, 2000) for column in ("casual", "registered", "bikers"))


def feature_rules() -> Sequence[Expectation]:
    """Features that repeat a source's column keep what is expected of it."""
    return (*hour_rules(), *weather_rules())
