"""Starts a Spark Connect server with Delta Lake, the laptop's stand-in for serverless compute.

A task only calls `SparkSession.builder.getOrCreate()`; pyspark reads the address of the server from SPARK_REMOTE.
(Rejected: `remote("local[2]")`, which starts the server inside the task's process. It always uses port 15002, so that
two homes collide; it prints the JVM's output; and it keeps the first caller's settings.)
"""

from __future__ import annotations

import atexit
import functools
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
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from laptop import spark_command
from laptop.engine import Engine, Seat
from laptop.home import LaptopError, disk_errors


@dataclass
class _Server:
    home: Path
    say: Callable[[str], None]
    process: subprocess.Popen[bytes] | None = None
    guard: subprocess.Popen[bytes] | None = None
    """A shell that ends the server when this process ends in any way, because that closes the shell's input."""
    seat: Seat | None = None
    """Seat at the home's engine, which replaces an own process."""
    name: str = "spark"
    """Name of its log; an engine's is `engine`."""
    starts: int = 1
    """Number of starts until it answered."""
    answered: bool = False
    session: Any = None

    @property
    def log(self) -> Path:
        """File with the server's output."""
        return _log(self.home, self.name)

    def has_ended(self) -> bool:
        """Whether it has ended."""
        if self.process:
            return self.process.poll() is not None
        return self.seat is None or not self.seat.is_alive()


_server: _Server | None = None  # a process has one
_restarting = threading.Lock()
_task: ContextVar[tuple[str, list[Any]] | None] = ContextVar("_task", default=None)
"""Tag and sessions of the task that runs in this thread."""
_downloading: FileLock | None = None
_FOLDERS = {"spark": "spark", "engine": "engine/spark"}
"""Folder of a server's temporary files; a command's own server and an engine use different ones."""
_CRASHES = (-signal.SIGABRT, -signal.SIGBUS, -signal.SIGSEGV)
_ADDRESS = ("SPARK_REMOTE", "SPARK_CONNECT_MODE_ENABLED")
_STARTS = 3
"""Largest number of starts: one fails if another program takes the port meanwhile."""


def start_server(home: Path, say: Callable[[str], None]) -> None:
    """Start the server in the background, once per process (and its children); it ends with this process.

    Its temporary files and its log are in `home`. If the home has an engine, that is used instead.
    """
    global _server  # noqa: PLW0603
    if os.environ.get("SPARK_REMOTE", "").startswith("sc://localhost:"):
        return
    if seat := Engine(home).join(say):
        _set_address(seat.state.address)
        _server = _Server(home, say, seat=seat, name="engine")
        return
    _wait_for_download(say)
    _server = _launch(home, say)


def start_kept_server(home: Path, say: Callable[[str], None]) -> str:
    """Start the server of the home's engine and wait until it answers; returns its address, with the token.

    Raises:
        LaptopError: it does not start.
    """
    global _server  # noqa: PLW0603
    _wait_for_download(say)
    _server = _launch(home, say, "engine")
    wait_for_server()
    return os.environ["SPARK_REMOTE"]


def has_ended() -> bool:
    """Whether the server has ended."""
    return _server is None or _server.has_ended()


def server_pid() -> int | None:
    """Process id of the server that this process started."""
    return _server.process.pid if _server and _server.process else None


def kill_server() -> None:
    """End the server at once, and with it all its statements."""
    if _server and _server.process:
        _server.process.kill()
    stop_server()


def _log(home: Path, name: str) -> Path:
    return home / "logs" / f"{name}.log"


def _launch(home: Path, say: Callable[[str], None], name: str = "spark") -> _Server:
    port, token, folder = spark_command.free_port(), secrets.token_hex(16), home / _FOLDERS[name]
    with disk_errors(home):
        shutil.rmtree(folder, ignore_errors=True)
        (folder / "tmp").mkdir(parents=True)
        (home / "logs").mkdir(exist_ok=True)
        java = spark_command.java_environment(folder)
    environment = {
        # Where another server was, or Spark would not start: it takes no master beside the address of one.
        **{key: value for key, value in os.environ.items() if key not in _ADDRESS},
        "PYSPARK_PYTHON": sys.executable,  # else the first python3 of the PATH, which has no pandas
        "SPARK_CONNECT_AUTHENTICATE_TOKEN": token,
        "SPARK_LOCAL_IP": "127.0.0.1",
        "TMPDIR": str(folder / "tmp"),
        "SPARK_SUBMIT_OPTS": f"{os.environ.get('SPARK_SUBMIT_OPTS', '')} {spark_command.class_options()}",
        **java,
    }
    with disk_errors(home), _log(home, name).open("wb") as log:
        process = subprocess.Popen(  # noqa: S603 - our own words only
            spark_command.server_command(folder, port), cwd=folder, env=environment,
            stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            start_new_session=True,  # Ctrl-C is for the runner, which interrupts what the task asked of Spark
        )  # fmt: skip
    guard = ["/bin/sh", "-c", f"cat; kill {process.pid}"]
    watcher = subprocess.Popen(guard, stdin=subprocess.PIPE, start_new_session=True)  # noqa: S603
    _set_address(f"sc://localhost:{port}/;token={token}")
    return _Server(home, say, process, watcher, name=name)


def _set_address(address: str) -> None:
    # By the second variable pyspark uses Connect's column functions, also before there is a session.
    os.environ |= dict(zip(_ADDRESS, (address, "1"), strict=True))


