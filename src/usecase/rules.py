"""The expectations of each source: rules on single rows set rows aside, rules on a batch block it.

docs/reference/data-faults.md lists the rules. Limits stand beside the worst day of 2013, on which they were chosen.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mlops.contract import Action, Expectation

_ORIGINS = ["EWR", "JFK", "LGA"]
_WIND = ("wind_direction", "wind_speed")
_DELAYS = ("departure_delay", "arrival_delay")
_OTHER_DAY = (
    "scheduled_departure.dt.hour >= 5 and scheduled_departure.dt.strftime('%Y%m%d') != flight_id.str.slice(0, 8)"
)
_OTHER_FLIGHT = (
    "flight_id.str.slice(9, 11) != carrier or flight_id.str.slice(16) != origin"
    " or flight_id.str.slice(11, 15) != flight.astype('str').str.zfill(4)"
)
_CARRIERS = "9E AA AS B6 DL EV F9 FL HA MQ OO UA US VX WN YV"
_DESTINATIONS = (
    "ABQ ACK ALB ANC ATL AUS AVL BDL BGR BHM BNA BOS BQN BTV BUF BUR BWI BZN CAE CAK CHO CHS CLE CLT CMH CRW CVG DAY "
    "DCA DEN DFW DSM DTW EGE EYW FLL GRR GSO GSP HDN HNL HOU IAD IAH ILM IND JAC JAX LAS LAX LEX LGA LGB MCI MCO MDW "
    "MEM MHT MIA MKE MSN MSP MSY MTJ MVY MYR OAK OKC OMA ORD ORF PBI PDX PHL PHX PIT PSE PSP PVD PWM RDU RIC ROC RSW "
    "SAN SAT SAV SBN SDF SEA SFO SJC SJU SLC SMF SNA SRQ STL STT SYR TPA TUL TVC TYS XNA"
)
"""Destinations of 2013. Rows with a new one are published, unless they are more than one row in fifty."""


def _make_rule(kind: str, action: Action = "quarantine", min_rows: int = 1, **arguments: Any) -> Expectation:
    import great_expectations.expectations as gxe

    return Expectation(getattr(gxe, kind)(**arguments), action, min_rows)


def _expect_between(column: str, low: float, high: float) -> Expectation:
    return _make_rule("ExpectColumnValuesToBeBetween", column=column, min_value=low, max_value=high)


def _expect_typical(column: str, low: float, high: float, min_rows: int) -> Expectation:
    """Expect the median of a batch in a range: elsewhere, the batch is in another unit or another quantity."""
    kind = "ExpectColumnMedianToBeBetween"
    return _make_rule(kind, "block", min_rows, column=column, min_value=low, max_value=high)


def _expect_spread(column: str, low: float, high: float) -> Expectation:
    """Expect the 5 % quantile of a batch below `low` and the 99 % quantile above `high`: else its unit is another."""
    ranges = {"quantiles": [0.05, 0.99], "value_ranges": [[None, low], [high, None]]}
    return _make_rule("ExpectColumnQuantileValuesToBeBetween", "block", 200, column=column, quantile_ranges=ranges)


def _expect_present(column: str, share: float, **condition: Any) -> Expectation:
    return _make_rule("ExpectColumnValuesToNotBeNull", "block", 24, column=column, mostly=share, **condition)


def _expect_known_codes(column: str, codes: str) -> Expectation:
    """Expect known codes in 49 of 50 rows: more unknown ones are another column, or codes of another kind."""
    return _make_rule("ExpectColumnValuesToBeInSet", "block", 100, column=column, value_set=codes.split(), mostly=0.98)


def _expect_pattern(column: str, regex: str, action: Action = "quarantine", **mostly: float) -> Expectation:
    min_rows = 24 if mostly else 1
    return _make_rule("ExpectColumnValuesToMatchRegex", action, min_rows, column=column, regex=regex, **mostly)


def _expect_one_of(column: str, values: list[str]) -> Expectation:
    return _make_rule("ExpectColumnValuesToBeInSet", column=column, value_set=values)


def _expect_above(larger: str, smaller: str, *, or_equal: bool) -> Expectation:
    pair: dict[str, Any] = {"column_A": larger, "column_B": smaller, "or_equal": or_equal}
    return _make_rule("ExpectColumnPairValuesAToBeGreaterThanB", **pair, ignore_row_if="either_value_is_missing")


def _expect_none_if(column: str, state: str) -> Expectation:
    """Expect no value in a row of a flight that was cancelled or diverted."""
    from great_expectations.expectations.row_conditions import Column as Condition

    return _make_rule("ExpectColumnValuesToBeNull", column=column, row_condition=Condition(state) == 1)


def _expect_no_case(column: str, condition: str, action: Action, min_rows: int, max_share: float) -> Expectation:
    """Expect no row that meets a condition on several columns. The condition is pandas': GX compares no columns."""
    import great_expectations.expectations as gxe
    from great_expectations.expectations.row_conditions import PassThroughCondition

    contradiction = PassThroughCondition(pass_through_filter=condition)
    rule = gxe.ExpectColumnValuesToBeNull(column=column, row_condition=contradiction)
    return Expectation(rule, action, min_rows, max_share)


