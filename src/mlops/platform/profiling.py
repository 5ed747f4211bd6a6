"""Turn on the platform's data profiling. Its figures are shown beside ours; no decision reads them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlops.platform import sdk

if TYPE_CHECKING:
    from databricks.sdk.service.dataquality import InferenceLogConfig


def profile_table(table: str, *, moment: str, version: str, prediction: str, of_classes: bool) -> bool:
    """Let the platform profile a table of predictions by week and version of the model; a repeat changes nothing.

    The results go into the table's schema.

    Args:
        table: catalog.schema.table.
        moment: its timestamp column.
        version: its column with the version of the model.
        prediction: its column with the prediction.
        of_classes: whether the prediction is a class; a number or a probability is profiled as a number.

    Returns:
        False: it was profiled already.

    Raises:
        MlopsError: the platform refused; says what.
    """
    from databricks.sdk.errors import AlreadyExists, NotFound
    from databricks.sdk.service.dataquality import DataProfilingConfig, Monitor

    client = sdk.workspace_client()
    with sdk.translate_errors(f"data profiling of {table}"):
        where = client.tables.get(table)
        schema = client.schemas.get(table.rpartition(".")[0])
        try:
            client.data_quality.get_monitor("table", where.table_id or "")
        except NotFound:
            log = _inference_log(moment, version, prediction, "CLASSIFICATION" if of_classes else "REGRESSION")
            assets = f"/Workspace/Users/{client.current_user.me().user_name}/data_profiling/{table}"
            config = DataProfilingConfig(output_schema_id=schema.schema_id or "", assets_dir=assets, inference_log=log)
            try:
                client.data_quality.create_monitor(Monitor("table", where.table_id or "", data_profiling_config=config))
            except AlreadyExists:  # another run turned it on at the same moment
                return False
            return True
    return False


def _inference_log(moment: str, version: str, prediction: str, kind: str) -> InferenceLogConfig:
    """Make the part of a profile that compares the weeks of a table and the versions of a model."""
    from databricks.sdk.service.dataquality import AggregationGranularity, InferenceLogConfig, InferenceProblemType

    return InferenceLogConfig(
        problem_type=InferenceProblemType[f"INFERENCE_PROBLEM_TYPE_{kind}"],
        timestamp_column=moment,
        granularities=[AggregationGranularity.AGGREGATION_GRANULARITY_1_WEEK],
        prediction_column=prediction,
        model_id_column=version,
    )
