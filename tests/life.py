"""A model's life without the data around it: toy versions in a home, and the tasks that judge nothing but move them."""

from __future__ import annotations

import importlib
import json
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from operator import attrgetter, itemgetter

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from deltalake import write_deltalake
from toy import TOY

from mlops import config
from mlops.context import Context
from mlops.contract.model_version import VersionFacts
from mlops.data import table_schemas
from mlops.platform import runtime, tables
from mlops.release import audit_log, verdicts
from mlops.release.version_record import AuditRow, ShownTags, TrainingRun, champion_of
from mlops_cli import home_tables

AS_OF = "2024-03-02T00:00:00Z"
VERDICT = "0" * 64
_EACH_ITS_OWN = (
    "validation_run",
    "report",
    "verdict_digest",
    "verdict_case",
    "artifact_digest",
    "expires",
)


def rows(seed=0):
    """Features and labels as the toy's feature table holds them."""
    generator = np.random.default_rng(seed)
    size, kind = generator.normal(size=400), generator.choice(["x", "y"], size=400)
    label = (generator.random(400) < 1 / (1 + np.exp(-(1.5 * size + np.where(kind == "x", 0.8, -0.8))))).astype("int64")
    return pd.DataFrame({"size": size, "kind": kind, "due_around": 1.0}), label


class Life:
    """One home or server, and the tasks that run there as one identity."""

    def __init__(self, registry=None, home=None, values=None):
        self.given, self.home, self.values = registry, home, values

    def job(self, job, target, **given):
        base = {"job": job, "run_id": "1", "catalog": target, "schema": "toy", "as_of": AS_OF}
        base["model_name"] = f"{target}.toy.failing"
        context = Context(
            config.parse_arguments([f"--{name}={value}" for name, value in {**base, **given}.items()]), TOY
        )
        if self.given is not None:
            context.__dict__["registry"] = self.given
        return context

    def run(self, name, context):
        importlib.import_module(f"mlops.jobs.{name}").run(context)
        return context

    @property
    def registry(self):
        return self.job("rollback", "dev", reason="none").registry

    def model(self, target):
        return f"{target}.toy.failing"

    def version(self, target, number):
        return self.registry.get_version(self.model(target), number)

    def claims(self, version):
        """What the training run of a version says about it."""
        return VersionFacts.parse(self.registry.read_run_tags(version.run_id))

    def recorded(self, version):
        """The version with the facts that its training claims, as validation loads it."""
        return replace(version, facts=self.claims(version))

    def trained(self, target, seed=0):
        """Register one version, as training does."""
        features, label = rows(seed)
        pipeline = TOY.model.build({}).fit(features, label)
        moment = datetime.fromisoformat(AS_OF)
        facts = TrainingRun(trained_by="trainer", trained_as_of=moment, trained_until=moment - timedelta(days=9))
        with self.registry.open_run("/toy", "training", facts.to_tags()):
            pins = [f"numpy=={np.__version__}"]
            made = self.registry.register_model(
                self.model(target),
                pipeline,
                features.head(5),
                trusted_types=(),
                method="predict_proba",
                requirements=pins,
                facts=facts,
                tags={},
            )
        return self.accepted(target, made.number)

    def accepted(self, target, number, **given):
        """Record that a version was accepted, as validation does; `given` changes the row."""
        job, version = self.deployment(target, number), self.version(target, number)
        known = {"verdict": "accepted", "verdict_digest": VERDICT, "validation_run": "none", "judged_on": "prod.toy"}
        known |= {"judged_against": champion_of(audit_log.load_rows(job)), **vars(self.claims(version)), **given}
        rows = audit_log.add_row(job, audit_log.new_row(job, "verdict", version, **known), lambda _: False)
        assert rows
        verdicts.show_verdict(job, version, rows)
        return self.version(target, number)

    def approved(self, target, number, by="ada", days=1, **given):
        """Record an approval, as the job review does; `given` changes the row."""
        job, version = self.deployment(target, number), self.version(target, number)
        verdict = audit_log.record_of(job, number).verdict
        known = {name: getattr(verdict, name) for name in ("artifact_digest", "verdict_digest")}
        known |= {"by": by, "expires": runtime.now() + timedelta(days=days), "verdict": "approved", **given}
        assert audit_log.add_row(job, audit_log.new_row(job, "approval", version, **known), lambda _: False)
        return self.version(target, number)

    def review(self, target, number, decision="approved", reason="fine", **given):
        return self.job("review", target, model_version=number, decision=decision, reason=reason, **given)

    def training(self, target, **given):
        data = {"data_catalog": "prod", "data_schema": "toy", "experiment": "/toy", "deployment_job_id": "1"}
        return self.job("training", target, **{**data, **given})

    def validation(self, target, number, **given):
        data = {"data_catalog": "prod", "data_schema": "toy", "experiment": "/toy"}
        return self.job("validation", target, **{**data, "model_version": number, **given})

    def promotion(self, target, number, source="dev", **given):
        given = {"source_model": self.model(source), "source_version": number, "deployment_job_id": "1", **given}
        return self.job("promotion", target, **given)

    def deployment(self, target, number, **given):
        data = {"data_catalog": "prod", "data_schema": "toy", "experiment": "/toy"}
        return self.job("deployment", target, **{**data, "model_version": number, "approval": "automatic", **given})

    def rollback(self, target, **given):
        return self.job("rollback", target, **{"reason": "late rate doubled", "run_id": "9", **given})

    def copied(self, target, number):
        """Copy a version of dev without its job, and so without a row in the audit table."""
        source = self.version("dev", number)
        return self.registry.copy_version(source, self.model(target), {})

    def promoted(self, source, target, number):
        """Copy a version and accept it where it came to; returns its number there."""
        job = self.run("promotion", self.promotion(target, number, source))
        made = [v for v in job.registry.list_versions(self.model(target)) if ShownTags.of(v).promoted_from]
        return self.accepted(target, made[-1].number).number

    def deployed(self, target, number, **given):
        return self.run("deployment", self.deployment(target, number, **given))

    def state(self, target):
        """What a target holds, but for its name and what differs from run to run: aliases, tags, audit rows."""
        job = self.rollback(target)
        versions = job.registry.list_versions(self.model(target))
        tags = [{name: "" if name in _EACH_ITS_OWN else text for name, text in v.tags.items()} for v in versions]
        held = [(v.number, sorted(v.aliases)) for v in versions]
        rows = [{name: "" if name in _EACH_ITS_OWN else text for name, text in row.items()} for row in audit(job)]
        return json.loads(json.dumps([held, tags, rows], default=str).replace(target, "TARGET"))


