"""Serving endpoints of the double: create, change, read, ask, delete, gateway and permissions, as the REST API does it.

Every body that comes in and goes out is held against the SDK's types: a field that they do not know is an error.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from databricks.sdk.service import serving
from refusals import Refused, missing

NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9])?")
CREATE = {"name", "config", "ai_gateway", "tags", "route_optimized", "description"}


def checked(type_: Any, body: dict[str, Any]) -> dict[str, Any]:
    """The body, if the SDK's type knows all that is in it."""
    if type_.from_dict(body).as_dict() != body:
        raise Refused(400, "MALFORMED_REQUEST", f"{type_.__name__} has other fields than {json.dumps(body)}")
    return body


@dataclass
class Endpoints:
    """The serving endpoints of a workspace, and how they behave."""

    by_name: dict[str, dict[str, Any]] = field(default_factory=dict)
    models: dict[str, set[str]] = field(default_factory=dict)
    """Versions that exist, by model; empty: all do."""
    outcome: str = "NOT_UPDATING"
    """What becomes of the next changes."""
    steps: int = 1
    """How often a change is asked for before it has ended, and again before all is ready."""
    predict: Callable[[str, dict[str, Any]], Any] = lambda version, body: [0.5 for _ in body["dataframe_split"]["data"]]
    """What a version answers; it may raise Refused."""
    permissions: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    asked: int = 0

    def find(self, name: str) -> dict[str, Any]:
        if name not in self.by_name:
            raise missing(f"Endpoint with name '{name}'")
        return self.by_name[name]

    def list_all(self) -> dict[str, Any]:
        return {"endpoints": [{key: e[key] for key in ("id", "name", "state")} for e in self.by_name.values()]}

    def create(self, given: dict[str, Any]) -> dict[str, Any]:
        if unknown := given.keys() - CREATE:
            raise Refused(400, "MALFORMED_REQUEST", f"unknown fields {sorted(unknown)}")
        name = given["name"]
        if not NAME.fullmatch(name):
            raise Refused(400, "INVALID_PARAMETER_VALUE", f"Endpoint name '{name}' is invalid")
        if name in self.by_name:
            raise Refused(409, "RESOURCE_ALREADY_EXISTS", f"Endpoint with name '{name}' already exists.")
        config = self.config_of(checked(serving.EndpointCoreConfigInput, given["config"]))
        self.by_name[name] = endpoint = {
            "id": f"id-of-{name}", "name": name, "pending_config": config,
            "state": {"ready": "NOT_READY", "config_update": "IN_PROGRESS"},
        }  # fmt: skip
        if "ai_gateway" in given:
            endpoint["ai_gateway"] = checked(serving.AiGatewayConfig, given["ai_gateway"])
        endpoint["left"] = self.steps
        return self.shown(endpoint)

    def config_of(self, given: dict[str, Any]) -> dict[str, Any]:
        entities = given.get("served_entities") or []
        if not entities:
            raise Refused(400, "INVALID_PARAMETER_VALUE", "At least one served entity is needed")
        for entity in entities:
            known = self.models.get(entity["entity_name"])
            if known is not None and entity["entity_version"] not in known:
                raise Refused(
                    404, "RESOURCE_DOES_NOT_EXIST",
                    f"Model version {entity['entity_name']}/{entity['entity_version']} does not exist.",
                )  # fmt: skip
            if not entity.get("workload_size"):
                raise Refused(400, "INVALID_PARAMETER_VALUE", "workload_size is needed")
        routes = given.get("traffic_config", {}).get("routes") or [
            {"served_entity_name": entities[0]["name"], "traffic_percentage": 100}
        ]
        if sum(route["traffic_percentage"] for route in routes) != 100:
            raise Refused(400, "INVALID_PARAMETER_VALUE", "Traffic percentages must sum to 100")
        if {route["served_entity_name"] for route in routes} - {entity["name"] for entity in entities}:
            raise Refused(400, "INVALID_PARAMETER_VALUE", "A route names no served entity")
        state = {"deployment": "DEPLOYMENT_CREATING"}
        return {
            "served_entities": [{**entity, "creator": "run", "state": state} for entity in entities],
            "traffic_config": {"routes": routes},
        }

    def change(self, name: str, given: dict[str, Any]) -> dict[str, Any]:
        endpoint = self.find(name)
        if endpoint["state"]["config_update"] == "IN_PROGRESS":
            raise Refused(409, "RESOURCE_CONFLICT", f"Endpoint {name} is currently being updated.")
        checked(serving.EndpointCoreConfigInput, {"name": name, **given})
        endpoint["pending_config"] = self.config_of(given)
        endpoint["state"]["config_update"] = "IN_PROGRESS"
        endpoint["left"] = self.steps
        return self.shown(endpoint)

    def get(self, name: str) -> dict[str, Any]:
        endpoint = self.find(name)
        answer = self.shown(endpoint)
        state = endpoint["state"]
        if endpoint.get("left", 0) > 0:
            endpoint["left"] -= 1
        elif state["config_update"] == "IN_PROGRESS":
            self.end_change(endpoint)
        elif state["ready"] == "NOT_READY" and state["config_update"] == "NOT_UPDATING":
            state["ready"] = "READY"
        return answer

    def end_change(self, endpoint: dict[str, Any]) -> None:
        """The new versions start, or the old ones go on serving."""
        endpoint["state"]["config_update"] = self.outcome
        endpoint["left"] = self.steps
        states = {"NOT_UPDATING": "DEPLOYMENT_READY", "UPDATE_FAILED": "DEPLOYMENT_FAILED"}
        for entity in endpoint["pending_config"]["served_entities"]:
            entity["state"] = {"deployment": states.get(self.outcome, "DEPLOYMENT_ABORTED")}
            if self.outcome == "UPDATE_FAILED":
                entity["state"]["deployment_state_message"] = "Container image creation failed"
        if self.outcome == "NOT_UPDATING":
            endpoint["config"] = endpoint.pop("pending_config")

    def shown(self, endpoint: dict[str, Any]) -> dict[str, Any]:
        answer = json.loads(json.dumps({key: value for key, value in endpoint.items() if key != "left"}))
        return checked(serving.ServingEndpointDetailed, answer)

    def ask(self, name: str, body: dict[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
        """Answer with a version chosen by the traffic: response and headers."""
        endpoint = self.find(name)
        if endpoint["state"]["ready"] != "READY":
            raise Refused(400, "BAD_REQUEST", f"Endpoint {name} is not ready")
        checked(serving.DataframeSplitInput, body["dataframe_split"])
        place, self.asked = self.asked * 37 % 100, self.asked + 1
        for route in endpoint["config"]["traffic_config"]["routes"]:
            place -= route["traffic_percentage"]
            if place < 0:
                break
        served = route["served_entity_name"]
        (entity,) = [e for e in endpoint["config"]["served_entities"] if e["name"] == served]
        return {"predictions": self.predict(entity["entity_version"], body)}, {"Served-Model-Name": served}

    def ask_version(self, name: str, served: str, body: dict[str, Any]) -> dict[str, Any]:
        """Answer with one served entity, whatever its share of the traffic is."""
        entities = [e for e in self.find(name)["config"]["served_entities"] if e["name"] == served]
        if not entities:
            raise missing(f"Served model '{served}'")
        checked(serving.DataframeSplitInput, body["dataframe_split"])
        return {"predictions": self.predict(entities[0]["entity_version"], body)}

    def put_gateway(self, name: str, given: dict[str, Any]) -> dict[str, Any]:
        self.find(name)["ai_gateway"] = checked(serving.AiGatewayConfig, {k: v for k, v in given.items() if v != []})
        return given

    def delete(self, name: str) -> None:
        self.find(name)
        del self.by_name[name]

    def allow(self, endpoint_id: str, given: dict[str, Any]) -> dict[str, Any]:
        if endpoint_id not in {endpoint["id"] for endpoint in self.by_name.values()}:
            raise missing(f"Endpoint with id '{endpoint_id}'")
        rows = [checked(serving.ServingEndpointAccessControlRequest, row) for row in given["access_control_list"]]
        kept = self.permissions.setdefault(endpoint_id, [])
        kept += [row for row in rows if row not in kept]
        return {"object_id": f"/serving-endpoints/{endpoint_id}", "object_type": "serving-endpoint"}


_PATH = "/api/2.0/serving-endpoints"
ROUTES: tuple[tuple[str, str, Callable[..., Any]], ...] = (
    ("GET", _PATH, lambda d, q, b: d.endpoints.list_all()),
    ("POST", _PATH, lambda d, q, b: d.endpoints.create(json.loads(b))),
    ("GET", f"{_PATH}/([^/]+)", lambda d, q, b, name: d.endpoints.get(name)),
    ("DELETE", f"{_PATH}/([^/]+)", lambda d, q, b, name: d.endpoints.delete(name)),
    ("PUT", f"{_PATH}/([^/]+)/config", lambda d, q, b, name: d.endpoints.change(name, json.loads(b))),
    ("PUT", f"{_PATH}/([^/]+)/ai-gateway", lambda d, q, b, name: d.endpoints.put_gateway(name, json.loads(b))),
    ("POST", "/serving-endpoints/([^/]+)/invocations", lambda d, q, b, name: d.endpoints.ask(name, json.loads(b))),
    ("POST", "/serving-endpoints/([^/]+)/served-models/([^/]+)/invocations",
     lambda d, q, b, name, served: d.endpoints.ask_version(name, served, json.loads(b))),
    ("PATCH", "/api/2.0/permissions/serving-endpoints/([^/]+)",
     lambda d, q, b, name: d.endpoints.allow(name, json.loads(b))),
)  # fmt: skip
