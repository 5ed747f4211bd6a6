"""The tasks one by one on a toy use case: real Spark Connect, Delta Lake and MLflow, no runner in between."""

from __future__ import annotations

import importlib
import re
from dataclasses import replace
from datetime import date, datetime
from itertools import count
from pathlib import Path

import pytest
from toy import PER_DAY, TOY, frame_of

from mlops import config
from mlops.context import Context
from mlops.contract import ConfigError, DataError, ModelError, UntrustedModel
from mlops.platform import runtime
from mlops.platform.model_scan import artifact_digest
from mlops.release.version_record import TrainingRun

LANDING = "/Volumes/prod/toy/landing"
DATA = {"data_catalog": "prod", "data_schema": "toy"}
MARCH = "2024-03-02T00:00:00Z"
LATER = "2024-03-12T00:00:00Z"
WATCHED = ("counts", "metrics", "drift", "decisions", "alerts")


class Laptop:
    """A home, and the tasks that run in it."""

    def __init__(self, home, values):
        self.home = home
        self.values = values
        self.runs = count(100)

    def job(self, job, **given):
        base = {"job": job, "run_id": "1", "catalog": "prod", "schema": "toy", "as_of": MARCH}
        return Context(config.parse_arguments([f"--{name}={value}" for name, value in {**base, **given}.items()]), TOY)

    def task(self, name, context):
        self.values.clear()
        importlib.import_module(f"mlops.jobs.{name}").run(context)
        return dict(self.values)

    def land(self, since, until):
        self.task("sample", self.job("sample", landing=LANDING, since=since, until=until))

    def ingest(self, as_of=MARCH):
        context = self.ingestion(as_of=as_of)
        self.task("ingestion", context)
        self.task("features", context)
        return context.own

    def ingestion(self, **given):
        return self.job("ingestion", **{"landing": LANDING, "experiment": "/toy", **given})

    def train(self, target="dev", as_of=MARCH):
        given = {**self.model(target), "deployment_job_id": "1", "as_of": as_of, "run_id": next(self.runs)}
        context = self.job("training", catalog=target, **given)
        return context, int(self.task("training", context)["model_version"])

    def model(self, target):
        return {**DATA, "model_name": f"{target}.toy.failing", "experiment": "/toy"}

    def deployment(self, target, number, **given):
        defaults = {"approval": "automatic", "run_id": "7"}
        given = {**self.model(target), "model_version": number, **defaults, **given}
        return self.job("deployment", catalog=target, **given)

    def deploy(self, target, number, **given):
        context = self.deployment(target, number, **given)
        verdict = self.task("validation", context)["verdict"]
        if verdict == "accepted":
            self.task("approval", context)
            self.task("deployment", context)
        return context, verdict

    def promote(self, source, target, number):
        given = {"source_model": f"{source}.toy.failing", "source_version": number, "deployment_job_id": "1"}
        context = self.job("promotion", catalog=target, model_name=f"{target}.toy.failing", **given)
        return context, int(self.task("promotion", context)["model_version"])

    def infer(self, as_of=LATER):
        context = self.job("inference", **DATA, model_name="prod.toy.failing", as_of=as_of)
        self.task("inference", context)
        return context

    def monitor(self, as_of=LATER):
        context = self.job("monitoring", **self.model("prod"), as_of=as_of, data_profiling="off")
        return context, self.task("monitoring", context)


def laptop_in(folder: Path, monkeypatch):
    values: dict[str, str] = {}
    monkeypatch.setenv("LAPTOP_HOME", str(folder))
    monkeypatch.setenv("LAPTOP_IDENTITY", "trainer")
    monkeypatch.setattr(runtime, "set_task_value", values.__setitem__)
    return Laptop(folder, values)


@pytest.fixture(scope="module")
def loop(first_home, tmp_path_factory, patch):
    """Two months landed, trained and deployed in dev, promoted to prod, ten more days scored and judged."""
    laptop = laptop_in(tmp_path_factory.mktemp("loop"), patch)
    first_home(laptop)
    laptop.infer()
    laptop.monitored = laptop.monitor()
    return laptop


@pytest.fixture
def empty(spark, tmp_path, monkeypatch):
    return laptop_in(tmp_path, monkeypatch)


def test_the_loop_ends_with_one_champion_of_the_same_bytes_in_both_targets(loop):
    registry = loop.job("inference", **DATA, model_name="prod.toy.failing").registry
    dev, prod = (registry.find_alias_holder(f"{target}.toy.failing", "champion") for target in ("dev", "prod"))
    digests = []
    for version in (dev, prod):
        with registry.fetch_files(version) as folder:
            digests.append(artifact_digest(folder))
        assert len(version.tags) <= 6
    assert digests[0] == digests[1]
    assert prod.tags["promoted_from"] == f"dev.toy.failing/{dev.number}@{digests[0]}"


