"""Fills in the features of a request that holds the keys of entities and nothing else.

The features are the row that the batch scores, read from the table `features`: the newest one of the entity that was
made by now. So `laptop serve` answers such a request like an endpoint whose model looks up its features.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mlops.contract import DataError, UseCase
from mlops_cli.bundle_cli import DeployedBundle
from mlops_cli.scored_entity import describe_key, parse_moment, read_entity

if TYPE_CHECKING:
    from fastapi import FastAPI

type Row = Mapping[str, Any]
type Message = dict[str, Any]


def find_features(deployed: DeployedBundle, use_case: UseCase, key: Row) -> dict[str, Any]:
    """Find the features of an entity as the batch made them, by name; missing ones are None.

    Raises:
        DataError: there is no row of the entity.
    """
    data = [deployed.parameter_default("inference", name) for name in ("data_catalog", "data_schema")]
    table, given = (*data, f"{use_case.table_prefix}features"), {name: str(value) for name, value in key.items()}
    rows = read_entity(deployed, table, given)
    if not rows:
        raise DataError(f"{'.'.join(table)} has no row with {describe_key(given)}: it is not due yet, or unknown")
    newest = max(rows, key=lambda row: parse_moment(row["prediction_time"]))
    return {feature.name: newest[feature.name] for feature in use_case.features}


def fill_features(body: bytes, use_case: UseCase, find: Callable[[Row], Row]) -> bytes:
    """Fill in the features of a request whose rows hold the entity's key and nothing else; others stay as they are.

    Args:
        body: of the request: `dataframe_split`, `dataframe_records`, `instances` or `inputs`.
        use_case: whose entity.
        find: as `find_features`, by the key.
    """
    try:
        rows = _read_rows(json.loads(body))
    except (ValueError, RecursionError):
        return body
    if not rows or any(set(row) != set(use_case.entity.key) for row in rows):
        return body
    features = [find(row) for row in rows]
    names = [feature.name for feature in use_case.features]
    types = {feature.name: feature.input_type for feature in use_case.features}
    data = [[_to_input(row[name], types[name]) for name in names] for row in features]
    return json.dumps({"dataframe_split": {"columns": names, "data": data}}).encode()


def _read_rows(request: Any) -> Sequence[Row]:
    """Read the rows of a request; none where its form is not known."""
    match request:
        case {"dataframe_split": {"columns": [*names], "data": [*data]}} if all(
            isinstance(values, list) and len(values) == len(names) for values in data
        ) and all(isinstance(name, str) for name in names):
            return [dict(zip(names, values, strict=True)) for values in data]
        case {"dataframe_records": [*rows]} | {"instances": [*rows]} | {"inputs": [*rows]}:
            return rows if all(isinstance(row, dict) for row in rows) else []
        case {"inputs": dict(columns)} if all(isinstance(values, list) for values in columns.values()):
            lengths = {len(values) for values in columns.values()}
            return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)] * (
                len(lengths) == 1
            )
    return []


def _to_input(value: Any, type_: str) -> float | str | None:
    """Convert a value of the table to JSON of the model's signature, in which NaN is null."""
    if value is None or value != value:  # noqa: PLR0124 (NaN)
        return None
    return str(value) if type_ == "string" else float(value)


def accept_keys(app: FastAPI, use_case: UseCase, find: Callable[[Row], Row]) -> FastAPI:
    """Let an application fill in the features of requests by key; an unknown key is answered with status 404."""
    app.add_middleware(_KeyRequests, use_case=use_case, find=find)
    return app


class _KeyRequests:
    def __init__(self, app: Any, use_case: UseCase, find: Callable[[Row], Row]) -> None:
        self._app, self._use_case, self._find = app, use_case, find

    async def __call__(self, scope: Message, receive: Callable[[], Awaitable[Message]], send: Any) -> None:
        if scope["type"] != "http" or scope.get("path") != "/invocations":
            await self._app(scope, receive, send)
            return
        from fastapi.responses import JSONResponse

        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        try:
            filled = fill_features(body, self._use_case, self._find)
        except DataError as error:
            answer = {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": str(error)}
            await JSONResponse(answer, status_code=404)(scope, receive, send)
            return
        length = (b"content-length", str(len(filled)).encode())
        headers = [(name, value) for name, value in scope["headers"] if name != b"content-length"]
        sent = [{"type": "http.request", "body": filled, "more_body": False}]

        async def give() -> Message:
            return sent.pop() if sent else await receive()

        await self._app({**scope, "headers": [*headers, length]}, give, send)
