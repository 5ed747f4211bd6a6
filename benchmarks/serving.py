"""What a request costs: `laptop serve`'s server beside plain `mlflow models serve`, with the same files."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from http import HTTPStatus
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import threadpoolctl
from sklearn.pipeline import Pipeline

from benchmarks import report
from mlops.contract.model_version import VersionFacts
from mlops.platform import scoring_server
from mlops.platform.registry import Registry
from mlops.platform.scoring_server import CARD, MODEL, VersionCard
from mlops.questions import question_of
from usecase import USE_CASE

_ROWS = 4_000
_COUNTS, _WARM_UP = {"one_row": 1_000, "thousand_rows": 100}, 20
_TARGETS = {("one_row", 50): 8.0, ("one_row", 99): 40.0, ("thousand_rows", 50): 25.0}
"""Milliseconds of our server, on an idle machine."""
_GROWTH = 10.0
"""MB by which the memory may grow under steady load: what the allocator keeps, and not what each request leaves."""

type Array = np.ndarray[Any, np.dtype[np.float64]]


def main(minutes: int = 0) -> None:
    """Print, for each server: wall and processor time of one row and of 1,000 rows in one request, and its memory.

    The floor is the bare pipeline in this process, without JSON, HTTP or a server.

    Args:
        minutes: how long our server gets steady load afterwards; 0: not at all.
    """
    with tempfile.TemporaryDirectory() as place:
        folder, pipeline = _write_version(Path(place))
        example = json.loads((folder / MODEL / "serving_input_example.json").read_text())["dataframe_split"]
        bodies = {"one_row": _body(example, 1), "thousand_rows": _body(example, 1_000)}
        _report_floor(pipeline, example)
        ours = [sys.executable, str(folder / "serve.py")]
        plain = [sys.executable, "-m", "mlflow", "models", "serve", "-m", str(folder / MODEL), "--env-manager", "local"]
        for name, command in (("ours", ours), ("mlflow", plain)):
            port = _free_port()
            added = [] if name == "ours" else ["-p", str(port), "-h", "127.0.0.1"]
            with _running([*command, *added], port) as pid:
                for what, body in bodies.items():
                    _ask(port, pid, body, _WARM_UP)
                    memory = _resident_mb(pid)
                    times = _ask(port, pid, body, _COUNTS[what])
                    _report_times(name, what, times)
                    report("serving", f"{name}_{what}_growth", _resident_mb(pid) - memory, "MB", better="lower")
                if name == "ours" and minutes:
                    _load_steadily(port, pid, bodies, minutes)


def _report_floor(pipeline: Pipeline, example: dict[str, Any]) -> None:
    """Measure the bare pipeline with one thread, as the server runs it."""
    with threadpoolctl.threadpool_limits(1):
        for what, count in _COUNTS.items():
            data = (example["data"] * 1_000)[: 1 if what == "one_row" else 1_000]
            rows = pd.DataFrame(data, columns=example["columns"])
            times = []
            for _ in range(_WARM_UP + count):
                start, used = time.perf_counter(), time.process_time()
                pipeline.predict_proba(rows)
                times.append((time.perf_counter() - start, time.process_time() - used))
            _report_times("floor", what, np.array(times[_WARM_UP:]))


def _report_times(name: str, what: str, times: Array) -> None:
    """Report wall and processor time of requests, one row each, in seconds."""
    for share in (50, 99):
        wall, used = np.percentile(times, share, axis=0) * 1000
        target = _TARGETS.get((what, share)) if name == "ours" else None
        report("serving", f"{name}_{what}_p{share}", float(wall), "ms", better="lower", target=target)
        report("serving", f"{name}_{what}_processor_p{share}", float(used), "ms", better="lower")


def _load_steadily(port: int, pid: int, bodies: dict[str, bytes], minutes: int) -> None:
    """Send one request after the other, every tenth with 1,000 rows; report how the memory grows after one tenth."""
    start, count = time.monotonic(), 0
    end, first = start + 60 * minutes, 0.0
    while time.monotonic() < end:
        _ask(port, pid, bodies["one_row"], 9)
        _ask(port, pid, bodies["thousand_rows"], 1)
        count += 10
        if not first and time.monotonic() > start + 6 * minutes:
            first = _resident_mb(pid)
    report("serving", f"steady_{minutes}_minutes_requests", count, "requests", better="higher")
    report("serving", f"steady_{minutes}_minutes_memory", first, "MB", better="lower")
    report(
        "serving", f"steady_{minutes}_minutes_growth", _resident_mb(pid) - first, "MB", better="lower", target=_GROWTH
    )


def _write_version(place: Path) -> tuple[Path, Pipeline]:
    """Fit the use case's model on drawn rows, and lay its files out as a container has them; returns both."""
    generator = np.random.default_rng(0)
    rows = draw_features(_ROWS, generator)
    pipeline = USE_CASE.model.build({}).fit(rows, (generator.random(_ROWS) < 0.2).astype("int64"))
    registry, folder = Registry(place / "home"), place / "container"
    with registry.open_run("/serving", "training", {}):
        version = registry.register_model(
            "main.serving.model", pipeline, rows.head(5), trusted_types=USE_CASE.model.trusted_types,
            method=question_of(USE_CASE.label).method, requirements=[f"numpy=={np.__version__}"], facts=VersionFacts(),
            tags={},
        )  # fmt: skip
    facts = VersionFacts.parse(registry.read_run_tags(version.run_id))
    with registry.fetch_files(replace(version, facts=facts)) as files:
        (files / "registered_model_meta").unlink(missing_ok=True)
        shutil.copytree(files, folder / MODEL)
    types = USE_CASE.model.trusted_types
    card = VersionCard(name=str(version), artifact_digest=facts.artifact_digest, trusted_types=types)
    card.write_card(folder / CARD)
    shutil.copy(scoring_server.__file__, folder / "serve.py")
    return folder, pipeline