def _wait_for_download(say: Callable[[str], None]) -> None:
    """Let one command at a time fill the cache of jars, since two at once leave broken files.

    The lock is released when Spark answers: then the jars are complete.
    """
    global _downloading  # noqa: PLW0603
    if spark_command.complete_mark().exists():
        return
    with disk_errors(spark_command.IVY):
        spark_command.IVY.mkdir(parents=True, exist_ok=True)
    lock = FileLock(spark_command.IVY / "laptop.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        say("another command downloads Delta's jar, waiting")
        lock.acquire()
    if spark_command.complete_mark().exists():
        lock.release()
        return
    if not (spark_command.IVY / "jars" / f"{spark_command.DELTA.replace(':', '_', 1).replace(':', '-')}.jar").exists():
        say("downloading Delta's jar and what it needs (once, 87 MB)")
    _downloading = lock


def wait_for_server() -> None:
    """Wait until the server answers; start it again if it has ended.

    Raises:
        LaptopError: it ended _STARTS times before it answered.
    """
    global _downloading, _server  # noqa: PLW0603
    begin, minutes_reported = time.monotonic(), 0
    while (address := re.match(r"sc://localhost:(\d+)", os.environ["SPARK_REMOTE"])) and (
        (_server and _server.has_ended()) or not _is_listening(int(address[1]))
    ):
        with _restarting:  # iterations of a loop wait here side by side
            if _server and _server.has_ended():
                _server = _restart(_server)
        waited = time.monotonic() - begin
        if _server and waited > 60 * (minutes_reported + 1):
            minutes_reported += 1
            _server.say(f"Spark is still starting after {waited:.0f} s; it writes {_server.log}")
        time.sleep(0.05)
    if _server:
        _server.answered = True
    if _downloading:
        spark_command.complete_mark().touch()
        _downloading.release()
        _downloading = None


def _restart(server: _Server) -> _Server:
    """Start another server in place of one that has ended."""
    why = _end_of(server)
    if not server.answered and server.starts == _STARTS:
        raise LaptopError(f"Spark did not start, {_STARTS} times: {why}")
    server.say(f"Spark {'has ended' if server.answered else 'did not start'}: {why}; it is started again")
    if server.session:
        server.session.client.close()  # else every task would get the session of the server that has ended
    _release(server)
    if server.process and server.process.returncode in _CRASHES and (archive := spark_command.find_archive()):
        with suppress(OSError):
            archive.unlink()  # Java crashes if it is broken
    fresh = _launch(server.home, server.say, server.name if server.process else "spark")
    fresh.starts = 1 if server.answered else server.starts + 1
    return fresh


def _end_of(server: _Server) -> str:
    """Describe how the server ended, with the first error of its log."""
    if server.process is None:
        return f"the home's engine has gone ({server.log})"
    code = server.process.returncode
    how = f"exit code {code}"
    if code < 0:
        how = f"killed by signal {-code}" + (", as when memory runs out" if code == -signal.SIGKILL else "")
    lines = [line for line in server.log.read_text(errors="replace").splitlines() if line.strip()]
    causes = [line for line in lines if re.search(r"Exception|Error|ERROR", line)] or lines
    return f"{how}; {causes[0].strip()[:200] if causes else 'it said nothing'} ({server.log})"


def get_session() -> Any:
    """Return the session that tasks share, after the server answers.

    Raises:
        LaptopError: the server does not start.
    """
    from pyspark.sql import SparkSession

    return _join(SparkSession.builder, _original_builder())


def offer_session(tag: str, sessions: list[Any]) -> None:
    """Make `getOrCreate` in this thread's task wait for the server and return the shared session.

    So a task without Spark does not wait for it, and other tasks import their modules meanwhile.

    Args:
        tag: tag of the task's Spark operations, by which they can be interrupted.
        sessions: receives the session that the task was given.
    """
    _task.set((tag, sessions))
    _original_builder()
    if _server and _server.session and not _server.has_ended():  # the task may have it from an earlier task
        _tag_session(_server.session)


def _tag_session(session: Any) -> None:
    if task := _task.get():
        session.addTag(task[0])
        task[1][:] = [session]


def _original_builder() -> Callable[[Any], Any]:
    """Return pyspark's own `getOrCreate`, after replacing it in its class by one that waits for the server."""
    from pyspark.sql import SparkSession

    original = getattr(SparkSession.Builder.getOrCreate, "__wrapped__", None)
    if original is None:
        original = SparkSession.Builder.getOrCreate

        @functools.wraps(original)
        def get_or_create(builder: Any) -> Any:
            return _join(builder, original) if _task.get() else original(builder)

        SparkSession.Builder.getOrCreate = get_or_create
    return original  # type: ignore[no-any-return]


def _join(builder: Any, get_or_create: Callable[[Any], Any]) -> Any:
    wait_for_server()
    session = get_or_create(builder)
    if _server:
        _server.session = session
    _tag_session(session)
    return session


@atexit.register
def stop_server(limit: float = 30) -> int | None:
    """End the server, if this process started it, wait at most `limit` seconds for it, and return its exit code."""
    global _server  # noqa: PLW0603
    code = None
    if _server:
        if _server.session and not _server.has_ended():
            _server.session.stop()
        _release(_server)
        if _server.process:
            code = _server.process.wait(limit)
        _server = None
        os.environ.pop("SPARK_REMOTE", None)
    return code


def _release(server: _Server) -> None:
    """Leave the engine, or let the guard end the server."""
    if server.guard:
        server.guard.communicate()
    if server.seat:
        server.seat.leave()


def _is_listening(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True
