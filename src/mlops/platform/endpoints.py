"""Serving endpoints of a workspace. This is the only module that calls their API.

A bundle cannot declare the endpoint: the first deployment of the bundle would fail, since the model has no version yet.
So the job that makes a version champion also creates the endpoint.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

from mlops.contract import Conflict, MlopsError
from mlops.contract.model_version import CHECK
from mlops.platform import sdk

if TYPE_CHECKING:
    from databricks.sdk import WorkspaceClient
    from databricks.sdk.service.serving import (
        AiGatewayConfig,
        EndpointCoreConfigOutput,
        ServedEntityInput,
        ServingEndpointDetailed,
        TrafficConfig,
    )

_PATIENCE = 25 * 60
"""Longest duration of an endpoint's change, seconds: it builds a container. The waiting task may take an hour."""
_LONGEST_PAUSE = 10.0
"""Longest pause between two polls of an endpoint that is being changed, seconds."""


@dataclass(frozen=True, kw_only=True)
class EndpointSettings:
    """Settings of an endpoint, from the bundle."""

    name: str
    model: str
    """catalog.schema.model; an endpoint of another model is not changed."""
    size: str = "Small"
    scale_to_zero: bool = True
    inference_table: bool = False
    """Whether the platform keeps requests and responses in a table of the model's schema."""
    calls_per_minute: int = 0
    """Limit of the endpoint; 0: none."""
    users: str = ""
    """Group that may query it; empty: only the identity that created it."""


@dataclass(frozen=True)
class Answer:
    """The response to one request."""

    predictions: Any
    seconds: float
    version: int | None
    """The version that answered; None: the response does not name it."""


class Endpoint(Protocol):
    """An open endpoint, in a workspace or on a laptop."""

    def read_traffic(self) -> Mapping[int, int]:
        """Return the per cent of the requests that each version gets; empty: there is no endpoint."""

    def set_traffic(self, traffic: Mapping[int, int]) -> None:
        """Serve versions with these per cent, which sum to 100, and wait until they are ready.

        The endpoint is made if it does not exist. A repeat changes nothing.

        Raises:
            MlopsError: the versions did not become ready, or the platform refused; says why.
            Conflict: the endpoint serves another model.
        """

    def restore(self) -> None:
        """Put back what was served before the first `set_traffic`; delete an endpoint that was not there."""

    def ask(self, request: Mapping[str, Any], version: int | None = None) -> Answer:
        """Send one request of the form `dataframe_split`, to a version or, without one, as the traffic says.

        Raises:
            MlopsError: the endpoint answered with an error.
        """


