"""Serving endpoints through the real SDK: made, changed, left alone, put back, and never taken from somebody else."""

from __future__ import annotations

import json

import pytest
from double import Double, Refused, busy, denied
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlops.contract import Conflict, MlopsError
from mlops.platform import endpoints
from mlops.platform.endpoints import EndpointSettings, WorkspaceEndpoint

MODEL = "prod.flights.late"
REQUEST = {"dataframe_split": {"columns": ["a"], "data": [[1.0]]}}


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch):
    monkeypatch.setattr(endpoints, "_LONGEST_PAUSE", 0.0)


def opened(**given):
    return WorkspaceEndpoint(EndpointSettings(name="late", model=given.pop("model", MODEL), **given))


def served(double):
    config = double.endpoints.by_name["late"]["config"]
    shares = {route["served_entity_name"]: route["traffic_percentage"] for route in config["traffic_config"]["routes"]}
    return {(e["entity_name"], e["entity_version"]): shares[e["name"]] for e in config["served_entities"]}


def test_the_first_champion_makes_the_endpoint_and_the_next_changes_it(double: Double) -> None:
    opened().set_traffic({1: 100})
    assert served(double) == {(MODEL, "1"): 100}
    opened().set_traffic({1: 95, 2: 5})
    assert served(double) == {(MODEL, "1"): 95, (MODEL, "2"): 5}
    assert opened().read_traffic() == {1: 95, 2: 5}
    (entity, _) = double.endpoints.by_name["late"]["config"]["served_entities"]
    assert (entity["workload_size"], entity["scale_to_zero_enabled"]) == ("Small", True)
    endpoint = opened()
    endpoint.set_traffic({1: 30, 2: 70})
    assert {endpoint.ask(REQUEST).version for _ in range(2)} == {1, 2}


def test_it_waits_until_the_change_has_ended_and_all_is_ready(double: Double) -> None:
    double.endpoints.steps = 3
    opened().set_traffic({1: 100})
    assert double.endpoints.by_name["late"]["state"] == {"ready": "READY", "config_update": "NOT_UPDATING"}


def test_what_is_not_ready_in_time_is_an_error(double: Double, monkeypatch) -> None:
    monkeypatch.setattr(endpoints, "_PATIENCE", -1)
    double.endpoints.steps = 9
    with pytest.raises(MlopsError, match="endpoint late is being changed after -1 minutes; its page shows why"):
        opened().set_traffic({1: 100})
    double.endpoints.end_change(double.endpoints.by_name["late"])
    with pytest.raises(MlopsError, match="endpoint late is not ready after -1 minutes"):
        opened().set_traffic({1: 100})


def test_a_repeat_changes_nothing(double: Double) -> None:
    given = {"inference_table": True, "calls_per_minute": 60}
    opened(**given).set_traffic({1: 100})
    read = double.count("GET", "/late$")
    opened(**given).set_traffic({1: 100})
    assert double.count("POST", "/serving-endpoints$") == 1
    assert double.count("PUT", "/serving-endpoints") == 0
    assert double.count("GET", "/late$") - read == 2  # what is there, and that it is ready


def test_size_gateway_limits_and_users_are_what_the_bundle_says(double: Double) -> None:
    opened().set_traffic({1: 100})
    changed = {"size": "Large", "scale_to_zero": False, "inference_table": True, "calls_per_minute": 60, "users": "us"}
    opened(**changed).set_traffic({1: 100})
    endpoint = double.endpoints.by_name["late"]
    (entity,) = endpoint["config"]["served_entities"]
    assert (entity["workload_size"], entity["scale_to_zero_enabled"]) == ("Large", False)
    assert endpoint["ai_gateway"] == {
        "inference_table_config": {
            "enabled": True, "catalog_name": "prod", "schema_name": "flights", "table_name_prefix": "late"
        },
        "rate_limits": [{"calls": 60, "key": "endpoint", "renewal_period": "minute"}],
    }  # fmt: skip
    assert double.endpoints.permissions == {"id-of-late": [{"group_name": "us", "permission_level": "CAN_QUERY"}]}
    opened(**changed | {"inference_table": False, "calls_per_minute": 0}).set_traffic({1: 100})
    assert endpoint["ai_gateway"] == {"inference_table_config": {"enabled": False}}


