"""Turn on the platform's data profiling. Its figures are shown beside ours; no decision reads them."""

from __future__ import annotations

from mlops.platform import sdk


def profile_table(table: str, moment: str) -> bool:
    """Let the platform profile a table by week, with results in the table's schema; a repeat changes nothing.

    Args:
        table: catalog.schema.table.
        moment: its timestamp column.

    Returns:
        False: it was profiled already.

    Raises:
        MlopsError: the platform refused; says what.
    """
    from databricks.sdk.errors import AlreadyExists, NotFound
    from databricks.sdk.service.dataquality import (
        AggregationGranularity,
        DataProfilingConfig,
        Monitor,
        TimeSeriesConfig,
    )

    client = sdk.workspace_client()
    with sdk.translate_errors(f"data profiling of {table}"):
        where = client.tables.get(table)
        schema = client.schemas.get(table.rpartition(".")[0])
        try:
            client.data_quality.get_monitor("table", where.table_id or "")
        except NotFound:
            weekly = TimeSeriesConfig(moment, [AggregationGranularity.AGGREGATION_GRANULARITY_1_WEEK])
            assets = f"/Workspace/Users/{client.current_user.me().user_name}/data_profiling/{table}"
            config = DataProfilingConfig(output_schema_id=schema.schema_id or "", assets_dir=assets, time_series=weekly)
            try:
                client.data_quality.create_monitor(Monitor("table", where.table_id or "", data_profiling_config=config))
            except AlreadyExists:  # another run turned it on at the same moment
                return False
            return True
    return False
