"""Serving endpoints through the real SDK: made, changed, left alone, and never taken from somebody else."""

from __future__ import annotations

import pytest
from double import Double, Refused, busy, denied

from mlops.contract import ConfigError, Conflict, MlopsError
from mlops.serving import endpoint

MODEL = "prod.flights.late"


def served(double: Double) -> list[tuple[str, str]]:
    entities = double.endpoints["late"]["config"]["served_entities"]
    return [(entity["entity_name"], entity["entity_version"]) for entity in entities]


def test_the_first_champion_makes_the_endpoint_and_the_next_changes_it(double: Double) -> None:
    assert endpoint.serve_version("late", MODEL, 1)
    assert served(double) == [(MODEL, "1")]
    assert endpoint.serve_version("late", MODEL, 2)
    assert served(double) == [(MODEL, "2")]
    assert double.endpoints["late"]["config"]["served_entities"][0]["scale_to_zero_enabled"]


def test_a_repeat_changes_nothing(double: Double) -> None:
    endpoint.serve_version("late", MODEL, 1)
    assert not endpoint.serve_version("late", MODEL, 1)
    assert double.count("POST", "/serving-endpoints") == 1
    assert double.count("PUT", "/serving-endpoints") == 0


def test_a_version_whose_update_failed_is_tried_again(double: Double) -> None:
    endpoint.serve_version("late", MODEL, 1)
    double.endpoints["late"]["state"]["config_update"] = "UPDATE_FAILED"
    assert endpoint.serve_version("late", MODEL, 1)
    assert double.count("PUT", "/serving-endpoints") == 1


def test_a_version_that_does_not_come_up_is_an_error(double: Double) -> None:
    endpoint.serve_version("late", MODEL, 1)
    double.outcome = "UPDATE_FAILED"
    with pytest.raises(
        MlopsError, match=r"version 2 by endpoint late \(its page shows build and service logs\).*FAILED"
    ):
        endpoint.serve_version("late", MODEL, 2)


def test_an_update_under_way_is_somebody_else_s(double: Double) -> None:
    endpoint.serve_version("late", MODEL, 1)
    double.endpoints["late"]["state"]["config_update"] = "IN_PROGRESS"
    with pytest.raises(Conflict, match="endpoint late is being changed by somebody else"):
        endpoint.serve_version("late", MODEL, 2)
    assert served(double) == [(MODEL, "1")]


def test_of_two_that_start_at_once_one_is_told_so(double: Double) -> None:
    double.fail("POST", "/serving-endpoints", Refused(409, "RESOURCE_ALREADY_EXISTS", "already exists"))
    with pytest.raises(MlopsError, match=r"serving prod.flights.late version 1 by endpoint late.*wait and try again"):
        endpoint.serve_version("late", MODEL, 1)


def test_another_model_s_endpoint_is_left_alone(double: Double) -> None:
    endpoint.serve_version("late", "prod.other.model", 7)
    with pytest.raises(Conflict, match=r"endpoint late serves prod.other.model, not prod.flights.late"):
        endpoint.serve_version("late", MODEL, 1)
    assert served(double) == [("prod.other.model", "7")]


def test_throttling_is_waited_out_and_a_refusal_is_told(double: Double) -> None:
    double.fail("GET", "/serving-endpoints/late", busy(0))
    assert endpoint.serve_version("late", MODEL, 1)
    double.refuse("PUT", "/serving-endpoints/late/config", denied("CAN_MANAGE on endpoint late"))
    with pytest.raises(MlopsError, match=r"CAN_MANAGE on endpoint late.*you lack the right"):
        endpoint.serve_version("late", MODEL, 2)


@pytest.mark.parametrize("name", ["", "-late", "late-", "a b", "late/../x", "n" * 64])
def test_a_name_that_the_platform_refuses_is_refused(double: Double, name: str) -> None:
    with pytest.raises(ConfigError, match="is no name of an endpoint"):
        endpoint.serve_version(name, MODEL, 1)
    assert double.calls == []
