"""A target in memory: registry, audit table and jobs without Spark, MLflow or files; any write can be the last one."""

from __future__ import annotations

import importlib
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime

from toy import TOY

from mlops import config
from mlops.context import Context
from mlops.contract import ModelError, Rule, Verdict
from mlops.contract.model_version import Version
from mlops.data import table_schemas
from mlops.jobs import review, validation
from mlops.modeling import holdout
from mlops.platform import runtime
from mlops.platform.uc_limits import check_tags
from mlops.release import audit_log, target_settings, verdicts
from mlops.release.version_record import AuditRow

MODEL = "prod.toy.failing"
AS_OF = "2024-03-02T00:00:00Z"


class Killed(BaseException):
    """Stands for SIGKILL: nothing in a task catches it."""


class World:
    """What outlives a task: versions with tags, files, claims of their training; aliases, runs, audit rows."""

    def __init__(self):
        self.versions, self.aliases, self.rows, self.runs, self.files = {}, {}, [], {}, {}
        self.claims = {}
        self.left = -1
        """Writes that the task may still do; negative: as many as it likes."""

    def write(self):
        if self.left == 0:
            raise Killed
        self.left -= 1

    def make(self, claims):
        """Make a version whose training run has these tags; whoever forges sets them on the version as well."""
        number = len(self.versions) + 1
        created = datetime(2024, 3, 1, tzinfo=UTC)
        self.claims[f"training{number}"] = dict(claims)
        self.versions[number] = Version(MODEL, number, f"training{number}", created, {}, ())
        self.files[number] = f"files of {number}"
        return number


class Registry:
    """As `mlops.platform.registry.Registry`, for one model."""

    def __init__(self, world):
        self.world = world

    def get_version(self, model, number):
        if number not in self.world.versions:
            raise ModelError(f"{model} has no version {number}")
        held = tuple(sorted(alias for alias, holder in self.world.aliases.items() if holder == number))
        return replace(self.world.versions[number], aliases=held)

    def list_versions(self, model):
        return tuple(self.get_version(model, number) for number in self.world.versions)

    def find_alias_holder(self, model, alias):
        number = self.world.aliases.get(alias)
        return None if number is None else self.get_version(model, number)

    def set_alias(self, version, alias):
        self.world.write()
        self.world.aliases[alias] = version.number

    def drop_alias(self, model, alias):
        self.world.write()
        self.world.aliases.pop(alias, None)

    def set_tags(self, version, tags):
        check_tags(tags)
        for name, text in tags.items():
            self.world.write()
            here = self.world.versions[version.number].tags
            if text is None:
                here.pop(name, None)
            else:
                here[name] = text

    def set_description(self, version, text):
        self.world.write()
        self.world.versions[version.number] = replace(self.world.versions[version.number], description=text)

    def load_model(self, version, model):
        if version.facts.artifact_digest != self.world.files[version.number]:
            raise ModelError("other files")

    def read_run_tags(self, run_id):
        return self.world.claims[run_id]

    @contextmanager
    def fetch_files(self, version):
        yield version.number

    @contextmanager
    def open_run(self, experiment, name, tags):
        self.world.write()
        run_id = f"run{len(self.world.runs)}"
        self.world.runs[run_id] = {}
        yield run_id

    def log_tables(self, tables, context="training"):
        self.world.write()

    def link_model(self, version):
        return None

    def log_to_run(self, parameters, metrics, documents, *, model_id=None):
        self.world.write()
        self.world.runs[list(self.world.runs)[-1]].update(documents)

    def read_document(self, run_id, name):
        return self.world.runs.get(run_id, {}).get(name, "")


class Audit:
    """As `Schema` for the audit table."""

    def __init__(self, world):
        self.world = world

    def append_numbered(self, table, rows, writer, number):
        self.world.write()
        columns = [column.name for column in table_schemas.TABLES["audit"]]
        for row in (dict(zip(columns, values, strict=True)) for values in rows):
            if (row["model_name"], row["sequence"]) not in {(e["model_name"], e["sequence"]) for e in self.world.rows}:
                self.world.rows.append(row)


def keep_audit(patch):
    """Have the jobs keep their audit table in the world of their `own`."""
    patch.setattr(audit_log, "read_rows", _rows)
    patch.setattr(table_schemas, "create_tables", lambda *_: None)
    patch.setattr(table_schemas, "make_frame", lambda own, table, rows: rows)


def _rows(own, model):
    return [AuditRow.parse(row) for row in own.world.rows if row["model_name"] == model]


class Jobs:
    """The tasks of target prod in a world; a verdict is what the test says."""

    def __init__(self, patch):
        self.world, self.values, self.starter, self.accepts = World(), {}, "ada", True
        keep_audit(patch)
        patch.setattr(verdicts, "_render_page", lambda *_: "page")
        patch.setattr(target_settings, "check_settings", lambda job: None)
        patch.setattr(validation, "_read_holdout", lambda job: "the holdout")
        patch.setattr(
            validation, "_judge_version", lambda *_: (self.verdict(), holdout.HoldoutScores(None, None, None))
        )
        patch.setattr(review, "artifact_digest", lambda number: self.world.files[number])
        patch.setattr(runtime, "set_task_value", self.values.__setitem__)
        patch.setattr(runtime, "starter", lambda run_id: self.starter)
        patch.setattr(runtime, "identity", lambda: "run")

    def verdict(self):
        return Verdict((Rule("floor_auc", passed=self.accepts, value=0.7, limit=0.6, reason="as the test says"),))

    def job(self, job, **given):
        base = {"job": job, "run_id": "1", "catalog": "prod", "schema": "toy", "as_of": AS_OF, "model_name": MODEL}
        context = Context(
            config.parse_arguments([f"--{name}={value}" for name, value in {**base, **given}.items()]), TOY
        )
        context.__dict__.update(registry=Registry(self.world), own=Audit(self.world), log=_Silent())
        return context

    def task(self, name, context, kill=-1):
        """Run a task; whether it lived to its end."""
        self.world.left = kill
        try:
            importlib.import_module(f"mlops.jobs.{name}").run(context)
        except Killed:
            return False
        finally:
            self.world.left = -1
        return True

    def deployment(self, number, **given):
        data = {"data_catalog": "prod", "data_schema": "toy", "experiment": "/toy", "approval": "required"}
        return self.job("deployment", model_version=number, **{**data, **given})

    def deploy(self, number, kill=-1):
        """The job deployment: each task once, and the one that was killed once more."""
        context = self.deployment(number)
        for name in ("validation", "approval", "deployment"):
            if not self.task(name, context, kill):
                kill = -1
                self.task(name, context)
            if name == "validation" and self.values["verdict"] != "accepted":
                return self.values["verdict"]
        return "deployed"


class _Silent:
    def __getattr__(self, name):
        return lambda *_: None
