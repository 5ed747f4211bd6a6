"""What a run reads of its own past does not grow with the age of the tables."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyspark.sql import functions as F
from toy import TOY

from mlops.data import ledger, table_schemas
from mlops.data.landing import LandedFile
from mlops.modeling import splits
from mlops.monitoring import history, store, week_counts
from mlops.platform import tables

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

YEARS, HOURS, HOUR = 10, 365 * 24, timedelta(hours=1)
BEGIN = datetime(2014, 1, 1, tzinfo=UTC)
NOW = BEGIN + YEARS * 365 * timedelta(days=1)
SOURCES = ("orders", "results")


def every(spark: SparkSession, step: timedelta, until: datetime = NOW) -> DataFrame:
    """One row per step since BEGIN, with its number and its moment `as_of`."""
    rows = spark.range(int((until - BEGIN) / step))
    seconds = F.lit(int(BEGIN.timestamp())) + F.col("id") * int(step.total_seconds())
    return rows.select("id", F.timestamp_seconds(seconds).alias("as_of"))


def file_of(number: int, source: str, **changed: Any) -> LandedFile:
    given = {"name": f"{number}.csv", "size": 1000 + number % 500, "modified": BEGIN + number * HOUR}
    return LandedFile(**{"source": source, "path": Path("x"), **given, **changed})


@pytest.fixture(scope="module")
def hourly(spark: SparkSession) -> DataFrame:
    """A ledger of one file an hour and source for a year; each content has its file's number."""
    rows = every(spark, HOUR, BEGIN + HOURS * HOUR).crossJoin(
        spark.createDataFrame([(name,) for name in SOURCES], "source string")
    )
    return rows.select(
        "source", F.concat("id", F.lit(".csv")).alias("file"), F.concat("id", "source").alias("sha256"),
        (1000 + F.col("id") % 500).alias("bytes"), F.col("as_of").alias("modified"), (F.col("id") + 1).alias("batch"),
    )  # fmt: skip


def test_of_the_ledger_a_run_reads_the_rows_of_the_files_that_are_listed(hourly: DataFrame) -> None:
    hours = HOURS
    listed = [file_of(number, source) for number in range(hours - 48, hours) for source in SOURCES]
    new = [file_of(hours, "orders"), file_of(hours - 1, "results", size=7), file_of(3, "orders", modified=NOW)]
    recorded = ledger.find_listed(hourly, ["orders", "results"], [*listed, *new])
    assert recorded.newest == dict.fromkeys(SOURCES, hours)
    assert recorded.read == {file.identity for file in listed}
    assert not recorded.read & {file.identity for file in new}
    # The third file has the content of one that left the landing folder long ago.
    known = ledger.find_known_content(hourly, ["orders"], new, recorded)
    assert ("orders", "3orders") in known.read
    assert len(known.read) == sum(number % 500 in {3, hours % 500} for number in range(hours))
    assert {source for source, _ in known.read} == {"orders"}
    assert known.modified["orders", "3orders"] == BEGIN + 3 * HOUR


def test_files_of_a_source_whose_table_was_deleted_are_new_again(hourly: DataFrame) -> None:
    listed = [file_of(5, source) for source in SOURCES]
    recent = hourly.where("batch <= 10")
    recorded = ledger.find_listed(recent, ["results"], listed)
    assert {source for source, *_ in recorded.read} == {"results"}
    assert recorded.newest == dict.fromkeys(SOURCES, 10)
    assert ledger.find_listed(recent, [], listed) == ledger.ListedFiles(recorded.newest, {}, set())
    assert ledger.find_listed(recent, SOURCES, []) == ledger.ListedFiles(recorded.newest, {}, set())
    assert ledger.find_known_content(recent, [], listed, recorded).read == set()
    many = [file_of(0, "orders", size=size) for size in range(2000)]
    assert len(ledger.find_known_content(recent, SOURCES, many, recorded).read) == 20


def test_of_a_table_that_was_deleted_only_later_batches_count(hourly: DataFrame, spark: SparkSession) -> None:
    listed = [file_of(number, source) for number in (5, 6) for source in SOURCES]
    deleted = spark.createDataFrame([("orders", ledger.NO_FILE, 6)], "source string, sha256 string, batch long")
    recent = hourly.where("batch <= 10").unionByName(deleted, allowMissingColumns=True)
    recorded = ledger.find_listed(recent, SOURCES, listed)
    assert recorded.emptied == {"orders": 6}
    identities = {file.identity for file in listed}
    assert identities - recorded.read == {file_of(5, "orders").identity}
    known = ledger.find_known_content(recent, SOURCES, [file_of(n, "orders") for n in range(10)], recorded)
    assert {digest for source, digest in known.read if source == "orders"} == {f"{n}orders" for n in range(6, 10)}
    assert known.modified["orders", "2orders"] == BEGIN + 2 * HOUR  # which the table gets again
    assert recorded.is_filled("orders")
    assert not ledger.find_listed(recent.where("batch <= 6"), SOURCES, listed).is_filled("orders")