def _expect_varied(column: str, share: float, min_rows: int = 100) -> Expectation:
    """Expect no value in more than a share of the rows, as a constant or a sensor that stands still has."""
    return _expect_seldom(column, f"{column} == {column}.mode().max()", share, min_rows)


def _expect_never(column: str, condition: str) -> Expectation:
    return _expect_no_case(column, condition, "quarantine", 1, 0)


def _expect_seldom(column: str, condition: str, share: float, min_rows: int = 100) -> Expectation:
    return _expect_no_case(column, condition, "block", min_rows, share)


def _expect_grid(column: str, step: float, start: float = 0) -> Expectation:
    """Expect values that are whole numbers of steps from the start: in another unit nine of ten are not."""
    steps = f"({column} - {start}) / {step}" if start else f"{column} / {step}"
    return _expect_never(column, f"abs({steps} - floor({steps} + 0.5)) > 0.01")


def _flight_rules() -> Sequence[Expectation]:
    """List the expectations of every source of flights."""
    return (
        _expect_pattern("flight_id", r"^\d{8}-[0-9A-Z]{2}\d{4}-(?:EWR|JFK|LGA)$"),
        # The key repeats day, carrier, number and origin, so a shifted or mangled column contradicts it.
        _expect_never("flight_id", _OTHER_FLIGHT),
        _expect_one_of("origin", _ORIGINS),
        _expect_known_codes("carrier", _CARRIERS),
        _expect_known_codes("dest", _DESTINATIONS),
        # Not row by row: of times that are all wrong it would set aside just the rows that the next rule looks for.
        _expect_seldom("flight_id", _OTHER_DAY, 0.02),
        *_tail_rules(),
        _expect_varied("tailnum", 0.1),  # days of 2013: to 0.01
        _expect_varied("dest", 0.3),  # to 0.07
        _expect_varied("carrier", 0.6),  # to 0.23
        # No flight leaves New York between 1 and 4 at night; local times taken for UTC, or UTC converted twice, do.
        _expect_seldom("scheduled_departure", "5 <= scheduled_departure.dt.hour <= 8", 0.02),
    )


def _tail_rules() -> Sequence[Expectation]:
    """List the rules on tail numbers, by which aircraft are joined: a mangled number would find no aircraft."""
    return (
        _expect_pattern("tailnum", r"^N[0-9A-Z]{1,5}$", "block", mostly=0.95),
        _expect_pattern("tailnum", r"^.{6}$", "block", mostly=0.9),  # days of 2013: 0.986 or more
    )