def test_features_are_made_only_when_their_prediction_time_has_come(loop):
    rows = loop.ingestion().own.read_table("features").toPandas()
    assert rows["prediction_time"].max() <= datetime.fromisoformat(LATER).replace(tzinfo=None)
    assert len(rows) == rows["id"].nunique() == PER_DAY * ((date(2024, 3, 12) - date(2024, 1, 1)).days)


def test_inference_scores_what_came_after_the_champions_training_and_nothing_twice(loop):
    before = frame_of(loop.ingestion().own, "predictions")
    after = frame_of(loop.infer().own, "predictions")
    assert after.equals(before)
    assert before["prediction_time"].min() > datetime.fromisoformat(MARCH).replace(tzinfo=None)
    assert before["prediction"].astype(float).between(0, 1).all()


def test_monitoring_measures_matured_predictions_and_repeats_itself(loop):
    context, values = loop.monitored
    before = {table: frame_of(context.own, table) for table in WATCHED}
    assert values == {"retraining_due": "false"}
    metrics = before["metrics"]
    assert list(metrics["slice"] + ":" + metrics["state"]) == [":judged", "kind=x:judged", "kind=y:judged", ":waiting"]
    whole = metrics.iloc[0]
    assert whole["labelled"] == whole["rows"] == 7 * PER_DAY
    assert whole["auc_low"] < whole["auc"] < whole["auc_high"]
    assert whole["auc"] > 0.75
    assert whole["baseline_auc"] == whole["auc"]  # nothing was retrained yet
    assert not before["decisions"]["fired"].any()
    assert {"size", "kind", "due_around", "*", "prediction"} >= set(before["drift"]["column"]) > {"size", "kind", "*"}
    weekly = before["counts"].query("column == 'kind' and slice == ''").groupby("week")["rows"].sum()
    assert set(weekly[1:]) == {7 * PER_DAY}
    loop.monitor()
    for table, rows in before.items():
        assert frame_of(context.own, table).equals(rows), table


def test_a_repeated_ingestion_changes_no_table(loop):
    schema = loop.ingestion().own
    before = {table: frame_of(schema, table) for table in ("orders", "results", "features", "ledger")}
    loop.ingest(LATER)
    for table, rows in before.items():
        assert frame_of(schema, table).equals(rows), table


def test_a_version_that_is_champion_already_is_neither_judged_nor_moved_again(loop):
    context, _ = loop.deploy("prod", 1)
    before = frame_of(context.own, "audit")
    loop.deploy("prod", 1)
    assert frame_of(context.own, "audit").equals(before)


def test_changed_files_of_a_model_are_never_loaded(loop):
    context, number = loop.promote("dev", "changed", 1)
    version = context.registry.get_version("changed.toy.failing", number)
    version = replace(version, facts=TrainingRun.parse(context.registry.read_run_tags(version.run_id)))
    source = context.registry._client.get_model_version(version.model, str(number)).source
    file = Path(source.removeprefix("file://")) / "model.skops"
    file.write_bytes(file.read_bytes() + b" ")
    with pytest.raises(UntrustedModel, match="changed"):
        context.registry.load_model(version, TOY.model)
    _, verdict = loop.deploy("changed", number)
    assert verdict == "refused"


@pytest.mark.parametrize(
    ("task", "what"),
    [("ingestion", "holds no file"), ("training", "no table prod.toy.features"), ("inference", "no champion yet")],
)
def test_an_empty_home_is_told_in_one_sentence(empty, task, what):
    given = {
        "ingestion": {"landing": LANDING, "experiment": "/toy"},
        "training": {**empty.model("prod"), "deployment_job_id": "1"},
        "inference": {**DATA, "model_name": "prod.toy.failing"},
    }[task]
    with pytest.raises((DataError, ModelError), match=what):
        empty.task(task, empty.job(task, **given))


