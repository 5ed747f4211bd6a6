"""Reads the audit table of a target without Spark, for the commands of people."""

from __future__ import annotations

from mlops.release.version_record import AuditRow
from mlops_cli import home_tables, warehouse
from mlops_cli.bundle_cli import DeployedBundle


def read_rows(deployed: DeployedBundle) -> list[AuditRow]:
    """Read all rows about a target's model, oldest first; in a workspace a SQL warehouse reads them.

    Raises:
        ConfigError: the workspace has no warehouse that the login may use.
        DataError: a row cannot be read.
    """
    catalog, schema = (deployed.parameter_default("deployment", name) for name in ("catalog", "schema"))
    if deployed.home is None:
        rows = warehouse.query_rows(f"{catalog}.{schema}.audit", "model_name", deployed.model)
    else:
        rows = home_tables.read_rows(deployed.home, catalog, schema, "audit")
    about = (row for row in rows if row["model_name"] == deployed.model)
    return sorted(map(AuditRow.parse, about), key=lambda row: row.sequence)