def _expect_one_owner() -> Expectation:
    """Expect one carrier per aircraft: of 2013's rows 0.1 % break this; shifted by a row, 1 row in 4 of a day does.

    Of fewer than 600 rows one wrong tail number could be more than the limit: the other flights of its aircraft break
    the rule with it.
    """
    return _expect_seldom("tailnum", "carrier != carrier.groupby(tailnum).transform('max')", 0.01, 600)


def schedule_rules() -> Sequence[Expectation]:
    """List the further expectations of the schedule."""
    block = "(scheduled_arrival - scheduled_departure).dt.total_seconds() / 60"
    pace = "scheduled_arrival.sub(scheduled_departure).dt.total_seconds().sub(3600).div(60).div(distance)"
    return (
        *_flight_rules(),
        _expect_present("tailnum", 0.9),
        _expect_between("distance", 10, 6000),
        _expect_above("scheduled_arrival", "scheduled_departure", or_equal=False),
        _expect_above("scheduled_departure", "published_at", or_equal=False),
        _expect_never("scheduled_arrival", f"{block} > 1440"),
        # An arrival in another time zone: 11 flights of the year lie outside, and an hour moves 8 of 10.
        _expect_seldom("scheduled_arrival", f"not (0.115 * distance + 30 <= {block} <= 0.135 * distance + 90)", 0.02),
        _expect_typical("distance", 600, 1200, 200),  # days of 2013: 762 to 1005; in kilometres 1226 and more
        # Minutes a mile beyond the hour on the ground, in the median. Days of 2013: 0.117 to 0.126; in nautical miles
        # 0.134 and more.
        _expect_seldom("distance", f"abs(distance * 0 + {pace}.median() - 0.12) > 0.01", 0.02, 500),
        # Published the noon before: 36 hours at most. Another year lets a correction be known long before it was.
        _expect_seldom("published_at", "(scheduled_departure - published_at).dt.total_seconds() > 172800", 0.02),
        # A route has one distance, to a mile: destinations shifted by a row break this in 7 of 10 rows.
        _expect_seldom("distance", "abs(distance - distance.groupby(origin + dest).transform('median')) > 5", 0.02),
        # Corrections come at any hour, so another zone is shown and does not block.
        _expect_no_case("published_at", "published_at.dt.hour != 12", "warn", 1, 0),
    )


def departure_rules() -> Sequence[Expectation]:
    """List the expectations of reports of departures."""
    since = "(reported_at - scheduled_departure).dt.total_seconds() / 60"
    return (
        *_flight_rules(),
        _expect_present("tailnum", 0.9),
        _expect_one_owner(),
        # Carriers fly their routes more than once a day; shifted by a row, destinations make a third of them single.
        # Days of 2013: to 0.19.
        _expect_seldom("dest", "dest.groupby(carrier + origin + dest).transform('count') == 1", 0.25, 600),
        _expect_between("departure_delay", -180, 2000),
        _expect_grid("departure_delay", 1),
        _expect_never("departure_delay", f"{since} < departure_delay"),  # reported before it happened
        _expect_seldom("departure_delay", f"{since} > departure_delay + 60", 0.5),  # another zone; an outage is short
        _expect_typical("departure_delay", -30, 180, 200),  # days of 2013: -5 to 36
        _expect_seldom("departure_delay", "departure_delay == 0", 0.2),  # days of 2013: to 0.09; in whole hours most
        _expect_spread("departure_delay", -2, 20),  # days of 2013: -11 to -5, 37 to 399
    )


