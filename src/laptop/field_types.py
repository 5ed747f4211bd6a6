"""The type of every field of a bundle: databricks-bundles' dataclasses for resources, `cli_structs` for the rest."""

from __future__ import annotations

import dataclasses
import importlib
import typing
from functools import cache
from typing import Any

from databricks.bundles.core import Variable

CLASSES = {
    "alerts": "Alert", "apps": "App", "catalogs": "Catalog", "clusters": "Cluster", "dashboards": "Dashboard",
    "experiments": "MlflowExperiment", "external_locations": "ExternalLocation", "jobs": "Job",
    "model_serving_endpoints": "ModelServingEndpoint", "models": "MlflowModel", "pipelines": "Pipeline",
    "quality_monitors": "QualityMonitor", "registered_models": "RegisteredModel", "schemas": "Schema",
    "secret_scopes": "SecretScope", "secrets": "Secret", "sql_warehouses": "SqlWarehouse", "volumes": "Volume",
}  # fmt: skip
"""Kinds of resources and their classes in databricks.bundles.<kind>."""


@cache
def load_class(kind: str) -> type:
    """The dataclass of one kind of resource."""
    return typing.cast("type", getattr(importlib.import_module(f"databricks.bundles.{kind}"), CLASSES[kind]))


@cache
def field_types(cls: type) -> dict[str, Any]:
    """The type of each field of a dataclass, without "or a variable" and "or nothing"."""
    types = typing.get_type_hints(cls)
    return {field.name: strip_optional(types[field.name]) for field in dataclasses.fields(cls)}


@cache
def strip_optional(annotation: Any) -> Any:
    """A type without "or a variable" and "or nothing"."""
    options = typing.get_args(annotation) if not isinstance(annotation, type) else ()
    kept = [option for option in options if typing.get_origin(option) is not Variable and option is not type(None)]
    if typing.get_origin(annotation) in {list, dict} or not options:
        return annotation
    return strip_optional(kept[0])
