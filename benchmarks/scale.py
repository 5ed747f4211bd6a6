"""A month of one airport system and of many: what each job takes on Spark Connect and Delta, and how its tasks spread.

`python -m benchmarks scale 10` runs ingestion, features, inference and monitoring on one system (26,000 flights) and on
ten, and compares them; `scale spread` runs ten systems on one core and on two. Each job is a process of its own, as on
the platform, with one server for all. The sample lands before, by a process that is not measured.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import report
from benchmarks.processes import Usage, run_step
from benchmarks.scaled import JOBS
from laptop import spark, spark_command

WORDS = ("spread",)
"""What may stand for the number of systems."""
_ROOT = Path(__file__).parents[1]
_MB = 2**20
_SHUFFLES = 32
"""Number of partitions of a shuffle, for all sizes. The laptop's own 2 would hide what a cluster spreads."""
_ENOUGH = 16
"""Number of tasks from which a stage keeps a cluster busy."""


@dataclass(frozen=True)
class Measured:
    """What one job took."""

    wall: float
    usage: Usage
    widest: int
    """Tasks of the widest stage."""
    narrow: float
    """Share of the tasks' run time in stages of fewer than _ENOUGH tasks."""


def main(size: int | str = 10) -> None:
    """Measure one system and `size` of them; `spread`: ten on one core and on two."""
    if isinstance(size, str):
        jobs = ("ingestion", "features", "inference")
        one, two = (measure_jobs(10, jobs, cores) for cores in (1, 2))
        for job in jobs:
            report(
                "scale", f"{job} x10, two cores", one[job].wall / two[job].wall, "times", better="higher", target=1.6
            )
        return
    once = measure_jobs(1, JOBS)
    if size > 1:
        _compare(size, once, measure_jobs(size, JOBS))


def _compare(systems: int, once: dict[str, Measured], many: dict[str, Measured]) -> None:
    per_row = 1.1 if systems <= 10 else 1.3
    for job, of_many in many.items():
        cpu = of_many.usage.cpu / once[job].usage.cpu / systems
        driver = of_many.usage.driver / once[job].usage.driver
        report("scale", f"{job} x{systems}, CPU per row, to x1", cpu, "times", better="lower", target=per_row)
        report("scale", f"{job} x{systems}, driver, to x1", driver, "times", better="lower", target=1.2)


def measure_jobs(systems: int, jobs: Sequence[str], cores: int = 2) -> dict[str, Measured]:
    """Land the month of some systems in a home of its own and run jobs on it."""
    with tempfile.TemporaryDirectory(prefix="scale-") as folder:
        os.environ |= {"LAPTOP_HOME": folder, "PYTHONPATH": str(_ROOT)}  # also for Spark's workers
        port = _start_server(Path(folder), cores)
        try:
            return _run_jobs(systems, jobs, cores, port)
        finally:
            spark.stop_server()


def _run_jobs(systems: int, jobs: Sequence[str], cores: int, port: int) -> dict[str, Measured]:
    measured = {}
    _run("land", systems)
    spark.wait_for_server()
    for job in jobs:
        if job == "inference":
            _run("champion", systems)
        seen = {stage["stageId"] for stage in _read_stages(port)}
        begin = time.perf_counter()
        usage = _run(job, systems)
        wall = time.perf_counter() - begin
        stages = [stage for stage in _read_stages(port) if stage["stageId"] not in seen]
        measured[job] = _describe(f"{job} x{systems} on {cores} cores", wall, usage, stages)
    return measured


def _run(step: str, systems: int) -> Usage:
    words = [sys.executable, "-m", "benchmarks.scaled", step, str(systems)]
    return run_step(words, spark.server_pid() or 0, {"OMP_NUM_THREADS": "1"})


def _describe(name: str, wall: float, usage: Usage, stages: Sequence[dict[str, Any]]) -> Measured:
    widest = max(stage["numTasks"] for stage in stages)
    runtime = sum(stage["executorRunTime"] for stage in stages)
    narrow = sum(stage["executorRunTime"] for stage in stages if stage["numTasks"] < _ENOUGH) / max(1, runtime)
    report("scale", f"{name}, wall", wall, "s", better="lower")
    report("scale", f"{name}, CPU", usage.cpu, "s", better="lower")
    report("scale", f"{name}, CPU of the driver", usage.driver_cpu, "s", better="lower")
    for kind, target in (("driver", 2048), ("server", None), ("worker", 1024)):
        report("scale", f"{name}, largest {kind}", getattr(usage, kind) / _MB, "MB", better="lower", target=target)
    report("scale", f"{name}, tasks of the widest stage", widest, "tasks", better="higher", target=_ENOUGH)
    report("scale", f"{name}, run time in stages of less than {_ENOUGH} tasks", narrow, "share", better="lower")
    for stage in sorted(stages, key=lambda stage: -stage["executorRunTime"])[:8]:
        seconds, tasks = stage["executorRunTime"] / 1000, stage["numTasks"]
        words = " ".join(stage["name"].split()[4:16])
        print(f"  {seconds:8.1f} s in {tasks} tasks: {words}", file=sys.stderr, flush=True)
    return Measured(wall, usage, widest, narrow)


def _start_server(home: Path, cores: int) -> int:
    """Start a server with so many cores, and with the pages on which it counts its tasks; returns their port."""
    pages, original = spark_command.free_port(), spark_command.server_command
    changed = {
        "spark.master": f"local[{cores}]", "spark.ui.enabled": "true", "spark.sql.shuffle.partitions": str(_SHUFFLES),
    }  # fmt: skip

    def server_command(folder: Path, port: int) -> list[str]:
        program, *words = original(folder, port)
        named = [(word.partition("=")[0], word) for word in words]
        own = [f"{name}={changed[name]}" if name in changed else word for name, word in named]
        # Spark joins small partitions of a shuffle, but not to fewer than the cluster has cores.
        cluster = f"spark.sql.adaptive.coalescePartitions.minPartitionNum={_ENOUGH}"
        return [program, "--conf", f"spark.ui.port={pages}", "--conf", cluster, *own]

    spark_command.server_command = server_command
    try:
        spark.start_server(home, print)
    finally:
        spark_command.server_command = original
    return pages


def _read_stages(port: int) -> list[dict[str, Any]]:
    """Read what Spark's status page knows of all stages that have ended."""
    at = f"http://127.0.0.1:{port}/api/v1/applications"
    (application,) = _read_json(at)
    return _read_json(f"{at}/{application['id']}/stages?status=complete")


def _read_json(address: str) -> list[dict[str, Any]]:
    with urllib.request.urlopen(address) as answer:  # noqa: S310 - our own server
        return list(json.load(answer))