@pytest.mark.nightly
def test_the_same_days_in_any_order_give_the_same_model(empty, tmp_path):
    """Rows of each file and files of each folder shuffled: joblib's digest of the fitted state is the same."""
    digests = []
    for order in ("as landed", "shuffled"):
        laptop = Laptop(empty.home, empty.values)
        catalog = order.replace(" ", "_")
        landing = f"/Volumes/{catalog}/toy/landing"
        files = list(TOY.sample(date(2024, 1, 10), date(2024, 2, 1)))
        for position, (path, text) in enumerate(files):
            head, *rows = text.splitlines(keepends=True)
            name = path
            if order == "shuffled":
                rows = rows[::-1]
                name = f"{path.split('/')[0]}/{len(files) - position:04}.csv"
            target = empty.home / landing.removeprefix("/") / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(head + "".join(rows))
        as_of = "2024-02-02T00:00:00Z"
        context = laptop.ingestion(catalog=catalog, landing=landing, as_of=as_of)
        laptop.task("ingestion", context)
        laptop.task("features", context)
        given = {**laptop.model(catalog), "data_catalog": catalog, "deployment_job_id": "1", "as_of": as_of}
        context = laptop.job("training", catalog=catalog, **given)
        number = int(laptop.task("training", context)["model_version"])
        digests.append(run_of(context.registry, f"{catalog}.toy.failing", number).model_digest)
    assert digests[0] == digests[1]


def run_of(registry, model, number):
    return TrainingRun.parse(registry.read_run_tags(registry.get_version(model, number).run_id))


TRIAL = ("sample", "ingestion", "features", "training", "validation", "deployment")


def trial(laptop, **given):
    own = {"schema": "toy_integration", "data_catalog": "dev", "data_schema": "toy_integration", "catalog": "dev"}
    own |= {"model_name": "dev.toy_integration.failing", "landing": "/Volumes/dev/toy_integration/landing"}
    span = {"since": "2023-12-31", "until": "2024-03-01", "approval": "automatic", "experiment": "/toy"}
    return laptop.job("integration", **{**own, **span, **given})


@pytest.mark.nightly
def test_the_trial_begins_with_an_empty_schema_and_ends_with_a_champion(empty):
    for _ in range(2):
        context = trial(empty)
        empty.task("cleanup", context)
        assert context.registry.list_versions("dev.toy_integration.failing") == ()
        assert not any(len(frame_of(context.own, name)) for name in ("orders", "audit") if context.own.exists(name))
        for name in TRIAL:
            if number := empty.task(name, context).get("model_version"):
                context = trial(empty, model_version=number)
        assert (
            context.registry.find_alias_holder("dev.toy_integration.failing", "champion").number
            == context.config.model_version
        )
    assert list(frame_of(context.own, "audit").sort_values("sequence")["move"]) == ["verdict", "deployment"]


@pytest.mark.parametrize("given", [{"schema": "toy", "model_name": "dev.toy.failing"}], ids=str)
def test_no_schema_but_a_trial_is_ever_emptied(empty, given):
    with pytest.raises(ConfigError, match="may not be emptied: only a schema whose name ends with _integration may"):
        empty.task("cleanup", trial(empty, **given))


@pytest.mark.nightly
def test_deleting_one_table_redoes_exactly_that_table(loop):
    import shutil

    context = loop.ingestion()
    before = {table: frame_of(context.own, table) for table in ("orders", "features")}
    versions = context.own.newest_version("results")
    for table, rows in before.items():
        shutil.rmtree(loop.home / "warehouse" / "prod" / "toy" / table)
        loop.ingest(LATER)
        again = frame_of(context.own, table)
        assert again.drop(columns="batch", errors="ignore").equals(rows.drop(columns="batch", errors="ignore"))
    assert context.own.newest_version("results") == versions


@pytest.mark.nightly
def test_times_are_utc_whatever_the_zone_of_the_machine(empty, monkeypatch):
    import time

    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    try:
        empty.land("2023-12-31", "2024-01-02")
        schema = empty.ingest("2024-01-03T00:00:00Z")
        first = schema.read_table("orders").selectExpr("string(min(due))").collect()[0][0]
        ledger = schema.read_table("ledger").where("source = 'orders'")
        known = ledger.selectExpr("string(min(first_known))", "string(max(as_of))").collect()[0]
    finally:
        monkeypatch.undo()
        time.tzset()
    assert first == "2024-01-01 06:00:00"
    assert tuple(known) == ("2023-12-31 06:00:00", "2024-01-03 00:00:00")


def test_a_window_of_which_half_has_no_prediction_pages_and_its_figures_are_those_of_the_other_half(loop):
    own = loop.ingestion().own
    before = frame_of(own, "alerts")
    assert "unscored" not in set(before["rule"])
    half = "crc32(CAST(id AS STRING)) % 2 = 0"
    own.spark.sql(f"DELETE FROM {own.identifier('predictions')} WHERE {half}")  # noqa: S608 (no text of others)
    loop.monitor()
    (alert,) = frame_of(own, "alerts").query("rule == 'unscored'").to_dict("records")
    assert (alert["severity"], alert["owner"]) == ("page", "ML engineers")
    assert re.fullmatch(r"\d+ of \d+ entities have no prediction; [\d.]+% is allowed", alert["evidence"])
