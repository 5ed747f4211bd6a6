"""Renders the page on a version's requests. The version itself gave each response and error on it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from mlops.contract import UseCase
from mlops.platform.scoring_server import VersionCard, answer_requests

if TYPE_CHECKING:
    from mlflow.pyfunc import PyFuncModel


def render_requests(served: PyFuncModel, card: VersionCard, use_case: UseCase, body: dict[str, Any], curl: str) -> str:
    """Render the page of a version's requests; each response and error on it is one that the version has given.

    Args:
        served: as `load_served`.
        card: the version's card.
        use_case: whose features the inputs are.
        body: a request, as `read_example`.
        curl: the command that sends it.
    """
    from mlops.reports.pages import render_template

    features = {feature.name: feature for feature in use_case.features}
    schema: Any = served.metadata.get_input_schema()  # type: ignore[no-untyped-call]
    inputs = [(column.name, column.type.name, column.required, features.get(column.name)) for column in schema.inputs]
    answers = [(what, _shorten(request), *ask_served(served, request)) for what, request in _example_requests(body)]
    return render_template(
        "requests.html", name=card.name, digest=card.artifact_digest, question=use_case.question, curl=curl,
        inputs=inputs, answers=answers,
    )  # fmt: skip


def _example_requests(body: dict[str, Any]) -> Iterator[tuple[str, bytes]]:
    """Yield requests of each accepted form, then one of each common mistake, with what they show."""
    columns, row = body["dataframe_split"]["columns"], body["dataframe_split"]["data"][0]
    record = dict(zip(columns, row, strict=True))
    number = next((name for name in columns if isinstance(record[name], float | int)), columns[0])
    yield "columns once, then rows", json.dumps(body).encode()
    yield "one object per row", json.dumps({"dataframe_records": [record]}).encode()
    yield "one list per column", json.dumps({"inputs": {name: [value] for name, value in record.items()}}).encode()
    yield "one object per row, as TensorFlow Serving", json.dumps({"instances": [record]}).encode()
    without = {name: value for name, value in record.items() if name != number}
    yield f"{number} is missing", json.dumps({"dataframe_records": [without]}).encode()
    yield f"{number} is a text", json.dumps({"dataframe_records": [record | {number: "many"}]}).encode()
    yield "an unknown form", json.dumps({"rows": [record]}).encode()
    yield "no JSON", b"{"


def ask_served(served: PyFuncModel, request: bytes) -> tuple[int, str]:
    """Send a request to the server's code without a network; returns status and text of the response."""
    response = answer_requests(served)(request, "application/json")
    if response.status == HTTPStatus.OK:
        return response.status, _shorten(response.response)
    error = json.loads(response.response)
    return response.status, f"{error['error_code']}: {_shorten(error['message'])}"


def _shorten(text: str | bytes, most: int = 500) -> str:
    """Shorten a long text in its middle: an error of MLflow names the field at its end."""
    shown = text.decode() if isinstance(text, bytes) else text
    half = most // 2
    return shown if len(shown) <= most else f"{shown[:half]} … {shown[-half:]}"
