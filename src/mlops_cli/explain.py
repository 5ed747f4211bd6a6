"""`mlops explain` shows the inputs of one prediction, the version that made it, and what each input added."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mlops.contract import Feature, ModelError, UseCase
from mlops_cli import options
from mlops_cli.scored_entity import Row, ScoredEntity, find_entity, parse_moment

if TYPE_CHECKING:
    import pandas as pd

    from mlops.data.contributions import Explanation


_TRUTH = {"true": 1.0, "false": 0.0}


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
    from mlops.data.contributions import explain_row
    from mlops.data.predictions import select_features
    from mlops.platform.registry import Registry

    deployed, use_case = options.resolve_target(target, home), load_use_case()
    case = find_entity(deployed, use_case, key)
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


def _make_inputs(row: Row, use_case: UseCase) -> pd.DataFrame:
    """Make the model's input of one row. Its values may be text, since a warehouse returns text."""
    import pandas as pd

    return pd.DataFrame({feature.name: [_input_value(row[feature.name], feature)] for feature in use_case.features})


def _input_value(value: Any, feature: Feature) -> float | str | None:
    if feature.input_type == "string":
        return None if value is None else str(value)
    if value is None:
        return math.nan
    return _TRUTH[str(value).lower()] if feature.dtype == "boolean" else float(value)


def _describe_case(case: ScoredEntity, explanation: Explanation) -> list[str]:
    """Write lines that say what was predicted, by which version, and from which rows."""
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
    return f"{parse_moment(value):%Y-%m-%dT%H:%M:%SZ}"


def _list_inputs(case: ScoredEntity, use_case: UseCase, explanation: Explanation) -> list[str]:
    """Write one line per input, largest contribution first."""
    lines = []
    for name, value, unit, known, added in _inputs(case, use_case, explanation):
        shown = "missing" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
        lines.append(f"{added:+9.4f}  {name} = {shown}{f' {unit}' if unit else ''}  (known from {known})")
    return lines


def _inputs(case: ScoredEntity, use_case: UseCase, explanation: Explanation) -> list[tuple[str, Any, str, str, float]]:
    """Yield name, value, unit, known-at time and contribution of each input."""
    features = {feature.name: feature for feature in use_case.features}
    listed = []
    for owner, added in explanation.contributions.items():
        parts = [features[name] for name in owner.split(" + ")]  # a transformer may mix several features
        value = case.features[owner] if len(parts) == 1 else ", ".join(str(case.features[part.name]) for part in parts)
        known = "; ".join(dict.fromkeys(part.known_from for part in parts))
        listed.append((owner, value, parts[0].unit if len(parts) == 1 else "", known, added))
    return listed


def _as_document(case: ScoredEntity, use_case: UseCase, explanation: Explanation) -> dict[str, Any]:
    record, names = case.record, ("feature", "value", "unit", "known_from", "contribution")
    return {
        "model": record.model_name,
        "version": record.number,
        "verdict": record.verdict.verdict if record.verdict else None,
        "verdict_digest": record.verdict.verdict_digest if record.verdict else None,
        "approver": record.display_tags.approved_by or None,
        "prediction_time": parse_moment(case.features["prediction_time"]).isoformat(),
        "prediction": case.prediction,
        "scale": explanation.scale,
        "score": explanation.score,
        "base": explanation.base,
        "inputs": [dict(zip(names, row, strict=True)) for row in _inputs(case, use_case, explanation)],
    }
