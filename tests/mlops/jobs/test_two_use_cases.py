"""Two use cases in one schema: a prefix keeps their tables apart, and without one the second is refused by name."""

from __future__ import annotations

import sys
from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace

import pandas as pd
import pytest
from pyspark import cloudpickle
from test_jobs_loop import LATER, MARCH, Laptop, laptop_in
from test_kinds_in_jobs import NUMBER
from toy import TOY, frame_of

from mlops import config
from mlops.context import Context
from mlops.contract import ConfigError, feature
from mlops.data import table_schemas
from mlops.platform.tables import SHARED, Schema, open_schema
from mlops.release.model_owner import check_model_owner

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # Spark's workers cannot import this file

HOURS = pd.Timedelta("1h")


@feature(unit="", known_from="the announcement", dtype="boolean")
def urgent(known):
    """Whether the order is small."""
    return known.rows["size"] < 0


@feature(unit="", known_from="the announcement", dtype="long")
def due_hour(known):
    """Hour of the day, from a time."""
    return known.rows["due"].dt.hour


@feature(unit="h", known_from="the judgement")
def hours_since_result(known):
    """Time since the newest result, from two times."""
    newest = pd.Series(known.latest("results", "judged", by=[], within=timedelta(days=2)))
    return ((known.prediction_time - newest) / HOURS).to_numpy()


@feature(unit="kg", known_from="the announcements")
def spread(known):
    """How much sizes of the kind differ, weighed by age and not."""
    window = known.window("orders", by=["kind"], since=timedelta(days=2))
    return window.std("size") + window.max("size") - window.min("size") + window.ewm_mean("size", timedelta(hours=12))


@feature(unit="", known_from="the announcements")
def kinds(known):
    """Kinds of the last day, of the whole source."""
    return known.window("orders", by=[], since=timedelta(days=1)).distinct_count("kind")


OTHER = replace(
    NUMBER,
    name="other",
    table_prefix="other_",
    features=(*NUMBER.features, urgent, due_hour, hours_since_result, spread, kinds),
    policy=replace(NUMBER.policy, slices=("kind", "urgent"), paging=("urgent", "due_hour")),
)
"""A number, with features of every type and figure."""
TABLES = ("orders", "results", "ledger", "quarantine", "features", "predictions", *table_schemas.TABLES)


@pytest.mark.parametrize(
    "create",
    [
        lambda schema, use_case: table_schemas.create_tables(schema, use_case, "audit", "metrics"),
        table_schemas.create_features,
        table_schemas.create_predictions,
    ],
    ids=["fixed tables", "features", "predictions"],
)
def test_a_table_of_another_use_case_is_refused_with_both_cures_and_a_prefix_is_one(spark, home, create):
    schema, hourly = open_schema("prod", "shared"), replace(TOY, name="hourly")  # Spark hides values with "url"
    for _ in range(2):
        create(schema, hourly)
    with pytest.raises(
        ConfigError,
        match=r"table prod\.shared\.\w+ belongs to the use case 'hourly', and this one is 'other': "
        r'write table_prefix="other_" into the UseCase, or give the bundle a schema',
    ):
        create(schema, OTHER)
    create(open_schema("prod", "shared", prefix="other_"), OTHER)
    create(open_schema("prod", "other"), OTHER)


def test_a_table_of_before_belongs_to_nobody_and_is_taken(spark, home):
    schema = open_schema("prod", "before")
    schema.create_table("metrics", table_schemas.table_columns("metrics", TOY), "made without an owner")
    table_schemas.create_tables(schema, OTHER, "metrics")


def test_only_tables_whose_rows_name_their_model_are_shared():
    plain, other = (Schema(None, None, "prod", "shared", prefix=prefix) for prefix in ("", "other_"))
    assert {table for table in TABLES if plain.full_name(table) == other.full_name(table)} == SHARED
    assert all(table_schemas.TABLES[table][0].name == "model_name" for table in SHARED)
    assert other.identifier("features") == "`prod`.`shared`.`other_features`"


@pytest.mark.parametrize("prefix", ["other", "_", "Other_", "9_", "a-b_", "a.b_"])
def test_a_prefix_that_no_table_can_have_is_refused(prefix):
    with pytest.raises(ConfigError, match="table_prefix is"):
        replace(TOY, table_prefix=prefix)


@pytest.mark.parametrize(("owner", "refused"), [("toy", False), ("", False), ("other", True)])
def test_a_model_of_another_use_case_takes_no_version(owner, refused):
    versions = [SimpleNamespace(run_id="run 1", __str__=lambda _: "prod.shared.model version 1")]
    registry = SimpleNamespace(list_versions=lambda _: versions, read_run_tags=lambda _: {"use_case": owner})
    job = SimpleNamespace(registry=registry, use_case=TOY, config=SimpleNamespace(model_name="prod.shared.model"))
    if refused:
        with pytest.raises(ConfigError, match=r"trained for the use case 'other', and this one is 'toy'.*`model`"):
            check_model_owner(job)
    else:
        check_model_owner(job)


class Deployment(Laptop):
    """The tasks of one use case in a schema."""

    def __init__(self, laptop, use_case, schema):
        super().__init__(laptop.home, laptop.values)
        self.use_case, self.schema = use_case, schema
        self.landing = f"/Volumes/prod/{schema}/landing_{use_case.name}"

    def job(self, job, **given):
        base = {"job": job, "run_id": "1", "catalog": "prod", "schema": self.schema, "as_of": MARCH}
        if "data_schema" in given:
            given |= {"data_schema": self.schema, "model_name": f"prod.{self.schema}.{self.use_case.name}"}
        if "landing" in given:
            given |= {"landing": self.landing}
        arguments = [f"--{name}={value}" for name, value in {**base, **given}.items()]
        return Context(config.parse_arguments(arguments), self.use_case)

    def begin(self):
        self.land("2024-01-20", "2024-03-01")
        self.ingest()
        assert self.deploy("prod", self.train("prod")[1])[1] == "accepted"

    def go_on(self):
        self.land("2024-03-02", "2024-03-11")
        self.ingest(LATER)
        self.infer()
        return self.monitor()[0]


def versions_of(context):
    """Newest version of each table that only one use case has."""
    return {table: context.own.newest_version(table) for table in TABLES if table not in SHARED}


@pytest.mark.nightly
@pytest.mark.timeout(3600)
def test_a_second_use_case_in_a_schema_writes_what_it_would_write_alone_and_nothing_else(
    spark, tmp_path_factory, patch
):
    laptop = laptop_in(tmp_path_factory.mktemp("shared"), patch)
    first, second = (Deployment(laptop, use_case, "shared") for use_case in (TOY, OTHER))
    first.begin()
    before = versions_of(first.go_on())
    second.begin()
    shared = second.go_on()
    assert versions_of(first.job("monitoring", **first.model("prod"), data_profiling="off")) == before
    alone = Deployment(laptop, OTHER, "alone")
    alone.begin()
    owned = alone.go_on()
    for table in TABLES:
        frames = [frame_of(context.own, table) for context in (shared, owned)]
        if table in SHARED:
            assert list(frames[0].groupby("model_name").size()) == [len(frames[1])] * 2
            continue
        clocks = {"model_name", "scored_at", "modified", "file_modified"} & set(frames[0])
        one, two = (frame.drop(columns=[*clocks]).astype(str) for frame in frames)
        assert one.equals(two), table
    stored = {path.name for path in (laptop.home / "warehouse/prod/shared").iterdir()}
    assert stored == {*TABLES, *(f"other_{table}" for table in TABLES if table not in SHARED)}
