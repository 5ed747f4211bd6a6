"""Writes what `databricks bundle summary -o json` would print: the resolved bundle with ids of jobs and models."""

from __future__ import annotations

import json

from laptop.bundle import Bundle
from laptop.home import Home, write_atomically
from laptop.resolution import job_id


def write_summary(bundle: Bundle, home: Home) -> None:
    """Write summary/<target>.json into the home, ids included."""
    document = json.loads(json.dumps(bundle.document))
    resources = document.get("resources", {})
    for key, job in resources.get("jobs", {}).items():
        job["id"] = job_id(bundle.target, key)
    for model in resources.get("registered_models", {}).values():
        model["id"] = ".".join(str(model.get(part, "")) for part in ("catalog_name", "schema_name", "name"))
    write_atomically(home.path / "summary" / f"{bundle.target}.json", json.dumps(document, indent=2))
