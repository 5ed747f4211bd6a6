"""Small commands from key press to end, cold and with the engine of `laptop up`, and where a cold one's seconds go.

The home is that of the demo. Each promotion makes one more version of the same model in prod, so that there is
something to approve and something to roll back to.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import report
from mlops.platform.registry import Registry

_LAPTOP, _MLOPS = (str(Path(sys.executable).parent / name) for name in ("laptop", "mlops"))
_INFERENCE = ["run", "inference", "-t", "prod", "-p", "as_of=2013-05-03"]
_TRAINED = "2013-04-01"
"""When the demo promoted: the gate judges on the days before it."""
_PARTS = ("python and bundle", "start of Spark", "task", "end")


def main() -> None:
    """Print seconds of inference with nothing to score, approval and rollback, cold and warm, and the cold split."""
    with tempfile.TemporaryDirectory() as folder:
        home = ["--home", str(Path(folder) / "home")]
        _run(_LAPTOP, "demo", "--until", "2013-04-30", *home)
        _run(_LAPTOP, *_INFERENCE, *home)  # so that nothing is left to score
        _split(home)
        _time_commands("cold", 14, home)
        report("cold", "up", _run(_LAPTOP, "up", *home), "s", better="lower")
        _time_commands("warm", 3, home)
        report("cold", "down", _run(_LAPTOP, "down", *home), "s", better="lower")


def _time_commands(state: str, target: float, home: list[str]) -> None:
    version = _promote_again(home)
    where = ["--target", "prod", *home]
    commands: dict[str, Callable[[], float]] = {
        "inference": lambda: _run(_LAPTOP, *_INFERENCE, *home),
        "approve": lambda: _run(_MLOPS, "approve", version, "--approver", "ada", *where),
        "rollback": lambda: _run(_MLOPS, "rollback", "--reason", "benchmark", *where),
    }
    for name, command in commands.items():
        report("cold", f"{name}_{state}", command(), "s", better="lower", target=target)


def _promote_again(home: list[str]) -> str:
    """Copy the champion of staging into prod once more, where it waits for approval; returns the copy's number."""
    given = ["-p", f"as_of={_TRAINED}"]
    _run(_MLOPS, "promote", "--target", "prod", *given, *home, may_fail=True)  # for want of the approval
    return str(max(version.number for version in Registry(Path(home[1])).list_versions("prod.flights.late_arrival")))


def _run(*words: str, may_fail: bool = False) -> float:
    """Run a command; returns its seconds."""
    begin = time.perf_counter()
    done = subprocess.run(words, check=False, capture_output=True, text=True)
    if done.returncode and not may_fail:
        raise SystemExit(f"{' '.join(words)} failed: {done.stdout}{done.stderr}")
    return time.perf_counter() - begin


def _split(home: list[str]) -> None:
    """Print the parts of one cold inference, in seconds of wall and of CPU."""
    code = "import sys; from benchmarks.cold import run_split; run_split(sys.argv[1:])"
    begin = time.time()
    words = [sys.executable, "-c", code, *_INFERENCE, *home]
    marks = json.loads(subprocess.run(words, check=True, capture_output=True, text=True).stdout.splitlines()[-1])
    before = {"wall": begin, "python": 0.0, "server": 0.0}
    for part, mark in zip(_PARTS, marks, strict=True):
        for clock, seconds in before.items():
            unit = "s" if clock == "wall" else "CPU s"
            report("cold", f"{part}, {clock}", mark[clock] - seconds, unit, better="lower")
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
