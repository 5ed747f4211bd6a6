"""The use case of several airport systems, and the steps that `benchmarks.scale` runs, each in a process of its own.

A system is a copy of New York with airports, carriers, routes and aircraft of its own: every name has the system's
number at its end, as in `JFK~07`. So every window holds as many rows as before, and there are more of them. A file of a
day holds the rows of all systems. `python -m benchmarks.scaled STEP SYSTEMS`.
"""

from __future__ import annotations

import importlib
import io
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from mlops import config
from mlops.context import Context
from mlops.contract import Expectation, UseCase
from mlops.data import labels, predictions
from mlops.platform import runtime
from mlops.questions import question_of
from mlops.release import aliases, audit_log
from mlops.release.version_record import TrainingRun
from usecase import USE_CASE

JOBS = ("ingestion", "features", "inference", "monitoring")
MONTH = datetime(2013, 7, 1, tzinfo=UTC)
DAYS = 28
_DAY = timedelta(days=1)
_REFERENCES = date(2012, 12, 31)
"""Day of the files of planes, airports and airlines."""
_AS_OF = MONTH + timedelta(days=DAYS) + USE_CASE.policy.maturity
_NAMES = ("flight_id", "origin", "dest", "carrier", "tailnum", "airport")
_MARK = "@@"
"""Stands for a system's number."""
_REPEATED = ((" != carrier or", " != carrier.str.slice(0, 2) or"), ("tailnum.str.slice(-2)", "tailnum.str.slice(-5)"))
"""Parts of conditions that compare a part of one name with another name, and what stands there for longer names."""
_LANDING = "/Volumes/prod/flights/landing"


def make_use_case(systems: int) -> UseCase:
    """Make the use case of flights whose rules know the names of all systems."""
    sources = tuple(
        replace(source, expectations=partial(_scale_rules, source.expectations, systems)) for source in USE_CASE.sources
    )
    return replace(USE_CASE, sources=sources)


def _scale_rules(make: Callable[[], Sequence[Expectation]], systems: int) -> Sequence[Expectation]:
    return [replace(rule, rule=rule.rule.copy(update=_scale_arguments(rule.rule, systems))) for rule in make()]


def _scale_arguments(rule: Any, systems: int) -> dict[str, Any]:
    """Return the arguments of a rule that name codes, for all systems."""
    from great_expectations.expectations.row_conditions import PassThroughCondition

    if getattr(rule, "regex", None):
        return {"regex": f"{rule.regex.removesuffix('$')}~\\d\\d$"}
    if getattr(rule, "value_set", None):
        return {"value_set": [f"{name}~{number:02d}" for name in rule.value_set for number in range(systems)]}
    if isinstance(rule.row_condition, PassThroughCondition):
        condition = rule.row_condition.pass_through_filter
        for part, longer in _REPEATED:
            condition = condition.replace(part, longer)
        return {"row_condition": PassThroughCondition(pass_through_filter=condition)}
    return {}


def land(systems: int) -> None:
    """Land the month's files, and before it as many days of each source as features look back."""
    histories = {source.name: source.history for source in USE_CASE.sources}
    first = (MONTH - max(history for history in histories.values() if history)).date()
    for path, text in [*USE_CASE.sample(first, _AS_OF.date()), *USE_CASE.sample(_REFERENCES, _REFERENCES)]:
        name, day = path.split("/")[0], datetime.fromisoformat(f"{Path(path).stem}T00:00Z")
        history = histories[name]
        if history is not None and not MONTH - max(history, _DAY) <= day < _AS_OF:
            continue
        file = Path(os.environ["LAPTOP_HOME"], _LANDING.lstrip("/"), path)
        file.parent.mkdir(parents=True, exist_ok=True)
        header, lines = _mark_names(text).split("\n", 1)
        with file.open("w") as stream:
            stream.write(f"{header}\n")
            for number in range(systems):
                stream.write(lines.replace(_MARK, f"{number:02d}"))


def _mark_names(text: str) -> str:
    frame = pd.read_csv(io.StringIO(text), dtype=str, keep_default_na=False)
    for name in frame.columns.intersection(_NAMES):
        frame[name] = frame[name].where(frame[name] == "", frame[name] + f"~{_MARK}")
    return frame.to_csv(index=False, lineterminator="\n")


def make_champion(systems: int) -> None:
    """Fit the use case's model on the month's flights of one system, and make it champion without a verdict."""
    job = _open_job("inference", systems)
    case, question = job.use_case, question_of(job.use_case.label)
    rows = job.own.read_table("features").where("flight_id LIKE '%~00'")
    known = labels.join_labels(rows, job.own, case, _AS_OF, versions={})
    inputs = predictions.model_input(known, case)
    pipeline = case.model.build({}).fit(inputs, question.training_target(known[labels.LABEL]))
    moment = MONTH - 3 * _DAY
    facts = TrainingRun(trained_until=moment, trained_as_of=moment, trained_by="benchmark", use_case=case.name)
    with job.registry.open_run("/scale", "training", facts.to_tags()):
        version = job.registry.register_model(
            job.config.model_name, pipeline, predictions.pick_example(inputs), method=question.method,
            trusted_types=case.model.trusted_types, requirements=[], facts=facts, tags={},
        )  # fmt: skip
    claims = TrainingRun.parse(job.registry.read_run_tags(version.run_id))
    row = audit_log.new_row(
        job, "deployment", version, artifact_digest=claims.artifact_digest, trained_by=claims.trained_by,
        trained_until=moment, trained_as_of=moment, as_of=MONTH - _DAY,
    )  # fmt: skip
    aliases.move_champion(job, version, row, None)


def _open_job(name: str, systems: int) -> Context[Any]:
    # Features are a task of the job ingestion.
    job = "ingestion" if name == "features" else name
    given = {"job": job, "run_id": "1", "as_of": _AS_OF.isoformat(), "catalog": "prod", "schema": "flights"}
    if job == "ingestion":
        given |= {"landing": _LANDING, "experiment": "/scale"}
    else:
        given |= {"model_name": "prod.flights.late_arrival", "data_catalog": "prod", "data_schema": "flights"}
    if job == "monitoring":
        given |= {"experiment": "/scale", "data_profiling": "off"}
    return Context(config.parse_arguments([f"--{key}={value}" for key, value in given.items()]), make_use_case(systems))


def main(step: str, systems: int) -> None:
    """Run one step."""
    if step == "land":
        land(systems)
    elif step == "champion":
        make_champion(systems)
    else:
        runtime.set_task_value = print  # the runner's part
        importlib.import_module(f"mlops.jobs.{step}").run(_open_job(step, systems))


if __name__ == "__main__":
    import logging

    logging.basicConfig(format="%(name)s %(levelname)s %(message)s")
    logging.getLogger("mlops").setLevel(logging.INFO)
    main(sys.argv[1], int(sys.argv[2]))
