"""What a request costs: `laptop serve`'s server beside plain `mlflow models serve`, with the same files."""

from __future__ import annotations

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
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks import report
from mlops.contract.model_version import VersionFacts
from mlops.platform import scoring_server
from mlops.platform.registry import Registry
from mlops.platform.scoring_server import CARD, MODEL, VersionCard
from mlops.questions import question_of
from usecase import USE_CASE

_ROWS = 4_000
_SINGLES, _LARGE, _WARM_UP = 300, 30, 20
_TICKS = os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Print, for each server: wall and processor time of one row and of 1,000 rows in one request, and its memory."""
    with tempfile.TemporaryDirectory() as place:
        folder = _write_version(Path(place))
        example = json.loads((folder / MODEL / "serving_input_example.json").read_text())["dataframe_split"]
        one = _body(example, 1)
        many = _body(example, 1_000)
        ours = [sys.executable, str(folder / "serve.py")]
        plain = [sys.executable, "-m", "mlflow", "models", "serve", "-m", str(folder / MODEL), "--env-manager", "local"]
        for name, command in (("ours", ours), ("mlflow", plain)):
            port = _free_port()
            added = [] if name == "ours" else ["-p", str(port), "-h", "127.0.0.1"]
            with _running([*command, *added], port) as (url, pid):
                _ask(url, one, _WARM_UP)
                for what, body, count in (("one_row", one, _SINGLES), ("thousand_rows", many, _LARGE)):
                    before, memory = _processor_seconds(pid), _resident_mb(pid)
                    times = _ask(url, body, count) * 1000
                    used = (_processor_seconds(pid) - before) / count * 1000
                    for share in (50, 99):
                        figure = float(np.percentile(times, share))
                        report("serving", f"{name}_{what}_p{share}", figure, "ms", better="lower")
                    report("serving", f"{name}_{what}_processor", used, "ms", better="lower")
                    report("serving", f"{name}_{what}_growth", _resident_mb(pid) - memory, "MB", better="lower")


def _write_version(place: Path) -> Path:
    """Fit the use case's model on drawn rows, and lay its files out as a container has them."""
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
    return folder


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
def _running(command: list[str], port: int) -> Iterator[tuple[str, int]]:
    """Start a server and wait until it is ready; yields its address and the process that answers."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    server = subprocess.Popen(command, env={**os.environ, "PORT": str(port), "PATH": path}, **quiet)
    url = f"http://127.0.0.1:{port}"
    try:
        while not _is_ready(url):
            if server.poll() is not None:
                raise RuntimeError(f"{command} ended with {server.returncode}")
            time.sleep(0.2)
        yield url, _listener(port)
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


def _ask(url: str, body: bytes, count: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Send one request after the other; returns the seconds of each."""
    times = []
    for _ in range(count):
        start = time.perf_counter()
        asked = urllib.request.Request(f"{url}/invocations", body, {"Content-Type": "application/json"})  # noqa: S310
        with urllib.request.urlopen(asked, timeout=60) as response:  # noqa: S310 (as above)
            response.read()
        times.append(time.perf_counter() - start)
    return np.array(times)


def _processor_seconds(pid: int) -> float:
    words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / _TICKS


def _resident_mb(pid: int) -> float:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


if __name__ == "__main__":
    main()
