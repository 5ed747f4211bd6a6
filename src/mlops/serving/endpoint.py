"""Serving endpoints: the only module that knows them.

A bundle cannot declare one: the first deployment would fail, since no version of the model is there yet, and a bundle
with an endpoint may run as nobody but its deployer. So the job that makes a version champion makes the endpoint, too.
"""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING

from mlops.contract import ConfigError, Conflict
from mlops.platform import sdk

if TYPE_CHECKING:
    from databricks.sdk import WorkspaceClient
    from databricks.sdk.service.serving import ServingEndpointDetailed

_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9])?")
_READY = timedelta(minutes=25)
"""An endpoint takes minutes to build; the task that waits for it has 30."""


def serve_version(endpoint: str, model: str, version: int) -> bool:
    """Make an endpoint serve one version and wait until it does; it is made if it is not there.

    The version before goes on serving until the new one is up. Repeating it changes nothing.

    Args:
        endpoint: its name in the workspace.
        model: catalog.schema.model.
        version: whole traffic goes to it; small, and scaled to zero when nobody asks.

    Returns:
        False: it served this version already.

    Raises:
        ConfigError: the endpoint's name is none that the platform takes.
        Conflict: somebody else is changing the endpoint, or it serves another model.
        MlopsError: the platform refused, or the version did not come up; says where its logs are.
    """
    from databricks.sdk.service.serving import EndpointCoreConfigInput, ServedEntityInput

    if not _NAME.fullmatch(endpoint):
        raise ConfigError(f"{endpoint!r} is no name of an endpoint: at most 63 letters, digits, - and _ inside")
    client = sdk.workspace_client()
    entity = ServedEntityInput(
        name=f"version-{version}",
        entity_name=model,
        entity_version=str(version),
        workload_size="Small",
        scale_to_zero_enabled=True,
    )
    with sdk.translate_errors(
        f"serving {model} version {version} by endpoint {endpoint} (its page shows build and service logs)"
    ):
        there = _find_endpoint(client, endpoint)
        if there is None:
            client.serving_endpoints.create_and_wait(
                endpoint, config=EndpointCoreConfigInput(name=endpoint, served_entities=[entity]), timeout=_READY
            )
            return True
        if _served_version(there, endpoint, model) == str(version):
            return False
        client.serving_endpoints.update_config_and_wait(endpoint, served_entities=[entity], timeout=_READY)
    return True


def _find_endpoint(client: WorkspaceClient, endpoint: str) -> ServingEndpointDetailed | None:
    from databricks.sdk.errors import NotFound

    try:
        return client.serving_endpoints.get(endpoint)
    except NotFound:
        return None


def _served_version(there: ServingEndpointDetailed, endpoint: str, model: str) -> str | None:
    """The version that an endpoint serves; None where the last change of it failed."""
    from databricks.sdk.service.serving import EndpointStateConfigUpdate

    update = there.state.config_update if there.state else None
    if update == EndpointStateConfigUpdate.IN_PROGRESS:
        raise Conflict(f"endpoint {endpoint} is being changed by somebody else: wait until it is ready, then run again")
    entities = (there.config.served_entities if there.config else None) or []
    others = sorted({entity.entity_name or "?" for entity in entities} - {model})
    if others:
        raise Conflict(f"endpoint {endpoint} serves {', '.join(others)}, not {model}: name another endpoint")
    return (
        entities[0].entity_version if len(entities) == 1 and update == EndpointStateConfigUpdate.NOT_UPDATING else None
    )