def outcome_rules() -> Sequence[Expectation]:
    """List the expectations of reports of outcomes."""
    from great_expectations.expectations.row_conditions import Column as Condition

    gate_to_gate = "((reported_at - scheduled_departure).dt.total_seconds() / 60 - 30 - arrival_delay)"
    # `rsub`, since the condition's language calls methods of columns only, not of other expressions.
    since = "arrival_delay.rsub((reported_at - scheduled_departure).dt.total_seconds() / 60)"
    flown = {"row_condition": Condition("cancelled") == 0}
    return (
        *_flight_rules(),
        _expect_present("tailnum", 0.9, **flown),
        _expect_one_owner(),
        *(_expect_between(name, -180, 2000) for name in _DELAYS),
        *(_expect_grid(name, 1) for name in _DELAYS),
        *(_expect_between(name, 0, 1) for name in ("cancelled", "diverted")),
        # The 8,255 cancelled and 1,175 diverted flights are good rows: they have an outcome, and it is no delay.
        _expect_none_if("departure_delay", "cancelled"),
        _expect_none_if("arrival_delay", "cancelled"),
        _expect_none_if("arrival_delay", "diverted"),
        # All other flights have a delay. Without this rule an empty column would silently leave them unlabelled.
        _expect_never("cancelled", "cancelled == 0 and departure_delay.isna()"),
        _expect_never("diverted", "cancelled == 0 and diverted == 0 and arrival_delay.isna()"),
        _make_rule("ExpectColumnMeanToBeBetween", "block", 200, column="cancelled", max_value=0.9),  # to 0.71
        _make_rule("ExpectColumnMeanToBeBetween", "block", 200, column="diverted", max_value=0.2),  # to 0.03
        # A report in another zone: of a clean day at most 0.7 % lie outside, and an hour moves 4 % or more.
        _expect_seldom("arrival_delay", f"{gate_to_gate} < 45 or {gate_to_gate} > 420", 0.02, 300),
        # Delays or destinations shifted by a row: of a clean day at most 0.2 % lie so far from the median of their
        # destination, and of a shifted one 5 % or more.
        _expect_seldom("arrival_delay", f"abs({since} - {since}.groupby(dest).transform('median')) > 40", 0.01, 600),
        _expect_typical("arrival_delay", -60, 180, 200),  # days of 2013: -21 to 46
        _expect_seldom("departure_delay", "departure_delay == 0", 0.2),  # days of 2013: to 0.09
        _expect_seldom("arrival_delay", "arrival_delay == 0", 0.1),  # to 0.04; in whole hours most
        _expect_seldom("arrival_delay", "arrival_delay == departure_delay", 0.15),  # to 0.05: one column copied
        _expect_spread("departure_delay", -2, 20),  # days of 2013: -11 to -5, 48 to 393
        _expect_spread("arrival_delay", -3, 16),  # days of 2013: -48 to -8, 35 to 399; none late: at most 15
    )


def weather_rules() -> Sequence[Expectation]:
    """List the expectations of observations of the weather."""
    return (
        _expect_one_of("origin", _ORIGINS),
        _expect_between("temperature", -60, 130),
        _expect_between("dew_point", -60, 100),
        _expect_above("temperature", "dew_point", or_equal=True),
        _expect_between("humidity", 0, 100),
        # Temperature and dew point fix the humidity; in Celsius the two lie too close together for it. No row of 2013
        # breaks this, and in Celsius 42 % or more of every day's would. (Rejected: the median of a week, which in
        # summer is a possible one in either unit.)
        _expect_never("humidity", "temperature - dew_point < 0.23 * (100 - humidity)"),
        *_air_rules(),
        # Stations measure tenths of °C, knots and tens of degrees; the source converts them, and so its values lie on
        # that grid. In another unit they do not: °C, km/h, m/s or knots in 6 of 10 hours or more of every day of 2013.
        *(_expect_grid(name, 0.18, 32) for name in ("temperature", "dew_point")),
        *(_expect_grid(name, 1.15078) for name in ("wind_speed", "wind_gust")),
        _expect_grid("wind_direction", 10),
        _expect_between("wind_direction", 0, 360),
        # The source reports 1048 mph at EWR on 12 February, 08:00 UTC; no wind on the surface has ever been above 253.
        *(_expect_between(name, 0, 253) for name in ("wind_speed", "wind_gust")),
        _expect_between("precipitation", 0, 12),
        _expect_grid("precipitation", 0.01),
        _expect_seldom("precipitation", "precipitation > 0.5", 0.05, 48),  # days of 2013: to 0.03; rain in mm is above
        # Of the same rain: days of 2013 to 0.24.
        _expect_seldom("precipitation", "precipitation > 0 and precipitation == precipitation.mode().max()", 0.5, 48),
        *(_expect_varied(name, 0.7, 48) for name in ("temperature", "dew_point", "humidity", *_WIND)),
        _expect_varied("pressure", 0.4, 48),  # days of 2013: to 0.14; of the others to 0.44
        _make_rule("ExpectColumnMedianToBeBetween", "block", 48, column="visibility", min_value=0.1),  # 0.5 and more
        _expect_between("pressure", 850, 1100),
        _expect_between("visibility", 0, 10),
        _expect_typical("temperature", 5, 100, 48),  # days of 2013: 16 to 90
        # Missing on days of 2013: pressure to 0.64, directions to 0.1, of the others to 0.014.
        *(_expect_present(name, 0.9) for name in ("temperature", "dew_point", "humidity", "wind_speed")),
        *(_expect_present(name, 0.9) for name in ("precipitation", "visibility")),
        _expect_present("wind_direction", 0.7),
        _expect_present("pressure", 0.1),
    )


