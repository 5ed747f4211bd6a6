"""The audit table of a target, read by people's commands: from outside of the jobs, and without Spark."""

from __future__ import annotations

from mlops.adapters import tables, warehouse
from mlops.adapters.bundle import Deployed
from mlops.lifecycle.version_record import AuditRow


def read_rows(place: Deployed) -> list[AuditRow]:
    """All rows about a target's model, oldest first; in a workspace a SQL warehouse reads them.

    Raises:
        ConfigError: the workspace has no warehouse that the login may use.
        DataError: a row cannot be read.
    """
    catalog, schema = (place.default("deployment", name) for name in ("catalog", "schema"))
    if place.home is None:
        rows = warehouse.rows(f"{catalog}.{schema}.audit", "model_name", place.model)
    else:
        rows = tables.stored(place.home, catalog, schema, "audit")
    about = (row for row in rows if row["model_name"] == place.model)
    return sorted(map(AuditRow.parse, about), key=lambda row: row.sequence)
