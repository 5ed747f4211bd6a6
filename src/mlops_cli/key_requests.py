"""Fills in the features of a request that holds the keys of entities and nothing else.

The features are the row that the batch scores, read from the table `features`: the newest one of the entity that was
made by now. So `laptop serve` answers such a request like an endpoint whose model looks up its features.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mlops.contract import DataError, UseCase
from mlops_cli.bundle_cli import DeployedBundle
from mlops_cli.scored_entity import describe_key, parse_moment, read_entity

type Row = Mapping[str, Any]


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


def fill_features(request: Any, use_case: UseCase, find: Callable[[Row], Row]) -> Any:
    """Fill in the features of a request whose rows hold the entity's key and nothing else; others stay as they are.

    Args:
        request: the decoded body: `dataframe_split`, `dataframe_records`, `instances` or `inputs`.
        use_case: whose entity.
        find: as `find_features`, by the key.
    """
    key = set(use_case.entity.key)
    rows = _read_rows(request, key)
    if not rows or any(set(row) != key for row in rows):
        return request
    features = [find(row) for row in rows]
    names = [feature.name for feature in use_case.features]
    types = {feature.name: feature.input_type for feature in use_case.features}
    data = [[_to_input(row[name], types[name]) for name in names] for row in features]
    return {"dataframe_split": {"columns": names, "data": data}}


def _read_rows(request: Any, key: set[str]) -> Sequence[Row]:
    """Read the rows of a request; none where its form is not known or its columns are others than `key`."""
    match request:
        case {"dataframe_split": {"columns": [*names], "data": [*data]}} if (
            all(isinstance(name, str) for name in names) and set(names) == key
        ):
            if any(not isinstance(values, list) or len(values) != len(names) for values in data):
                return []
            return [dict(zip(names, values, strict=True)) for values in data]
        case {"dataframe_records": [*rows]} | {"instances": [*rows]} | {"inputs": [*rows]}:
            return rows if all(isinstance(row, dict) for row in rows) else []
        case {"inputs": dict(columns)} if columns.keys() == key and all(
            isinstance(values, list) for values in columns.values()
        ):
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