class WorkspaceEndpoint:
    """An endpoint of the workspace that the process is logged in to."""

    def __init__(self, settings: EndpointSettings) -> None:
        self._settings = settings
        self._before: EndpointCoreConfigOutput | None = None
        self._is_changed = False

    @cached_property
    def _client(self) -> WorkspaceClient:
        return sdk.workspace_client()

    def read_traffic(self) -> Mapping[int, int]:
        """Return the per cent of the requests that each version gets; empty: there is no endpoint."""
        with self._translate("reading"):
            there = self._find_endpoint()
        return _traffic_of(there.config) if there and there.config else {}

    def set_traffic(self, traffic: Mapping[int, int]) -> None:
        """Serve versions with these per cent, see `Endpoint.set_traffic`."""
        from databricks.sdk.service.serving import Route, TrafficConfig

        settings = self._settings
        entities = [self._entity_of(version) for version in traffic]
        routes = [Route(traffic_percentage=share, served_entity_name=self._name_of(v)) for v, share in traffic.items()]
        with self._translate(f"serving {settings.model} {describe_traffic(traffic)} by"):
            there = self._find_endpoint()
            if there is not None:
                self._check_model(there)
            if not self._is_changed:
                self._before, self._is_changed = there and there.config, True
            changed = self._apply_config(there, entities, TrafficConfig(routes))
            self._change_gateway(changed)
            self._let_users_query(changed)

    def restore(self) -> None:
        """Put back what was served before the first `set_traffic`, see `Endpoint.restore`."""
        from databricks.sdk.errors import NotFound
        from databricks.sdk.service.serving import ServedEntityInput

        if not self._is_changed:
            return
        with self._translate("restoring"):
            if self._before is None:
                try:
                    self._client.serving_endpoints.delete(self._settings.name)
                except NotFound:
                    return
            else:
                given = [ServedEntityInput.from_dict(e.as_dict()) for e in self._before.served_entities or []]
                self._apply_config(self._find_endpoint(), given, self._before.traffic_config)

    def ask(self, request: Mapping[str, Any], version: int | None = None) -> Answer:
        """Send one request, see `Endpoint.ask`."""
        from databricks.sdk.service.serving import DataframeSplitInput

        if version is not None:
            return self._ask_version(request, version)
        split = DataframeSplitInput.from_dict(dict(request["dataframe_split"]))
        with self._translate("asking"):
            start = time.perf_counter()
            response = self._client.serving_endpoints.query(
                self._settings.name, client_request_id=CHECK, dataframe_split=split
            )
            seconds = time.perf_counter() - start
        number = (response.served_model_name or "").rpartition("-")[2]
        return Answer(response.predictions, seconds, int(number) if number.isdecimal() else None)

    def _ask_version(self, request: Mapping[str, Any], version: int) -> Answer:
        """Send a request to one version, whatever its share of the traffic; the SDK has no method for this path."""
        path = f"/serving-endpoints/{self._settings.name}/served-models/{self._name_of(version)}/invocations"
        with self._translate(f"asking version {version} of"):
            start = time.perf_counter()
            response: Any = self._client.api_client.do("POST", path, body={**request, "client_request_id": CHECK})
            seconds = time.perf_counter() - start
        return Answer(response.get("predictions"), seconds, version)

    def _translate(self, doing: str) -> Any:
        return sdk.translate_errors(f"{doing} endpoint {self._settings.name} (its page shows build and service logs)")

    def _find_endpoint(self) -> ServingEndpointDetailed | None:
        from databricks.sdk.errors import NotFound

        try:
            return self._client.serving_endpoints.get(self._settings.name)
        except NotFound:
            return None

    def _name_of(self, version: int) -> str:
        return f"{self._settings.model.rpartition('.')[2]}-{version}"

    def _entity_of(self, version: int) -> ServedEntityInput:
        from databricks.sdk.service.serving import ServedEntityInput

        return ServedEntityInput(
            name=self._name_of(version), entity_name=self._settings.model, entity_version=str(version),
            workload_size=self._settings.size, scale_to_zero_enabled=self._settings.scale_to_zero,
        )  # fmt: skip

    def _check_model(self, there: ServingEndpointDetailed) -> None:
        entities = (there.config.served_entities if there.config else None) or []
        others = sorted({entity.entity_name or "?" for entity in entities} - {self._settings.model})
        if others:
            raise Conflict(
                f"endpoint {there.name} serves {', '.join(others)}, not {self._settings.model}: name another endpoint "
                "in the bundle's variable 'endpoint'"
            )

    def _apply_config(
        self, there: ServingEndpointDetailed | None, entities: list[ServedEntityInput], traffic: TrafficConfig | None
    ) -> ServingEndpointDetailed:
        """Create or change the endpoint and wait until it is ready; do nothing if it already has this configuration.

        Waits first for a change that somebody else or a killed run has started.

        Args:
            there: the endpoint as `_find_endpoint` has just read it; None: it is created.
            entities: what it serves.
            traffic: each entity's share of the requests.
        """
        from databricks.sdk.service.serving import EndpointCoreConfigInput, EndpointStateConfigUpdate

        name = self._settings.name
        if there is None:
            config = EndpointCoreConfigInput(name, served_entities=entities, traffic_config=traffic)
            self._client.serving_endpoints.create(name, config=config, ai_gateway=self._gateway())
            return self._wait_until_ready()
        there = self._wait_until_idle(there)
        same = there.config is not None and (_facts_of(entities), _shares_of(traffic)) == (
            _facts_of(there.config.served_entities or []), _shares_of(there.config.traffic_config)
        )  # fmt: skip
        if not same or (there.state and there.state.config_update) != EndpointStateConfigUpdate.NOT_UPDATING:
            self._client.serving_endpoints.update_config(name, served_entities=entities, traffic_config=traffic)
        return self._wait_until_ready()

    def _wait_until_idle(self, there: ServingEndpointDetailed | None = None) -> ServingEndpointDetailed:
        """Wait until no change is under way, whether it succeeded or failed; `there`: the endpoint as just read."""
        from databricks.sdk.service.serving import EndpointStateConfigUpdate

        deadline, pause = time.monotonic() + _PATIENCE, 1.0
        there = there or self._client.serving_endpoints.get(self._settings.name)
        while there.state is not None and there.state.config_update == EndpointStateConfigUpdate.IN_PROGRESS:
            pause = self._pause(deadline, pause, "is being changed")
            there = self._client.serving_endpoints.get(self._settings.name)
        return there

    def _wait_until_ready(self) -> ServingEndpointDetailed:
        """Wait until the change has ended and every served version is ready."""
        from databricks.sdk.service.serving import EndpointStateConfigUpdate, EndpointStateReady

        deadline, pause = time.monotonic() + _PATIENCE, 1.0
        while True:
            there = self._wait_until_idle()
            update = there.state.config_update if there.state else None
            if update != EndpointStateConfigUpdate.NOT_UPDATING:
                raise MlopsError(
                    f"endpoint {there.name}: the change ended as {update.value if update else 'unknown'}"
                    f"{_explain_failure(there)}; its page shows build and service logs"
                )
            if there.state and there.state.ready == EndpointStateReady.READY:
                return there
            pause = self._pause(deadline, pause, "is not ready")

    def _pause(self, deadline: float, pause: float, state: str) -> float:
        if time.monotonic() > deadline:
            raise MlopsError(
                f"endpoint {self._settings.name} {state} after {_PATIENCE // 60} minutes; its page shows why"
            )
        time.sleep(min(pause, _LONGEST_PAUSE))
        return pause + 1

    def _gateway(self) -> AiGatewayConfig | None:
        """Build the gateway's configuration from the settings; None: all of its features are off."""
        from databricks.sdk.service import serving

        settings, limits = self._settings, []
        catalog, schema, _ = settings.model.split(".")
        if settings.calls_per_minute:
            minute, whole = serving.AiGatewayRateLimitRenewalPeriod.MINUTE, serving.AiGatewayRateLimitKey.ENDPOINT
            limits.append(serving.AiGatewayRateLimit(minute, calls=settings.calls_per_minute, key=whole))
        table = serving.AiGatewayInferenceTableConfig(enabled=settings.inference_table)
        if settings.inference_table:
            table.catalog_name, table.schema_name = catalog, schema
            table.table_name_prefix = settings.name.replace("-", "_")
        on = settings.inference_table or settings.calls_per_minute
        return serving.AiGatewayConfig(inference_table_config=table, rate_limits=limits) if on else None

    def _change_gateway(self, there: ServingEndpointDetailed) -> None:
        from databricks.sdk.service.serving import AiGatewayConfig, AiGatewayInferenceTableConfig

        wanted = self._gateway() or AiGatewayConfig(
            inference_table_config=AiGatewayInferenceTableConfig(enabled=False), rate_limits=[]
        )
        if _gateway_facts(wanted) != _gateway_facts(there.ai_gateway):
            self._client.serving_endpoints.put_ai_gateway(
                self._settings.name, inference_table_config=wanted.inference_table_config,
                rate_limits=wanted.rate_limits,
            )  # fmt: skip

    def _let_users_query(self, there: ServingEndpointDetailed) -> None:
        from databricks.sdk.service.serving import ServingEndpointAccessControlRequest, ServingEndpointPermissionLevel

        if self._settings.users:
            allowed = ServingEndpointAccessControlRequest(
                group_name=self._settings.users, permission_level=ServingEndpointPermissionLevel.CAN_QUERY
            )
            self._client.serving_endpoints.update_permissions(there.id or "", access_control_list=[allowed])


