"""Reads a table of a workspace from outside, through a SQL warehouse."""

from __future__ import annotations

import time
from typing import Any

from mlops.contract import ConfigError, MlopsError
from mlops.platform import sdk

_TIMEOUT = 600
"""Seconds for a warehouse to start and to answer."""


def query_rows(table: str, column: str, value: str) -> list[dict[str, Any]]:
    """The rows of a table whose column holds a value; every field as text or None.

    Args:
        table: catalog.schema.name.
        column: a fixed name of ours, never something from outside.
        value: given to the warehouse as a parameter.

    Raises:
        ConfigError: there is no warehouse that the login may use.
        MlopsError: the statement failed.
    """
    from databricks.sdk.service.sql import State, StatementState
    from databricks.sdk.service.sql import StatementParameterListItem as Parameter

    with sdk.translate_errors(f"reading {table}"):
        workspace = sdk.workspace_client()
        known = sorted(workspace.warehouses.list(), key=lambda one: one.state != State.RUNNING)
        if not known:
            raise ConfigError(f"no SQL warehouse can be used to read {table}: ask for one, or query it in a notebook")
        answer = workspace.statement_execution.execute_statement(
            f"SELECT * FROM IDENTIFIER(:name) WHERE {column} = :value",  # noqa: S608 (the column is ours)
            str(known[0].id),
            parameters=[Parameter("name", value=table), Parameter("value", value=value)],
            wait_timeout="50s",
        )
        deadline = time.monotonic() + _TIMEOUT
        while answer.status.state in {StatementState.PENDING, StatementState.RUNNING} and time.monotonic() < deadline:
            time.sleep(1)
            answer = workspace.statement_execution.get_statement(answer.statement_id)
    if answer.status.state != StatementState.SUCCEEDED:
        problem = answer.status.error.message if answer.status.error else answer.status.state.value
        raise MlopsError(f"reading {table} failed: {sdk.redact_secrets(str(problem))}")
    names = [column.name for column in answer.manifest.schema.columns]
    return [dict(zip(names, row, strict=True)) for row in answer.result.data_array or []]