def test_a_version_that_does_not_start_is_an_error_with_the_platforms_words(double: Double) -> None:
    opened().set_traffic({1: 100})
    double.endpoints.outcome = "UPDATE_FAILED"
    with pytest.raises(MlopsError, match=r"late: the change ended as UPDATE_FAILED \(late-2: Container image creation"):
        opened().set_traffic({2: 100})
    assert served(double) == {(MODEL, "1"): 100}
    double.endpoints.outcome = "NOT_UPDATING"
    opened().set_traffic({1: 100})  # the failed change is replaced, although the same version serves
    assert double.endpoints.by_name["late"]["state"]["config_update"] == "NOT_UPDATING"


def test_a_version_that_does_not_exist_is_the_platforms_refusal(double: Double) -> None:
    double.endpoints.models[MODEL] = {"1"}
    with pytest.raises(MlopsError, match=r"version 2 \(100 %\) by endpoint late.*late/2 does not exist"):
        opened().set_traffic({2: 100})


@settings(max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    before=st.sampled_from([{}, {1: 100}, {1: 95, 2: 5}, {2: 75, 3: 25}]),
    after=st.sampled_from([{2: 100}, {1: 100}, {1: 5, 3: 95}]),
    fails=st.booleans(),
)
def test_whatever_was_served_before_is_put_back(double: Double, before, after, fails) -> None:
    double.endpoints.by_name.clear()
    double.endpoints.outcome = "NOT_UPDATING"
    if before:
        opened(size="Medium").set_traffic(before)
    kept = json.dumps(double.endpoints.by_name.get("late", {}).get("config"))
    endpoint = opened()
    double.endpoints.outcome = "UPDATE_FAILED" if fails else "NOT_UPDATING"
    if fails:
        with pytest.raises(MlopsError, match="UPDATE_FAILED"):
            endpoint.set_traffic(after)
    else:
        endpoint.set_traffic(after)
    double.endpoints.outcome = "NOT_UPDATING"
    endpoint.restore()
    assert json.dumps(double.endpoints.by_name.get("late", {}).get("config")) == kept
    assert opened().read_traffic() == before
    endpoint.restore()  # a second time changes nothing
    assert opened().read_traffic() == before


def test_a_change_of_somebody_else_is_waited_for(double: Double) -> None:
    opened().set_traffic({1: 100})
    double.endpoints.change("late", {"served_entities": [
        {"name": "late-7", "entity_name": MODEL, "entity_version": "7", "workload_size": "Small"}]})  # fmt: skip
    opened().set_traffic({2: 100})
    assert served(double) == {(MODEL, "2"): 100}


def test_of_two_that_start_at_once_one_is_told_so(double: Double) -> None:
    double.fail("POST", "/serving-endpoints$", Refused(409, "RESOURCE_ALREADY_EXISTS", "already exists"))
    with pytest.raises(MlopsError, match=r"serving prod.flights.late version 1 .* endpoint late.*wait and try again"):
        opened().set_traffic({1: 100})


def test_another_models_endpoint_is_left_alone(double: Double) -> None:
    opened(model="prod.other.model").set_traffic({7: 100})
    with pytest.raises(Conflict, match=r"endpoint late serves prod.other.model, not prod.flights.late"):
        opened().set_traffic({1: 100})
    assert served(double) == {("prod.other.model", "7"): 100}


def test_throttling_is_waited_out_and_a_refusal_is_told(double: Double) -> None:
    double.fail("GET", "/serving-endpoints/late", busy(0), busy(0))
    opened().set_traffic({1: 100})
    double.fail("POST", "/invocations", busy(0))
    assert opened().ask(REQUEST).predictions == [0.5]
    double.refuse("PUT", "/serving-endpoints/late/config", denied("CAN_MANAGE on endpoint late"))
    with pytest.raises(MlopsError, match=r"CAN_MANAGE on endpoint late.*you lack the right"):
        opened().set_traffic({2: 100})
