"""Writes the definition of an Azure ML managed online endpoint that runs the exported container.

Azure ML runs it as it runs any container. Its own MLflow images and its tracking server support MLflow 2 only, so
neither its no-code deployment of an MLflow model nor its registry accepts these files.
"""

from __future__ import annotations

import re

from mlops.platform.scoring_server import PORT, VersionCard

_SCHEMA = "https://azuremlschemas.azureedge.net/latest/managedOnline{}.schema.json"
_HEALTH = {"port": PORT, "path": "/ping"}


def render_azure_files(card: VersionCard) -> dict[str, str]:
    """Render endpoint.yml and deployment.yml for one version; they stand in a folder beside the Dockerfile."""
    import yaml

    _, _, model = card.name.partition(" ")[0].split(".")
    name, number = _make_name(card.name.partition(".")[0], model), card.name.rpartition(" ")[2]
    endpoint = {"$schema": _SCHEMA.format("Endpoint"), "name": name, "auth_mode": "aad_token"}
    deployment = {
        "$schema": _SCHEMA.format("Deployment"),
        "name": f"v{number}",
        "endpoint_name": name,
        "environment": {
            "build": {"path": "..", "dockerfile_path": "Dockerfile"},
            "inference_config": {
                "liveness_route": _HEALTH,
                "readiness_route": _HEALTH,
                "scoring_route": {"port": PORT, "path": "/invocations"},
            },
        },
        "instance_type": "Standard_DS3_v2",
        "instance_count": 1,
        "tags": {"version": card.name, "digest": card.artifact_digest},
    }
    files = {"endpoint.yml": endpoint, "deployment.yml": deployment}
    return {name: yaml.safe_dump(content, sort_keys=False) for name, content in files.items()}


def _make_name(catalog: str, model: str) -> str:
    """Make a name that Azure ML accepts: 3 to 32 letters, digits and hyphens, a letter first, no hyphen last."""
    plain = re.sub(r"[^a-z0-9]+", "-", f"{model}-{catalog}".lower()).strip("-")
    return (plain if plain[:1].isalpha() else f"m-{plain}")[:32].rstrip("-")
