"""Finds the features, the newest prediction and the version of one entity, without Spark."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from mlops.contract import ConfigError, DataError, ModelError, UseCase
from mlops.contract.model_version import REQUEST_ID, to_utc
from mlops.release.version_record import VersionRecord, champion_of, read_record
from mlops_cli import audit_records
from mlops_cli.bundle_cli import DeployedBundle

Row = Mapping[str, Any]


@dataclass(frozen=True)
class ScoredEntity:
    """One entity at its prediction time."""

    features: Row
    prediction: Row | None
    """Its newest row of a batch or a stream in the table of predictions; None: it was not scored yet."""
    record: VersionRecord
    """Number of the version that scored it, else of the champion."""


def find_entity(deployed: DeployedBundle, use_case: UseCase, key: str) -> ScoredEntity:
    """Read the features and the newest prediction of an entity.

    Raises:
        DataError: the entity has no features.
        ModelError: the entity was not scored yet, and there is no champion.
    """
    given = _split_key(use_case.entity.key, key)
    data, own = (
        [deployed.parameter_default("inference", name) for name in names]
        for names in (("data_catalog", "data_schema"), ("catalog", "schema"))
    )
    scored = read_entity(deployed, (*own, f"{use_case.table_prefix}predictions"), given)
    # What the endpoint answered rests on what its client sent, and the table of features does not have that.
    scored = [row for row in scored if not row.get(REQUEST_ID)]
    newest = max(scored, key=lambda row: (parse_moment(row["scored_at"]), int(row["model_version"])), default=None)
    at = None if newest is None else parse_moment(newest["prediction_time"])
    features = read_entity(deployed, (*data, f"{use_case.table_prefix}features"), given)
    features = [row for row in features if at in {None, parse_moment(row["prediction_time"])}]
    if not features:
        moment = f" at {at}, when it was scored" if at else ""
        cure, table = "check the key, or run the job 'ingestion'", f"{'.'.join(data)}.{use_case.table_prefix}features"
        raise DataError(f"{table} has no row with {describe_key(given)}{moment}: {cure}")
    rows = audit_records.read_rows(deployed)
    number = champion_of(rows) if newest is None else int(newest["model_version"])
    if number is None:
        raise ModelError(f"{describe_key(given)} was not scored yet, and {deployed.model} has no champion to score it")
    chosen = max(features, key=lambda row: parse_moment(row["prediction_time"]))
    return ScoredEntity(chosen, newest, replace(read_record(rows, number), model_name=deployed.model))


def _split_key(names: Sequence[str], key: str) -> dict[str, str]:
    """Return the text of each column of the entity's key."""
    parts = key.split(",") if len(names) > 1 else [key]
    if len(parts) != len(names):
        raise ConfigError(f"key {key!r} has {len(parts)} parts, the entity's key has {len(names)}: {', '.join(names)}")
    return dict(zip(names, parts, strict=True))


def read_entity(deployed: DeployedBundle, table: Sequence[str], given: Mapping[str, str]) -> list[dict[str, Any]]:
    """Read the rows of an entity without Spark; in a workspace a SQL warehouse reads them."""
    from mlops_cli import home_tables, warehouse

    (column, value), *_ = given.items()
    catalog, schema, name = table
    if deployed.home is None:
        rows = warehouse.query_rows(".".join(table), column, value)
    else:
        rows = home_tables.read_rows(deployed.home, catalog, schema, name, (column, value))
    return [row for row in rows if all(str(row[name]) == text for name, text in given.items())]


def parse_moment(value: datetime | str) -> datetime:
    """Parse a moment of a table; a warehouse returns it as text."""
    return to_utc(datetime.fromisoformat(value) if isinstance(value, str) else value)


def describe_key(given: Mapping[str, str]) -> str:
    """Name an entity by its key, in words."""
    return ", ".join(f"{name} {value}" for name, value in given.items())
