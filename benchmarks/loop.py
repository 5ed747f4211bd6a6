"""The demo, cold and warm, beside a bare pandas script on the same files: the ratio is the platform's tax.

Cold is a new process with an empty home, warm the same process with a second empty home. Jars and packages are there
already. Peak memory is that of the whole process tree, the JVM and Spark's Python workers included.
"""

from __future__ import annotations

import json
import os
import tempfile
import threading
import time
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import report
from benchmarks.bare import bare
from laptop import cli


def main() -> None:
    """Print seconds per task, totals, peak memory and the ratio to the bare script."""
    with tempfile.TemporaryDirectory() as folder:
        peak = _Peak()
        for state, target in (("cold", 150.0), ("warm", None)):
            home = Path(folder) / state
            start = time.perf_counter()
            if cli.run_args(["demo", "--until", "2013-04-30", "--home", str(home)]):
                raise SystemExit("the demo failed")
            report("loop", f"demo_{state}", time.perf_counter() - start, "s", better="lower", target=target)
            for task, seconds in _seconds(home).items():
                report("loop", f"{task}_{state}", seconds, "s", better="lower")
        report("loop", "peak_memory", peak.stop() / 2**30, "GiB", better="lower", target=4.0)
        landing = Path(folder) / "warm/Volumes/prod/flights/landing"
        start = time.perf_counter()
        bare(landing, datetime(2013, 4, 1, tzinfo=UTC))
        bare_seconds = time.perf_counter() - start
        report("loop", "bare_script", bare_seconds, "s", better="lower")
        ours = sum(_seconds(Path(folder) / "warm", until="training").values())
        report("loop", "tax", ours / bare_seconds, "ratio", better="lower", target=3.5)


def _seconds(home: Path, until: str = "") -> dict[str, float]:
    """Seconds per job and task, over all runs; `until`: only runs up to the first of that job, and not its handover."""
    total: dict[str, float] = defaultdict(float)
    for file in sorted((home / "runs").glob("*.json"), key=lambda path: int(path.stem)):
        run = json.loads(file.read_text())
        for key, task in run["tasks"].items():
            if not (until and (key == "handover" or run["job"] == "sample")):
                total[f"{run['job']}.{key}"] += task["duration"]
        if run["job"] == until:
            break
    return dict(total)


class _Peak:
    """Largest resident memory of this process and all below it, looked at twice a second."""

    def __init__(self) -> None:
        self._largest, self._done = 0, threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def stop(self) -> int:
        """Bytes."""
        self._done.set()
        self._thread.join()
        return self._largest

    def _watch(self) -> None:
        while not self._done.wait(0.5):
            self._largest = max(self._largest, tree_memory(os.getpid()))


def tree_memory(root: int) -> int:
    """Proportional set size, bytes, of a process and all its descendants: shared pages are counted once."""
    parents, sizes = {}, {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(folder.name)] = int((folder / "stat").read_text().rsplit(")", 1)[1].split()[1])
            rollup = (folder / "smaps_rollup").read_text()
            sizes[int(folder.name)] = int(rollup.split("Pss:", 1)[1].split()[0]) * 1024
        except (OSError, IndexError, ValueError):
            continue
    total, waiting = 0, [root]
    while waiting:
        process = waiting.pop()
        total += sizes.get(process, 0)
        waiting += [child for child, parent in parents.items() if parent == process]
    return total
