"""`mlops explain` shows the inputs of one prediction, the version that made it, and what each input added."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mlops.contract import ConfigError, DataError, Feature, ModelError, UseCase
from mlops.contract.model_version import to_utc
from mlops.release.version_record import VersionRecord, champion_of, read_record
from mlops_cli import audit_records, options
from mlops_cli.bundle_cli import DeployedBundle

if TYPE_CHECKING:
    import pandas as pd

    from mlops_cli.contributions import Explanation

Row = Mapping[str, Any]
_TRUTH = {"true": 1.0, "false": 0.0}


@dataclass(frozen=True)
class _Case:
    """One entity at its prediction time."""

    features: Row
    prediction: Row | None
    """Its newest row of the table of predictions; None: it was not scored yet."""
    record: VersionRecord
    """Of the version that scored it, else of the champion."""


@click.command(epilog=options.EXITS)
@click.argument("key")
@options.target
@options.home
@options.output
def explain(key: str, target: str, home: Path | None, output: str) -> None:
    """Show why an entity got its prediction.

    KEY is the entity's key; a key of several columns is given with commas. It shows the inputs, when each was known,
    the version and its verdict, and what each input added to the score.

    Example: mlops explain 20130331-EV5670-EWR --target prod --home .laptop
    """
    from mlops.context import load_use_case
    from mlops.data.predictions import select_features
    from mlops.platform.registry import Registry
    from mlops_cli.contributions import explain_row

    deployed, use_case = options.resolve_target(target, home), load_use_case()
    case = _find_case(deployed, use_case, key)
    facts = case.record.facts
    if facts is None:
        raise ModelError(f"the audit table knows nothing of {case.record}: run the job 'validation' for it")
    version = replace(Registry(deployed.home).get_version(deployed.model, case.record.number), facts=facts)
    pipeline = Registry(deployed.home).load_model(version, use_case.model)
    explanation = explain_row(pipeline, select_features(_make_inputs(case.features, use_case), pipeline))
    if output == "json":
        click.echo(json.dumps(_as_document(case, use_case, explanation), indent=1, default=str))
    else:
        options.print_line(*_describe_case(case, explanation), *_list_inputs(case, use_case, explanation))


def _find_case(deployed: DeployedBundle, use_case: UseCase, key: str) -> _Case:
    """Read the features and the newest prediction of an entity.

    Raises:
        DataError: there are no features of it.
        ModelError: it was not scored yet, and there is no champion.
    """
    given = _split_key(use_case.entity.key, key)
    data, own = (
        [deployed.parameter_default("inference", name) for name in names]
        for names in (("data_catalog", "data_schema"), ("catalog", "schema"))
    )
    scored = _read_entity(deployed, (*own, "predictions"), given)
    newest = max(scored, key=lambda row: (_moment(row["scored_at"]), int(row["model_version"])), default=None)
    at = None if newest is None else _moment(newest["prediction_time"])
    features = _read_entity(deployed, (*data, "features"), given)
    features = [row for row in features if at in {None, _moment(row["prediction_time"])}]
    if not features:
        moment = f" at {at}, when it was scored" if at else ""
        cure = "check the key, or run the job 'ingestion'"
        raise DataError(f"{'.'.join(data)}.features has no row with {_words(given)}{moment}: {cure}")
    rows = audit_records.read_rows(deployed)
    number = champion_of(rows) if newest is None else int(newest["model_version"])
    if number is None:
        raise ModelError(f"{_words(given)} was not scored yet, and {deployed.model} has no champion to score it")
    chosen = max(features, key=lambda row: _moment(row["prediction_time"]))
    return _Case(chosen, newest, replace(read_record(rows, number), model_name=deployed.model))


def _split_key(names: Sequence[str], key: str) -> dict[str, str]:
    """Return the text of each column of the entity's key."""
    parts = key.split(",") if len(names) > 1 else [key]
    if len(parts) != len(names):
        raise ConfigError(f"key {key!r} has {len(parts)} parts, the entity's key has {len(names)}: {', '.join(names)}")
    return dict(zip(names, parts, strict=True))