def describe_traffic(traffic: Mapping[int, int]) -> str:
    """Describe each version's share of the requests, such as "version 3 (95 %)"; empty: nothing is served."""
    return " and ".join(f"version {version} ({share} %)" for version, share in traffic.items())


def _traffic_of(config: EndpointCoreConfigOutput) -> dict[int, int]:
    versions = {entity.name: int(entity.entity_version or 0) for entity in config.served_entities or []}
    return {versions.get(name, 0): share for name, share in _shares_of(config.traffic_config).items()}


def _shares_of(traffic: TrafficConfig | None) -> dict[str | None, int]:
    routes = (traffic.routes if traffic else None) or []
    return {route.served_entity_name or route.served_model_name: route.traffic_percentage for route in routes}


def _facts_of(entities: Any) -> list[tuple[Any, ...]]:
    return [
        (entity.name, entity.entity_name, entity.entity_version, entity.workload_size, entity.scale_to_zero_enabled)
        for entity in entities
    ]


def _gateway_facts(gateway: AiGatewayConfig | None) -> tuple[Any, ...]:
    """Values by which two gateways are compared. A table that is off equals a table that is not set."""
    table = gateway.inference_table_config if gateway else None
    kept = (table.catalog_name, table.schema_name, table.table_name_prefix) if table and table.enabled else None
    limits = (gateway.rate_limits if gateway else None) or []
    return kept, [(limit.calls, limit.key) for limit in limits]


def _explain_failure(there: ServingEndpointDetailed) -> str:
    """The platform's message about each version that did not start."""
    entities = (there.pending_config.served_entities if there.pending_config else None) or []
    entities = [*entities, *((there.config.served_entities if there.config else None) or [])]
    states = [(entity.name, entity.state) for entity in entities]
    texts = [f"{name}: {s.deployment_state_message}" for name, s in states if s and s.deployment_state_message]
    return f" ({'; '.join(texts)})" if texts else ""