@contextmanager
def living(home):
    """Tasks that run in a home as the identity `release`."""
    values = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LAPTOP_HOME", str(home))
        patch.setenv("LAPTOP_IDENTITY", "release")
        patch.setattr(runtime, "set_task_value", values.__setitem__)
        yield Life(home=home, values=values)


def two_accepted(life):
    """Give target dev two accepted versions, the first of which is champion."""
    life.trained("dev", seed=0)
    life.deployed("dev", 1)
    life.trained("dev", seed=1)


def audit(job):
    """The audit rows of a job's model, oldest first, without time and id, as the commands of people read them."""
    rows = home_tables.read_rows(runtime.home(), job.own.catalog, job.own.name, "audit")
    about = sorted((row for row in rows if row["model_name"] == job.config.model_name), key=itemgetter("sequence"))
    return [{name: row[name] for name in row if name not in {"move_id", "at", "as_of"}} for row in about]


_ARROW = {"string": pa.string(), "long": pa.int64(), "timestamp": pa.timestamp("us", "UTC")}


def write_without_spark(patch):
    """Have the tasks that judge nothing keep their audit table by another library of Delta Lake, in milliseconds."""
    patch.setattr(runtime, "spark", lambda: None)
    patch.setattr(table_schemas, "create_tables", lambda *_: None)
    patch.setattr(table_schemas, "make_frame", lambda own, table, rows: rows)
    patch.setattr(tables.Schema, "append_numbered", _append)
    patch.setattr(audit_log, "read_rows", _read)


def _append(own, table, rows, writer, number):
    columns = pa.schema([(column.name, _ARROW[column.type]) for column in table_schemas.TABLES[table]])
    arrow = pa.Table.from_pylist([dict(zip(columns.names, row, strict=True)) for row in rows], columns)
    write_deltalake(own.warehouse / own.catalog / own.name / table, arrow, mode="append")


def _read(own, model):
    rows = [AuditRow.parse(row) for row in home_tables.read_rows(runtime.home(), own.catalog, own.name, "audit")]
    return sorted((row for row in rows if row.model_name == model), key=attrgetter("sequence"))