def draw_features(rows: int, generator: np.random.Generator) -> pd.DataFrame:
    """Draw rows of the use case's features, each within its limits."""
    columns = {
        f.name: generator.choice(list("abcdefgh"), rows)
        if f.input_type == "string"
        else np.clip(generator.normal(size=rows), *f.limits)
        for f in USE_CASE.features
    }
    return pd.DataFrame(columns)


def _body(example: dict[str, list[list[object]]], rows: int) -> bytes:
    data = (example["data"] * rows)[:rows]
    return json.dumps({"dataframe_split": {"columns": example["columns"], "data": data}}).encode()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def _running(command: list[str], port: int) -> Iterator[int]:
    """Start a server and wait until it is ready; yields the process that answers."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    server = subprocess.Popen(command, env={**os.environ, "PORT": str(port), "PATH": path}, **quiet)
    url = f"http://127.0.0.1:{port}"
    try:
        while not _is_ready(url):
            if server.poll() is not None:
                raise RuntimeError(f"{command} ended with {server.returncode}")
            time.sleep(0.2)
        yield _listener(port)
    finally:
        server.terminate()
        server.wait()


def _is_ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/ping", timeout=5) as response:  # noqa: S310 (a server of this benchmark)
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _listener(port: int) -> int:
    """Find the process that listens on a port: `mlflow models serve` starts another one."""
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    sockets = {f"socket:[{words[9]}]" for words in lines if words[1].endswith(f":{port:04X}") and words[3] == "0A"}
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # of another user, or gone
            if sockets & {str(handle.readlink()) for handle in process.glob("fd/*")}:
                return int(process.name)
    raise RuntimeError(f"no process listens on port {port}")


def _ask(port: int, pid: int, body: bytes, count: int) -> Array:
    """Send one request after the other over one connection; returns wall and processor seconds of each."""
    times, connection = [], http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    with closing(connection):
        for _ in range(count):
            start, used = time.perf_counter(), _processor_seconds(pid)
            connection.request("POST", "/invocations", body, {"Content-Type": "application/json"})
            response = connection.getresponse()
            text = response.read()
            times.append((time.perf_counter() - start, _processor_seconds(pid) - used))
            if response.status != HTTPStatus.OK:
                raise RuntimeError(f"the server answered with status {response.status}: {text[:500]!r}")
    return np.array(times)


def _processor_seconds(pid: int) -> float:
    """Sum the processor time of all threads, in nanoseconds; the steps of /proc/PID/stat are as long as a request."""
    threads = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(thread.read_text().split()[0]) for thread in threads) / 1e9


def _resident_mb(pid: int) -> float:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


if __name__ == "__main__":
    main()
