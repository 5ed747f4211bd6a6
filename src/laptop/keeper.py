"""The keeper of an engine: starts the Spark server of a home and ends it when nobody needs it any more.

`laptop up` starts it as a separate process: `python -m laptop.keeper HOME IDLE_SECONDS`. If the keeper is killed, its
server ends, too.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from laptop import spark, spark_command
from laptop.engine import POLL, Engine, EngineState
from laptop.home import LaptopError, set_environment


def keep_engine(engine: Engine, idle_limit: float) -> str:
    """Start the server, let commands use it, and end it; returns why it ended.

    Raises:
        LaptopError: another keeper lives, or the server does not start.
    """
    with engine.keep() as lock, set_environment(LAPTOP_HOME=str(engine.home)):
        try:
            address = spark.start_kept_server(engine.home, _print_line)
            since = f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S}"
            state = EngineState(os.getpid(), str(engine.home), address, spark_command.fingerprint(), idle_limit, since)
            return _watch(engine, state, lock)
        finally:
            spark.kill_server()


def _watch(engine: Engine, state: EngineState, lock: int) -> str:
    """Let commands use the server until there is a reason to end it; returns the reason."""
    engine.publish(state)
    used, seats, has_workers = time.monotonic(), _last_change(engine), False
    while not (why := _reason_to_end(engine, lock)):
        if (newest := _last_change(engine)) != seats:  # a short command can come and go between two checks
            seats, has_workers = newest, True
        if engine.list_clients()[0]:
            used = time.monotonic()
        elif has_workers:
            has_workers = not _end_python_workers(engine)
        if time.monotonic() - used > state.idle_limit:
            engine.withdraw()
            if not engine.list_clients()[0]:  # nobody joined before the state was withdrawn
                return f"no command used it for {state.idle_limit:.0f} s"
            engine.publish(state)
        time.sleep(POLL)
    return why


def _last_change(engine: Engine) -> int:
    """Time at which a command last came or went, ns since 1970; 0 if the home is gone."""
    with suppress(FileNotFoundError):
        return (engine.folder / "clients").stat().st_mtime_ns
    return 0


def _reason_to_end(engine: Engine, lock: int) -> str:
    if not _is_file(engine.folder / "keeper.lock", lock):
        return "the home is gone"
    if spark.has_ended():
        return "the server has ended"
    if engine.list_clients()[1]:
        return "a command was killed, and what it asked of Spark must not go on"
    return "it was asked to end" if (engine.folder / "stop").exists() else ""


def _end_python_workers(engine: Engine) -> bool:
    """End the server's Python processes of ended sessions, 50 MB each; False if a session has not ended.

    The processes are listed before the clients, so none of them belongs to a command that joins meanwhile.
    """
    ps = ["ps", "-A", "-ww", "-o", "pid=,ppid=,args="]  # -ww: whole lines, whatever the value of COLUMNS is
    try:
        listed = subprocess.run(ps, capture_output=True, text=True, check=True).stdout  # noqa: S603 - our own words only
    except (OSError, subprocess.CalledProcessError):  # no ps here: they end with the server
        return True
    if engine.list_clients()[0]:
        return False
    for line in listed.splitlines():
        pid, parent, *words = line.split(maxsplit=2)  # some process of somebody may have no words
        if int(parent) == spark.server_pid() and "pyspark.daemon" in "".join(words):
            with suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGTERM)
    return True


def _is_file(path: Path, descriptor: int) -> bool:
    """Whether the path still leads to the open file."""
    with suppress(FileNotFoundError):
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    return False


def _print_line(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    try:
        _print_line(keep_engine(Engine(Path(sys.argv[1])), float(sys.argv[2])))
    except LaptopError as error:
        _print_line(error.message)
        sys.exit(error.exit_code)
