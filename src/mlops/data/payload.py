"""Read what an endpoint was asked and answered, as AI Gateway keeps it, as predictions. Imports no Spark.

A request becomes predictions if it names its entities: beside the features it has the columns of the entity's key,
which the model's signature drops. A request without any of them is about nobody whom a label could be joined to, and is
left out; so are failed requests and those by which the jobs check a version.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from mlops.contract import UseCase
from mlops.contract.model_version import CHECK, REQUEST_ID
from mlops.questions import question_of

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

PAYLOAD = {
    "databricks_request_id": "string", "client_request_id": "string", "request_time": "timestamp",
    "status_code": "long", "request": "string", "response": "string", "served_entity_id": "string",
}  # fmt: skip
"""Columns of the platform's table that are read."""
BROKEN, LEFT_OUT = "broken", "left out"
"""States of a request that becomes no prediction."""
UNKNOWN_VERSION = "served_entity_id:unknown"


@dataclass(frozen=True)
class ParsedRequest:
    """What one row of the payload table holds."""

    keys: tuple[Mapping[str, Any], ...] = ()
    """Key of each entity that was asked about."""
    packed: Mapping[str, Sequence[Any]] | None = None
    """Columns of the table of predictions, one value per entity."""
    version: int | None = None
    rule: str = ""
    """The rule that the row breaks, as `<column>:<rule>`; empty: none."""

    @property
    def is_left_out(self) -> bool:
        """Whether it is about no entity."""
        return not self.rule and not self.keys


class _Broken(Exception):
    """The row breaks the rule that is the error's text."""


def list_predictions(row: Mapping[str, Any], use_case: UseCase, versions: Mapping[str, int]) -> list[dict[str, Any]]:
    """List the predictions of one row of the payload table, or one row with the state that says why there is none.

    Args:
        row: as for `parse_request`.
        use_case: as for `parse_request`.
        versions: as for `parse_request`.

    Returns:
        Rows with REQUEST_ID, scored_at, model_version, the entity's key and the score columns, or with rule
        and state.
    """
    parsed = parse_request(row, use_case, versions)
    base = {REQUEST_ID: row["databricks_request_id"], "scored_at": row["request_time"]}
    if parsed.packed is None:
        return [base | {"rule": parsed.rule or None, "state": LEFT_OUT if parsed.is_left_out else BROKEN}]
    return [
        {**base, "model_version": parsed.version, **key, **{name: values[at] for name, values in parsed.packed.items()}}
        for at, key in enumerate(parsed.keys)
    ]


def parse_request(row: Mapping[str, Any], use_case: UseCase, versions: Mapping[str, int]) -> ParsedRequest:
    """Read one row of the payload table; never raises for what stands in it.

    Args:
        row: the columns of PAYLOAD.
        use_case: whose entity and kind of question.
        versions: model version by the id of the served entity.
    """
    if row["status_code"] not in {None, 200} or str(row["client_request_id"] or "").startswith(CHECK):
        return ParsedRequest()
    try:
        request = _load_json(row["request"], "request")
        if str(request.get("client_request_id") or "").startswith(CHECK):
            return ParsedRequest()
        rows = _read_rows(request)
        if not any(name in one for one in rows for name in use_case.entity.key):
            return ParsedRequest()
        version = _read_version(row, versions)
        keys = _read_keys(rows, use_case)
        return ParsedRequest(keys, _read_scores(_load_json(row["response"], "response"), len(keys), use_case), version)
    except _Broken as broken:
        return ParsedRequest(rule=str(broken))


def _read_version(row: Mapping[str, Any], versions: Mapping[str, int]) -> int:
    for name in ("databricks_request_id", "request_time"):
        if not row[name]:
            raise _Broken(f"{name}:required")
    version = versions.get(str(row["served_entity_id"]))
    if version is None:
        raise _Broken(UNKNOWN_VERSION)
    return version


def _load_json(text: Any, column: str) -> Mapping[str, Any]:
    try:
        document = json.loads(text)
    except (TypeError, ValueError, RecursionError):
        raise _Broken(f"{column}:json") from None
    if not isinstance(document, dict):
        raise _Broken(f"{column}:form")
    return document


def _read_rows(request: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Read the rows of a request in any form that the endpoint takes."""
    match [request.get(name) for name in ("dataframe_split", "dataframe_records", "instances", "inputs")]:
        case [{"columns": [*columns], "data": [*data]}, None, None, None] if all(
            isinstance(one, list) and len(one) == len(columns) for one in data
        ) and all(isinstance(name, str) for name in columns):
            return [dict(zip(columns, one, strict=True)) for one in data]
        case [None, [*records], None, None] | [None, None, [*records], None] | [None, None, None, [*records]] if all(
            isinstance(one, dict) for one in records
        ):
            return records
        case [None, None, None, dict(columns)] if all(isinstance(values, list) for values in columns.values()):
            lengths = {len(values) for values in columns.values()}
            if len(lengths) == 1:
                return [dict(zip(columns, one, strict=True)) for one in zip(*columns.values(), strict=True)]
    raise _Broken("request:form")


def _read_keys(rows: Sequence[Mapping[str, Any]], use_case: UseCase) -> tuple[Mapping[str, Any], ...]:
    """Read the entities of a request. Of two answers for one entity neither is its prediction."""
    types = {column.name: column.type for column in use_case.source(use_case.entity.source).columns}
    keys = [{name: _read_key_part(name, row.get(name), types[name]) for name in use_case.entity.key} for row in rows]
    if len({tuple(key.values()) for key in keys}) < len(keys):
        raise _Broken(f"{use_case.entity.key[0]}:repeated")
    return tuple(keys)


def _read_key_part(name: str, value: Any, type_: str) -> Any:
    match type_, value:
        case _, None:
            raise _Broken(f"{name}:required")
        case "long", int() if not isinstance(value, bool) and -(2**63) <= value < 2**63:
            return value
        case "string", str() if value and value.isprintable():
            return value
        case "timestamp", str():
            try:
                moment = datetime.fromisoformat(value)
                return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
            except (ValueError, OverflowError):
                pass
    raise _Broken(f"{name}:{type_}")


def _read_scores(response: Mapping[str, Any], rows: int, use_case: UseCase) -> dict[str, Sequence[Any]]:
    import numpy as np
    import pandas as pd

    question, predictions = question_of(use_case.label), response.get("predictions")
    try:
        answers = np.asarray(predictions, "float64")
    except (TypeError, ValueError):
        raise _Broken("response:predictions") from None
    width = {"binary": (2,), "classes": (len(use_case.label.classes),)}.get(use_case.label.kind, ())
    if answers.shape != (rows, *width):
        raise _Broken("response:rows")
    recorded: Any = RecordedAnswers(answers, np.arange(answers.shape[-1]))
    scores = question.predict_scores(recorded, pd.DataFrame(index=range(rows)))
    if question.describe_odd_scores(scores):
        raise _Broken("prediction:odd")
    return {name: list(values) for name, values in question.pack_scores(scores).items()}


@dataclass(frozen=True)
class RecordedAnswers:
    """Replays recorded answers as a pipeline, so that a kind of question can turn them into scores."""

    answers: np.ndarray[Any, Any]
    classes_: Any

    def predict(self, _: pd.DataFrame) -> np.ndarray[Any, Any]:
        """Return the recorded answers."""
        return self.answers

    predict_proba = predict
