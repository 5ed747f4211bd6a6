"""Reads a table of a workspace from outside, through a SQL warehouse."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from mlops.contract import ConfigError, MlopsError
from mlops.platform import sdk

if TYPE_CHECKING:
    from databricks.sdk.service.sql import StatementExecutionAPI, StatementResponse

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
        rows = [dict(zip(names, row, strict=True)) for row in _read_chunks(workspace.statement_execution, answer)]
    if answer.manifest.truncated or len(rows) != (answer.manifest.total_row_count or len(rows)):
        raise MlopsError(
            f"reading {table} failed: the warehouse answered {len(rows)} rows and holds more; use a notebook"
        )
    return rows


def _read_chunks(statements: StatementExecutionAPI, answer: StatementResponse) -> Iterator[list[str | None]]:
    """Every row of an answer. A long one comes in chunks, and each says which is the next."""
    chunk = answer.result
    while chunk is not None:
        yield from chunk.data_array or []
        following = chunk.next_chunk_index
        chunk = statements.get_statement_result_chunk_n(str(answer.statement_id), following) if following else None
