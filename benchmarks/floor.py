"""A window of the demo beside bare Spark, which only reads and writes what the window's jobs read and write.

Bare Spark gets a copy of the tables as they were before the window, and the rows that the window added, ready in
Parquet files. It has the same server, as warm, and no check, page, registry or computation of its own.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from benchmarks import report
from laptop import cli, spark
from usecase import USE_CASE

_SOURCES = [source for source in USE_CASE.sources if source.history is not None]
_KEY = [*USE_CASE.entity.key, "prediction_time"]
_WATCHED = ("counts", "metrics", "drift", "decisions", "alerts")
_TABLES = (*(source.name for source in _SOURCES), "ledger", "features", "predictions", *_WATCHED)
_TASKS = ("ingestion", "features", "inference", "monitoring")


def main() -> None:
    """Print seconds of the tasks of June's window, of bare Spark, and the ratio."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        if cli.run_args(["demo", "--until", "2013-06-25", "--home", str(home)]):
            raise SystemExit("the demo failed")
        ours = _newest_window(home)
        window = _Window(spark.get_session(), home / "warehouse/prod/flights", Path(folder) / "bare")
        window.stage()
        for _ in range(2):  # the first time warms it up
            bare = window.run()
    for task in _TASKS:
        report("floor", task, ours[task], "s", better="lower")
        report("floor", f"{task}, bare Spark", bare[task], "s", better="lower")
    report("floor", "window", sum(ours.values()), "s", better="lower", target=14)
    report("floor", "window, bare Spark", sum(bare.values()), "s", better="lower")
    report("floor", "window beside bare Spark", sum(ours.values()) / sum(bare.values()), "ratio", better="lower")


def _newest_window(home: Path) -> dict[str, float]:
    """Seconds of each task in the newest window."""
    seconds: dict[str, dict[str, float]] = defaultdict(dict)
    for file in (home / "runs").glob("*.json"):
        run = json.loads(file.read_text())
        for key in {*run["tasks"]} & {*_TASKS}:
            seconds[run["parameters"]["as_of"]][key] = run["tasks"][key]["duration"]
    return seconds[max(seconds)]


class _Window:
    """The reads and writes of one window on a copy of the tables."""

    def __init__(self, session: SparkSession, tables: Path, bare: Path) -> None:
        self.spark, self.tables, self.bare = session, tables, bare

    def stage(self) -> None:
        """Write the rows that the newest version of each table added into Parquet files."""
        ledger = self._read("ledger", self.tables)
        (newest,) = ledger.agg(F.max("batch")).collect()
        (first,) = ledger.where(F.col("batch") == newest[0]).agg(F.min("first_known")).collect()
        self.since: datetime = first[0]
        late = {source.name: F.col(source.known_at) >= F.lit(self.since) for source in _SOURCES}
        asked = F.col("prediction_time") >= F.lit(self.since)
        late |= {"ledger": F.col("batch") == newest[0], "features": asked, "predictions": asked}
        for name in _TABLES:
            rows, moment = self._read(name, self.tables), "last_seen" if name == "alerts" else "as_of"
            chosen = late[name] if name in late else F.col(moment) == rows.agg(F.max(moment)).collect()[0][0]
            rows.where(chosen).coalesce(1).write.parquet(str(self.bare / "staged" / name))

    def run(self) -> dict[str, float]:
        """Copy the tables, take the window's rows out of them, and do its reads and writes; returns seconds by task."""
        self.copy = self.bare / str(time.time_ns())
        for name in _TABLES:
            shutil.copytree(self.tables / name, self.copy / name)
            if (log := sorted((self.copy / name / "_delta_log").glob("*.json"))) and len(log) > 1:
                self.spark.sql(f"RESTORE TABLE {self._name(name)} TO VERSION AS OF {int(log[-2].stem)}")
        steps: dict[str, Callable[[], None]] = {
            "ingestion": self._ingest, "features": self._make_features, "inference": self._score,
            "monitoring": self._monitor,
        }  # fmt: skip
        seconds = {}
        for task, step in steps.items():
            start = time.perf_counter()
            step()
            seconds[task] = time.perf_counter() - start
        return seconds

    def _name(self, table: str, folder: Path | None = None) -> str:
        return f"delta.`{(folder or self.copy) / table}`"

    def _read(self, table: str, folder: Path | None = None) -> DataFrame:
        return self.spark.table(self._name(table, folder))

    def _staged(self, table: str) -> DataFrame:
        return self.spark.read.parquet(str(self.bare / "staged" / table))

    def _append(self, table: str) -> None:
        self._staged(table).writeTo(self._name(table)).append()

    def _ingest(self) -> None:
        self._read("ledger").select("source", "file", "bytes", "modified", "sha256").toArrow()

        def merge(source: Any) -> None:
            key = list(dict.fromkeys([*source.key, source.known_at]))
            condition = " AND ".join(f"t.`{name}` = s.`{name}`" for name in key)
            condition += f" AND t.`{source.known_at}` >= TIMESTAMP '{self.since:%Y-%m-%d %H:%M:%S}'"
            self._staged(source.name).createOrReplaceTempView(f"staged_{source.name}")
            self.spark.sql(
                f"MERGE INTO {self._name(source.name)} t USING staged_{source.name} s ON {condition} "
                "WHEN MATCHED THEN UPDATE SET * WHEN NOT MATCHED THEN INSERT *"
            ).collect()

        _at_once([partial(merge, source) for source in _SOURCES])
        self._append("ledger")

    def _make_features(self) -> None:
        self._read("features").agg(F.max("prediction_time")).collect()
        self._read("ledger").groupBy("source").agg(F.max("batch")).collect()
        since = self.since - timedelta(days=1)
        reads = [self._read(each.name).where(F.col(each.known_at) >= F.lit(since)).toArrow for each in _SOURCES]
        _at_once(reads)
        asked = F.col("prediction_time") >= F.lit(self.since)
        self._staged("features").writeTo(self._name("features")).overwrite(asked)

    def _score(self) -> None:
        asked = F.col("prediction_time") >= F.lit(self.since)
        done = self._read("predictions").where(asked).select(*_KEY)
        self._read("features").where(asked).join(done, _KEY, "left_anti").toArrow()
        self._append("predictions")

    def _monitor(self) -> None:
        asked = F.col("prediction_time") >= F.lit(self.since)
        rows, scored = (self._read(name).where(asked) for name in ("features", "predictions"))
        label = USE_CASE.source("outcomes")
        outcomes = self._read(label.name).where(F.col(label.known_at) >= F.lit(self.since))
        joined = rows.join(scored.drop("event_time"), _KEY).join(outcomes, list(label.key), "left")
        reads = [self._read(name).toArrow for name in (*_WATCHED, "ledger")]
        _at_once([*reads, rows.join(scored.select(*_KEY), _KEY, "left").count])
        joined.toArrow()
        rows.toArrow()
        _at_once([partial(self._append, name) for name in _WATCHED])


def _at_once(calls: Sequence[Callable[[], Any]]) -> None:
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda call: call(), calls))