class Tables:
    """Tables of daily runs, and of hourly ones where ingestion writes, for ten years."""

    def __init__(self, spark: SparkSession) -> None:
        daily, hourly = every(spark, timedelta(days=1)), every(spark, HOUR)
        model, day = F.lit("prod.toy.late").alias("model_name"), F.col("as_of")
        alert = {"rule": "drift", "subject": "size", "severity": "page", "owner": "x", "evidence": ""}
        # Every hundredth alert is open, the first one since ten years.
        resolved = F.when(F.col("id") % 100 != 0, day + F.expr("INTERVAL 2 DAYS")).alias("resolved")
        self.frames = {
            "metrics": daily.select(model, F.lit("").alias("slice"), day.alias("window_end"), "as_of"),
            "decisions": daily.select(model, "as_of", F.lit("age").alias("rule")),
            "alerts": daily.select(
                model, day.alias("first_seen"), day.alias("last_seen"), resolved,
                *(F.lit(value).alias(name) for name, value in alert.items()),
            ),
            "drift": daily.select(F.lit("").alias("slice"), day.alias("week")),
            "quarantine": hourly.select("as_of"),
            "ledger": hourly.select(F.lit("orders").alias("source"), "as_of", F.col("as_of").alias("last_known")),
        }  # fmt: skip

    def read_table(self, name: str) -> DataFrame:
        return self.frames[name]


def test_monitoring_reads_its_past_as_far_as_limits_look_and_what_is_open(spark: SparkSession) -> None:
    tables, config = Tables(spark), SimpleNamespace(as_of=NOW, model_name="prod.toy.late")
    job: Any = SimpleNamespace(own=tables, data=tables, config=config, use_case=TOY)
    stored = store.load_history(job, ())
    days = history.find_horizon(TOY.policy).days
    assert days >= 400
    counts = {name: len(rows) for name, rows in stored.items()}
    opened = len(range(0, YEARS * 365 - days, 100))
    assert counts.pop("alerts") == days + opened + 2  # two of the time before were resolved within it
    assert counts.pop("ledger") == 1
    assert counts == dict.fromkeys(("metrics", "decisions", "drift", "quarantine"), days) | {"moves": 0}
    assert store.newest_per_source(job, stored["ledger"])["orders"] == NOW - HOUR


@given(
    st.lists(st.tuples(st.integers(0, 9), st.sampled_from(["deployment", "verdict", "rollback"]))), st.integers(0, 9)
)
def test_the_version_that_served_at_the_oldest_moment_has_its_move(given: list[tuple[int, str]], since: int) -> None:
    rows: Any = [SimpleNamespace(as_of=day, move=move) for day, move in sorted(given)]
    moves = [row for row in rows if row.move != "verdict"]
    selected = store.select_moves(rows, since)  # type: ignore[arg-type] # compares moments only
    assert selected == moves[len(moves) - len(selected) :]
    assert all(row in selected for row in moves if row.as_of >= since)
    assert sum(row.as_of < since for row in selected) == any(row.as_of < since for row in moves)


@given(
    maturity=st.integers(0, 1500),
    window=st.integers(1, 400),
    memory=st.integers(0, 60),
    reference=st.integers(7, 800),
    hours=st.integers(0, 10_000),
)
def test_what_limits_reach_is_within_the_horizon(maturity, window, memory, reference, hours):
    """Else a run would count weeks again that an earlier one has written, and find no usual figures."""
    policy = replace(
        TOY.policy, maturity=timedelta(days=maturity), window=timedelta(days=window), drift_memory=memory,
        drift_reference=timedelta(days=reference),
    )  # fmt: skip
    as_of = NOW + hours * HOUR
    job = SimpleNamespace(use_case=replace(TOY, policy=policy), config=SimpleNamespace(as_of=as_of))
    start = splits.find_matured_window(as_of, policy).start
    since = as_of - history.find_horizon(policy)
    assert min(week_counts.list_weeks(job, start - timedelta(days=start.weekday()))) >= since
    assert start - (memory + 1) * policy.window >= since


def test_moves_that_were_made_as_of_the_past_stay_behind_the_first_one_of_the_horizon():
    moves = [SimpleNamespace(move="deployment", as_of=BEGIN + days * timedelta(days=1)) for days in (1, 5, 2, 6)]
    assert store.select_moves(moves, BEGIN + timedelta(days=4)) == moves
    assert store.select_moves(moves, BEGIN + timedelta(days=9)) == moves[3:]


@pytest.mark.nightly
def test_broken_rows_are_compared_with_the_last_400_days_and_older_files_are_not_read(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAPTOP_HOME", str(tmp_path))
    own = tables.open_schema("prod", "aside")
    table_schemas.create_tables(own, TOY, "quarantine")

    def insert(line: int, as_of: datetime) -> int:
        row = ("orders", "1.csv", "digest", line, "size", "size:number", "text", as_of)
        table_schemas.insert_broken(own, table_schemas.make_frame(own, "quarantine", [row]), as_of)
        return own.read_table("quarantine").where(F.col("as_of") > F.lit(NOW - timedelta(days=300))).count()

    insert(1, NOW - timedelta(days=601))
    (old,) = tmp_path.rglob("quarantine/*.parquet")
    old.unlink()  # a run that reads it fails
    assert insert(2, NOW - timedelta(days=200)) == 1
    assert [insert(line, NOW) for line in (2, 1, 1)] == [1, 2, 2]
