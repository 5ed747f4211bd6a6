"""Task cleanup: empty the schema of the job `integration`, tables and versions; any other schema is refused."""

from __future__ import annotations

from mlops.config import IntegrationConfig
from mlops.context import Context, task
from mlops.contract import ConfigError
from mlops.data import table_schemas

SUFFIX = "_integration"


def run(job: Context[IntegrationConfig]) -> None:
    """Delete all rows of all tables and all versions of the model; landed files stay and are ingested again."""
    if not (job.config.schema_name.endswith(SUFFIX) and job.config.model_name.split(".")[1].endswith(SUFFIX)):
        raise ConfigError(
            f"schema {job.config.schema_name!r} may not be emptied: only a schema whose name ends with {SUFFIX} may"
        )
    made = ("features", "predictions", table_schemas.SHADOW, *table_schemas.TABLES)
    for table in (*(source.name for source in job.use_case.sources), *made):
        if job.own.exists(table):
            job.own.delete_rows(table, job.config.model_name)
    for version in job.registry.list_versions(job.config.model_name):
        for alias in version.aliases:
            job.registry.drop_alias(version.model, alias)
        job.registry.delete_version(version)


main = task(run)
