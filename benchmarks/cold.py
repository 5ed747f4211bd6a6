"""Inference with nothing to score, a rollback and an approval, cold and with the engine of `laptop up`.

The home is that of the demo until 28 May, in which production has had two champions. Also where the seconds of a cold
inference go, without and with the file of Spark's classes that a first demo leaves.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks import report
from laptop import spark_command

_LAPTOP, _MLOPS = (str(Path(sys.executable).parent / name) for name in ("laptop", "mlops"))
_INFERENCE = ["run", "inference", "-t", "prod", "-p", "as_of=2013-05-31"]
_IMPORTS = "import mlflow.store.tracking.sqlalchemy_store, pyarrow, pyspark.sql, sklearn.compose, skops.io"
"""What every job imports of others' packages: a warm command cannot be quicker than a Python that does no more."""
_PARTS = ("python and bundle", "start of Spark", "task", "end")


def main() -> None:
    """Print seconds of each command, cold and warm, and the cold split."""
    with tempfile.TemporaryDirectory() as folder:
        home = ["--home", str(Path(folder) / "home")]
        _run(_LAPTOP, "demo", "--until", "2013-05-28", *home)
        _run(_LAPTOP, *_INFERENCE, *home)  # so that nothing is left to score
        if archive := spark_command.find_archive():  # None: this Java cannot keep classes
            archive.unlink(missing_ok=True)
            _split(home, "without classes")
            report("cold", "classes", _run(sys.executable, "-m", "laptop.class_archive"), "s", better="lower")
        _split(home, "cold")
        _time_commands("cold", home, "2013-05-31", target=14)
        report("cold", "up", _run(_LAPTOP, "up", *home), "s", better="lower")
        report("cold", "warm_up", _wait_for_warm_up(), "s", better="lower")
        report("cold", "floor_imports", _run(sys.executable, "-c", _IMPORTS), "s", better="lower")
        _time_commands("warm", home, "2013-06-01", target=3)
        report("cold", "down", _run(_LAPTOP, "down", *home), "s", better="lower")


def _time_commands(engine: str, home: list[str], as_of: str, target: float) -> None:
    """Print seconds of inference, rollback and approval. The day makes a new case, so that version 3 waits again."""
    back = ["rollback", "-t", "prod", "--reason", "measured"]
    approve = ["approve", "3", "-t", "prod", "--approver", "release-manager"]
    report("cold", f"inference_{engine}", _run(_LAPTOP, *_INFERENCE, *home), "s", better="lower", target=target)
    report("cold", f"rollback_{engine}", _run(_MLOPS, *back, *home), "s", better="lower", target=target)
    _run(_MLOPS, "deploy", "3", "-t", "prod", "-p", f"as_of={as_of}", *home, code=1)  # it waits for the approval
    report("cold", f"approve_{engine}", _run(_MLOPS, *approve, *home), "s", better="lower", target=target)


def _run(*words: str, code: int = 0) -> float:
    """Run a command; returns its seconds."""
    begin = time.perf_counter()
    done = subprocess.run(words, check=False, capture_output=True, text=True)
    if done.returncode != code:
        raise SystemExit(f"{' '.join(words)} failed: {done.stdout}{done.stderr}")
    return time.perf_counter() - begin


def _wait_for_warm_up() -> float:
    """Wait until `up` has warmed its engine; returns the seconds."""
    begin = time.perf_counter()
    while subprocess.run(["pgrep", "-f", "laptop.warm_up"], check=False, capture_output=True).returncode == 0:
        time.sleep(0.1)
    return time.perf_counter() - begin


def _split(home: list[str], title: str) -> None:
    """Print the parts of one cold inference, in seconds of wall and of CPU."""
    code = "import sys; from benchmarks.cold import run_split; run_split(sys.argv[1:])"
    begin = time.time()
    words = [sys.executable, "-c", code, *_INFERENCE, *home]
    marks = json.loads(subprocess.run(words, check=True, capture_output=True, text=True).stdout.splitlines()[-1])
    before = {"wall": begin, "python": 0.0, "server": 0.0}
    for part, mark in zip(_PARTS, marks, strict=True):
        for clock, seconds in before.items():
            unit = "s" if clock == "wall" else "CPU s"
            report("cold", f"{title}, {part}, {clock}", mark[clock] - seconds, unit, better="lower")
        before = mark


def run_split(arguments: list[str]) -> None:
    """Run one command of `laptop` in this process and print the moment and the CPU time at the end of each part."""
    from laptop import cli, spark

    marks: dict[str, dict[str, float]] = {}

    def mark(part: str) -> None:
        seconds = {"wall": time.time(), "python": time.process_time(), "server": _server_seconds()}
        marks.setdefault(part, seconds)

    start, wait = spark.start_server, spark.wait_for_server

    def start_server(*given: Any) -> None:
        mark(_PARTS[0])
        start(*given)

    def wait_for_server() -> None:
        wait()
        mark(_PARTS[1])

    spark.start_server, spark.wait_for_server = start_server, wait_for_server
    code = cli.run_args(arguments)
    mark(_PARTS[2])
    spark.stop_server()
    marks[_PARTS[3]] = {**marks[_PARTS[2]], "wall": time.time(), "python": time.process_time()}
    sys.stdout.write(f"\n{json.dumps([marks[part] for part in _PARTS])}\n")
    sys.exit(code)


def _server_seconds() -> float:
    """CPU seconds of the processes below this one, as far as they are Java."""
    total = 0.0
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            name, fields = (folder / "stat").read_text().rsplit(")", 1)
        except OSError:
            continue
        values = fields.split()
        if name.endswith("(java") and int(values[1]) == os.getpid():
            total += sum(map(int, values[11:15])) / os.sysconf("SC_CLK_TCK")
    return total
