"""Runs SQL in a workspace from outside, through a SQL warehouse."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from mlops.contract import ConfigError, MlopsError
from mlops.platform import sdk

if TYPE_CHECKING:
    from databricks.sdk.service.sql import StatementExecutionAPI, StatementResponse

_TIMEOUT = 600
"""Seconds for a warehouse to start and to answer."""


def query_rows(table: str, column: str, value: str) -> list[dict[str, Any]]:
    """Query the rows of a table whose column has a value; every field is text or None.

    Args:
        table: catalog.schema.name.
        column: a fixed name of our code; it goes into the SQL text.
        value: passed to the warehouse as a parameter.

    Raises:
        ConfigError: there is no warehouse that the login may use.
        MlopsError: the statement failed.
    """
    statement = f"SELECT * FROM IDENTIFIER(:name) WHERE {column} = :value"  # noqa: S608 (the column is ours)
    return run_statement(f"reading {table}", statement, {"name": table, "value": value})


def run_statement(
    doing: str, statement: str, values: Mapping[str, str] = MappingProxyType({}), timeout: int = _TIMEOUT
) -> list[dict[str, Any]]:
    """Run one SQL statement on a warehouse; returns the rows of its answer, every field as text or None.

    Args:
        doing: purpose of the statement, for errors.
        statement: SQL.
        values: values of its parameters, by name.
        timeout: seconds for a warehouse to start and to answer.

    Raises:
        ConfigError: there is no warehouse that the login may use.
        MlopsError: the statement failed, or its answer was cut.
    """
    from databricks.sdk.service.sql import State, StatementState
    from databricks.sdk.service.sql import StatementParameterListItem as Parameter

    with sdk.translate_errors(doing):
        workspace = sdk.workspace_client()
        known = sorted(workspace.warehouses.list(), key=lambda one: one.state != State.RUNNING)
        if not known:
            raise ConfigError(f"{doing}: no SQL warehouse can be used: ask for one, or run it in a notebook")
        answer = workspace.statement_execution.execute_statement(
            statement,
            str(known[0].id),
            parameters=[Parameter(name, value=value) for name, value in values.items()],
            wait_timeout="50s",
        )
        deadline = time.monotonic() + timeout
        while answer.status.state in {StatementState.PENDING, StatementState.RUNNING} and time.monotonic() < deadline:
            time.sleep(1)
            answer = workspace.statement_execution.get_statement(answer.statement_id)
        if answer.status.state != StatementState.SUCCEEDED:
            problem = answer.status.error.message if answer.status.error else answer.status.state.value
            raise MlopsError(f"{doing} failed: {sdk.redact_secrets(str(problem))}")
        manifest = answer.manifest
        names = [column.name for column in (manifest.schema.columns if manifest and manifest.schema else None) or ()]
        rows = [dict(zip(names, row, strict=True)) for row in _read_chunks(workspace.statement_execution, answer)]
    if manifest and (manifest.truncated or len(rows) != (manifest.total_row_count or len(rows))):
        raise MlopsError(f"{doing} failed: the warehouse answered {len(rows)} rows and holds more; use a notebook")
    return rows


def _read_chunks(statements: StatementExecutionAPI, answer: StatementResponse) -> Iterator[list[str | None]]:
    """Read every row of an answer. A long answer comes in chunks, of which each names the next one."""
    chunk = answer.result
    while chunk is not None:
        yield from chunk.data_array or []
        following = chunk.next_chunk_index
        chunk = statements.get_statement_result_chunk_n(str(answer.statement_id), following) if following else None
