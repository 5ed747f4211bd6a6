"""Answers requests of the common form without MLflow's detours; all other requests are MLflow's to answer.

MLflow decodes the JSON twice, converts one column after the other, twice, and encodes the response in Python: together
more than the pipeline needs. The common form has rows of numbers and texts for exactly the inputs of the signature;
its answers are the ones that MLflow gives.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from pydantic_core import from_json  # a third of the time of json.loads

from mlops.contract import DataError

if TYPE_CHECKING:
    from mlflow.pyfunc import PyFuncModel
    from mlflow.pyfunc.scoring_server import InvocationsResponse

type Fill = Callable[[Any], Any]
"""Fills in what a decoded request leaves out; raises DataError if it cannot."""

_JSON = "application/json"
_VALUES: Mapping[str, set[type]] = {"double": {float, int, type(None)}, "string": {str, type(None)}}
"""The types of the values that a column of the common form may have, by the type of the input."""


def make_responder(
    served: PyFuncModel, predict: Callable[[pd.DataFrame], Any], fill: Fill | None = None
) -> Callable[[bytes, str | None], InvocationsResponse]:
    """Make what answers the body of a request and its content type as MLflow's scoring server does.

    Args:
        served: the model for MLflow's server.
        predict: the method of the pipeline that `served` calls.
        fill: fills in a decoded request before it is answered.
    """
    from mlflow.pyfunc.scoring_server import InvocationsResponse
    from threadpoolctl import ThreadpoolController  # scikit-learn requires it

    untyped: Any = served.metadata
    columns: Any = untyped.get_input_schema().inputs
    inputs = {column.name: column.type.name for column in columns}
    # One request, one thread: with several, requests wait for each other's threads, up to seconds on busy cores. The
    # limit counts for the calling thread only, so that each request sets it.
    threads = ThreadpoolController()

    def answer(body: bytes, kind: str | None) -> InvocationsResponse:
        if not _is_json(kind):
            return _ask_mlflow(served, body, kind)
        try:
            request = _decode(body)
        except ValueError:
            return _ask_mlflow(served, body, kind)
        try:  # apart from the decoding: an error of `fill` is none of the request's JSON
            filled = request if fill is None else fill(request)
        except DataError as error:
            missing = {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": str(error)}
            return InvocationsResponse(json.dumps(missing), 404, _JSON)
        if filled is not request:
            request, body = filled, json.dumps(filled).encode()
        with threads.limit(limits=1, user_api="openmp"):
            text = _answer_rows(request, inputs, predict)
        return _ask_mlflow(served, body, kind) if text is None else InvocationsResponse(text, 200, _JSON)

    return answer


def _is_json(kind: str | None) -> bool:
    """Whether MLflow takes a body of this content type as JSON: it knows one parameter, `charset=utf-8`."""
    type_, *parameters = (part.strip() for part in (kind or "").split(";"))
    pairs = (parameter.partition("=") for parameter in parameters)
    return type_ == _JSON and all(name == "charset" and value.lower() == "utf-8" for name, _, value in pairs)


def _decode(body: bytes) -> Any:
    """Decode JSON; `json.loads`, as which MLflow decodes, also takes a mark of byte order and lone surrogates."""
    try:
        return from_json(body, cache_strings="keys")
    except ValueError:
        return json.loads(body)


def _answer_rows(request: Any, inputs: Mapping[str, str], predict: Callable[[pd.DataFrame], Any]) -> str | None:
    """Answer a request of the common form; None: it has another one, or is an error, which MLflow words."""
    frame = read_frame(request, inputs)
    if frame is None:
        return None
    try:
        scores = predict(frame)
    except Exception:  # noqa: BLE001 (MLflow asks the model again, and reports what it raises)
        return None
    if not isinstance(scores, np.ndarray) or scores.dtype.kind not in "fiUb":
        return None
    return json.dumps({"predictions": scores.tolist()})


def read_frame(request: Any, inputs: Mapping[str, str]) -> pd.DataFrame | None:
    """Read the rows of a decoded request; None: it does not have the common form.

    Args:
        request: what the JSON of the request holds.
        inputs: name and type of each input of the signature, in their order.
    """
    columns = _read_columns(request)
    if columns is None or columns.keys() != inputs.keys():
        return None
    made = {}
    for name, type_ in inputs.items():
        if not set(map(type, columns[name])) <= _VALUES.get(type_, set()):
            return None
        try:
            made[name] = np.array(columns[name], dtype=object if type_ == "string" else np.float64)
        except OverflowError:
            return None
    return pd.DataFrame(made)


def _read_columns(request: Any) -> dict[str, Sequence[Any]] | None:
    """Read the values of each column of a request that has at least one row; None: it has another form."""
    match request:
        case {"dataframe_split": {"columns": [*names], "data": [_, *_] as rows, **others}, **further}:
            if others or further or not set(map(type, names)) <= {str} or len(set(names)) < len(names):
                return None
            if set(map(type, rows)) != {list} or set(map(len, rows)) != {len(names)}:
                return None
            return dict(zip(names, zip(*rows, strict=True), strict=True))
        case {"dataframe_records": [dict(first), *_] as rows, **further}:
            if further or set(map(type, rows)) != {dict} or any(row.keys() != first.keys() for row in rows):
                return None
            return {name: [row[name] for row in rows] for name in first}
    return None


def _ask_mlflow(served: PyFuncModel, body: bytes, kind: str | None) -> InvocationsResponse:
    """Let MLflow's server answer; an error that it words becomes a response as its application makes it."""
    from mlflow.exceptions import MlflowException
    from mlflow.pyfunc.scoring_server import InvocationsResponse, invocations

    untyped: Any = invocations
    metadata: Any = served.metadata
    try:
        response: InvocationsResponse = untyped(body, kind, served, metadata.get_input_schema())
    except MlflowException as error:
        failed: Any = error
        return InvocationsResponse(failed.serialize_as_json(), failed.get_http_status_code(), _JSON)
    return response
