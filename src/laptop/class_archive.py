"""Keeps Spark's Java classes in a file from which a server loads them in half the time (class-data sharing).

The file is made once per environment, in the background, after the first demo: 215 MB beside the packages in .venv.
Java ignores it if a jar or Java itself has changed.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

from filelock import FileLock, Timeout

from laptop import spark, spark_command
from laptop.home import LaptopError, set_environment
from laptop.warm_up import send_statements

_LONGEST_END = 600
"""Seconds that Java may take to write the file: 20 on a fast machine."""
_LONGEST = 1800
"""Seconds after which the process that makes it ends in any case."""
_started: list[subprocess.Popen[bytes]] = []
"""Processes that this one started and that outlive it; without a reference to them Python would warn."""


def make_in_background() -> str:
    """Start to make the file, unless it is there or cannot be made; returns a sentence for the screen, "" for none."""
    archive = spark_command.find_archive()
    if archive is None or archive.exists() or os.environ.get("CI"):
        return ""
    try:
        with archive.with_suffix(".log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "laptop.class_archive"], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True, env={k: v for k, v in os.environ.items() if k != "SPARK_REMOTE"},
            )  # fmt: skip
    except OSError:  # packages that this user may not change, or a full disk: commands start as before
        return ""
    _started.append(process)
    return (
        "Spark's classes are being kept for faster starts: once, a minute in the background, 215 MB and for now 1.5 GB "
        f"of memory ({archive})"
    )


def make_archive(archive: Path) -> None:
    """Start a server, let it run statements, and keep its classes.

    Raises:
        LaptopError: the server did not start, or did not write the file.
    """
    part = archive.with_suffix(".part")
    part.unlink(missing_ok=True)
    for old in archive.parent.glob("laptop-classes-*.jsa"):
        old.unlink()
    options = {"SPARK_SUBMIT_OPTS": f'"-XX:ArchiveClassesAtExit={part}"'}
    try:
        with tempfile.TemporaryDirectory() as folder, set_environment(**options):
            spark.start_server(Path(folder), _print_line)
            send_statements(spark.get_session(), Path(folder, "warehouse"))
            code = spark.stop_server(_LONGEST_END)
        if code not in {0, 128 + signal.SIGTERM} or not part.exists():
            raise LaptopError(f"Spark ended with exit code {code} and did not write {part}")
        part.replace(archive)
    finally:
        part.unlink(missing_ok=True)


def _print_line(text: str) -> None:
    sys.stdout.write(f"{text}\n")


if __name__ == "__main__":
    os.nice(19)
    signal.alarm(_LONGEST)
    if target := spark_command.find_archive():
        with suppress(Timeout), FileLock(target.with_suffix(".lock"), timeout=0):
            make_archive(target)
