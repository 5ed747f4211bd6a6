"""CPU seconds and the largest resident sets of a step's processes: its driver, Spark's server and Python workers."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_TICK = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Usage:
    """What a step took. Memory in bytes: the largest resident set of the largest process of each kind."""

    driver_cpu: float
    server_cpu: float
    """CPU seconds of the server and of its Python workers."""
    driver: int
    server: int
    worker: int

    @property
    def cpu(self) -> float:
        """CPU seconds of all processes."""
        return self.driver_cpu + self.server_cpu


def run_step(words: Sequence[str], server: int, environment: Mapping[str, str]) -> Usage:
    """Run a command as the driver, and watch it and the processes of the server with this id.

    Raises:
        SystemExit: the command failed.
    """
    with suppress(OSError):  # forgets how large the server has been
        Path(f"/proc/{server}/clear_refs").write_text("5")
    before, after = {process: _read_cpu(process) for process in _list_tree(server)}, dict[int, float]()
    largest, done = {"server": 0, "worker": 0}, threading.Event()

    def watch() -> None:
        while not done.wait(0.2):
            for process in _list_tree(server):
                after[process] = max(after.get(process, 0.0), _read_cpu(process))
                # Workers of earlier steps stay for a while: each session of Spark has workers of its own.
                if process == server or process not in before:
                    kind = "server" if process == server else "worker"
                    largest[kind] = max(largest[kind], _read_peak(process))

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    driver = subprocess.Popen(words, env={**os.environ, **environment})
    _, status, usage = os.wait4(driver.pid, 0)
    driver.returncode = os.waitstatus_to_exitcode(status)
    done.set()
    watcher.join()
    if driver.returncode:
        raise SystemExit(f"{' '.join(words)} failed: exit code {driver.returncode}")
    spent = sum(seconds - before.get(process, 0.0) for process, seconds in after.items())
    return Usage(usage.ru_utime + usage.ru_stime, spent, usage.ru_maxrss * 1024, **largest)


def _list_tree(root: int) -> list[int]:
    """Ids of a process and of all below it."""
    parents = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            parents[int(folder.name)] = int((folder / "stat").read_text().rsplit(")", 1)[1].split()[1])
    tree = [root]
    for process in tree:  # grows meanwhile
        tree += [child for child, parent in parents.items() if parent == process]
    return tree


def _read_cpu(process: int) -> float:
    """CPU seconds of a process alone; 0: it has ended. What ends within the watch's pause is not seen."""
    with suppress(OSError):
        fields = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()
        return sum(map(int, fields[11:13])) / _TICK
    return 0.0


def _read_peak(process: int) -> int:
    with suppress(OSError, IndexError):
        return int(Path(f"/proc/{process}/status").read_text().split("VmHWM:", 1)[1].split()[0]) * 1024
    return 0