def _read_entity(deployed: DeployedBundle, table: Sequence[str], given: Mapping[str, str]) -> list[dict[str, Any]]:
    """Read the rows of an entity without Spark; in a workspace a SQL warehouse reads them."""
    from mlops_cli import home_tables, warehouse

    (column, value), *_ = given.items()
    catalog, schema, name = table
    if deployed.home is None:
        rows = warehouse.query_rows(".".join(table), column, value)
    else:
        rows = home_tables.read_rows(deployed.home, catalog, schema, name, (column, value))
    return [row for row in rows if all(str(row[name]) == text for name, text in given.items())]


def _moment(value: datetime | str) -> datetime:
    """A moment of a table; a warehouse gives it as text."""
    return to_utc(datetime.fromisoformat(value) if isinstance(value, str) else value)


def _words(given: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {value}" for name, value in given.items())


def _make_inputs(row: Row, use_case: UseCase) -> pd.DataFrame:
    """Make the model's input of one row whose values may be text, as a warehouse gives them."""
    import pandas as pd

    return pd.DataFrame({feature.name: [_input_value(row[feature.name], feature)] for feature in use_case.features})


def _input_value(value: Any, feature: Feature) -> float | str | None:
    if feature.input_type == "string":
        return None if value is None else str(value)
    if value is None:
        return math.nan
    return _TRUTH[str(value).lower()] if feature.dtype == "boolean" else float(value)


def _describe_case(case: _Case, explanation: Explanation) -> list[str]:
    """Say in lines what was predicted, by which version, and of which rows."""
    record, made, verdict = case.record, case.prediction, case.record.verdict
    judged = f"{verdict.verdict} by verdict {verdict.verdict_digest[:12]}" if verdict else "not judged here"
    approver = record.display_tags.approved_by
    scored = "" if made is None else f"prediction {made['prediction']}, scored at {_show_moment(made['scored_at'])}"
    is_logit = explanation.scale == "logit"
    return [
        f"{scored or 'not scored yet'}; each input as known at {_show_moment(case.features['prediction_time'])}",
        f"{record}: {judged}{f', approved by {approver}' if approver else ''}",
        f"{explanation.scale} {explanation.score:.4f} = base {explanation.base:.4f} + contributions"
        + (f"; as a probability {1 / (1 + math.exp(-explanation.score)):.4f}" if is_logit else ""),
    ]


def _show_moment(value: datetime | str) -> str:
    return f"{_moment(value):%Y-%m-%dT%H:%M:%SZ}"


def _list_inputs(case: _Case, use_case: UseCase, explanation: Explanation) -> list[str]:
    """One line per input, largest contribution first."""
    lines = []
    for name, value, unit, known, added in _inputs(case, use_case, explanation):
        shown = "missing" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
        lines.append(f"{added:+9.4f}  {name} = {shown}{f' {unit}' if unit else ''}  (known from {known})")
    return lines


def _inputs(case: _Case, use_case: UseCase, explanation: Explanation) -> list[tuple[str, Any, str, str, float]]:
    """Name, value, unit, moment from which it is known, and contribution of each input."""
    features = {feature.name: feature for feature in use_case.features}
    listed = []
    for owner, added in explanation.contributions.items():
        parts = [features[name] for name in owner.split(" + ")]  # a transformer may mix several features
        value = case.features[owner] if len(parts) == 1 else ", ".join(str(case.features[part.name]) for part in parts)
        known = "; ".join(dict.fromkeys(part.known_from for part in parts))
        listed.append((owner, value, parts[0].unit if len(parts) == 1 else "", known, added))
    return listed


def _as_document(case: _Case, use_case: UseCase, explanation: Explanation) -> dict[str, Any]:
    record, names = case.record, ("feature", "value", "unit", "known_from", "contribution")
    return {
        "model": record.model_name,
        "version": record.number,
        "verdict": record.verdict.verdict if record.verdict else None,
        "verdict_digest": record.verdict.verdict_digest if record.verdict else None,
        "approver": record.display_tags.approved_by or None,
        "prediction_time": _moment(case.features["prediction_time"]).isoformat(),
        "prediction": case.prediction,
        "scale": explanation.scale,
        "score": explanation.score,
        "base": explanation.base,
        "inputs": [dict(zip(names, row, strict=True)) for row in _inputs(case, use_case, explanation)],
    }