def _air_rules() -> Sequence[Expectation]:
    """List the rules that compare temperature, dew point, humidity and hour with each other."""
    air, dew = (f"17.625 * ({name} - 32) / ({name} + 405.472)" for name in ("temperature", "dew_point"))  # of °F
    hour = "observed_at.dt.hour"
    warm = f"(temperature.groupby({hour}).transform('mean') - temperature.mean())"
    inverted = f"(7 <= {hour} <= 12 and {warm} > 0) or (16 <= {hour} <= 22 and {warm} < 0)"
    return (
        # Magnus' formula gives the humidity to 1 %: of a clean day at most 35 % of the rows lie outside, and 47 % or
        # more if one of the three is shifted by a row.
        _expect_seldom("humidity", f"abs(humidity - 100 * exp({dew} - {air})) > 1", 0.4, 48),
        # In another time zone nights are warmer than days. No two weeks of 2013 are; a single day may be.
        _expect_seldom("temperature", inverted, 0.03, 950),
    )


def plane_rules() -> Sequence[Expectation]:
    """List the expectations of aircraft. A value outside of these ranges would stop the features of all flights."""
    owner = "tailnum.str.slice(-2)"
    rare = f"model.groupby({owner} + model).transform('count') < 0.1 * model.groupby({owner}).transform('count')"
    return (
        *_tail_rules(),
        _expect_between("built", 1930, 2100),
        _expect_between("seats", 1, 1000),
        _expect_between("engines", 1, 8),
        _expect_present("built", 0.9),
        _expect_varied("seats", 0.6),
        # Columns shifted by a row. A model has its seats (all but 0.4 %) and its time of manufacture (all but 2.5 %;
        # shifted 58 % and 19 %), and an owner, who chooses the last letters, flies few models (all but 6 %; 32 %).
        _expect_seldom("seats", "seats != seats.groupby(model).transform('median')", 0.05),
        _expect_seldom("built", "abs(built - built.groupby(model).transform('median')) > 8", 0.08),
        _expect_seldom("tailnum", rare, 0.15, 1000),
    )


def airport_rules() -> Sequence[Expectation]:
    """List the expectations of airports: possible codes and places."""
    return (
        _expect_pattern("airport", r"^[0-9A-Z]{3}$"),
        _expect_between("latitude", -90, 90),
        _expect_between("longitude", -180, 180),
    )


def airline_rules() -> Sequence[Expectation]:
    """List the expectations of airlines: possible codes."""
    return (_expect_pattern("carrier", r"^[0-9A-Z]{2}$"),)
