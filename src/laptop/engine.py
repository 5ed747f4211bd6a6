"""The engine of a home: a Spark server that a keeper process keeps running for later commands (`laptop up`).

All of it lies in `engine/` of the home, which only its owner can read:

    keeper.lock  locked while the keeper (`laptop.keeper`) lives    engine.json  where the server is, and its token
    clients/     one locked file per command that uses the server   stop         made to ask the keeper to end

The system frees a lock when its process ends in any way, so a file whose lock is free belongs to a dead process.
(Rejected: process id and start time, which each system reports differently, and which do not cover commands that came
and went in between.)
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from laptop import spark_command
from laptop.home import LaptopError, disk_errors

POLL = 0.2
"""Seconds between two checks by the keeper. For this long a server that died may still seem to run."""
_KEEPER = (sys.executable, "-m", "laptop.keeper")
_started: list[subprocess.Popen[bytes]] = []
"""Keepers that this process started. They outlive it; without a reference to them Python would warn."""
_END_LIMIT = 30.0
"""Seconds within which a keeper and its server must end."""


@dataclass(frozen=True)
class EngineState:
    """Content of engine.json, about a server that answers."""

    pid: int
    """Process id of the keeper."""
    home: str
    """Absolute path; a home that was copied or moved has no engine."""
    address: str
    """Value of SPARK_REMOTE, with the token."""
    fingerprint: str
    """Digest of the server's settings and versions; a command with another one does not use this server."""
    idle_limit: float
    """Seconds without a command after which the keeper ends."""
    since: str
    """UTC, to the second."""

    def describe(self) -> str:
        """A sentence for the screen, without the token."""
        port = self.address.partition("/;")[0].rpartition(":")[2]
        return (
            f"engine since {self.since} UTC, process {self.pid}, Spark on port {port}; it ends after "
            f"{self.idle_limit / 60:g} minutes without a command, and writes {self.home}/logs/engine.log"
        )


@dataclass(frozen=True)
class Seat:
    """One command's use of an engine; the keeper ends the engine if the command dies without leaving."""

    engine: Engine
    state: EngineState
    file: Path
    descriptor: int

    def is_alive(self) -> bool:
        """Whether the engine still is the one that the command joined."""
        return self.engine.read_state() == self.state

    def leave(self) -> None:
        """Release the seat: the command no longer uses the engine."""
        self.file.unlink(missing_ok=True)
        os.close(self.descriptor)


@dataclass(frozen=True)
class Engine:
    """The files of a home's engine."""

    home: Path
    """Absolute."""

    @property
    def folder(self) -> Path:
        """Holds the files, and the server's own in `spark/`."""
        return self.home / "engine"

    # --- what a command asks -----------------------------------------------------------------------------------------

    def read_state(self) -> EngineState | None:
        """The engine that answers; None if there is none, or it is another user's."""
        if not self.is_kept():
            return None
        with suppress(OSError, ValueError, TypeError):
            state = EngineState(**json.loads((self.folder / "engine.json").read_text()))
            return state if state.home == str(self.home) else None
        return None

    def is_kept(self) -> bool:
        """Whether a keeper of this user is running."""
        try:
            return self.folder.lstat().st_uid == os.geteuid() and _is_locked(self.folder / "keeper.lock")
        except OSError:
            return False

    def join(self, say: Callable[[str], None]) -> Seat | None:
        """Take a seat at the engine; None if the command must start its own server.

        Raises:
            LaptopError: the engine must end, because a command was killed, but does not.
        """
        self._wait_for_end()
        state = self.read_state()
        if state is None:
            return None
        if state.fingerprint != spark_command.fingerprint():
            cure = shlex.join(["laptop", "up", "--home", str(self.home)])
            say(f"the home's engine runs with other versions or settings and is not used; replace it: {cure}")
            return None
        name = f"{os.getpid()}-{secrets.token_hex(4)}"
        file = self.folder / "clients" / name
        with disk_errors(file):
            descriptor = os.open(file.with_name(f".{name}"), os.O_RDWR | os.O_CREAT, 0o600)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            file.with_name(f".{name}").rename(file)  # locked before it has its name: never taken for a dead command's
        seat = Seat(self, state, file, descriptor)
        if seat.is_alive():  # a keeper withdraws its state before its last check for seats
            return seat
        seat.leave()
        return None

    def _wait_for_end(self) -> None:
        """Wait until an engine has ended that must end, since statements of a killed command must not go on."""
        begin = time.monotonic()
        while self.is_kept() and (self.list_clients()[1] or not (self.folder / "engine.json").exists()):
            if time.monotonic() - begin > _END_LIMIT:
                raise LaptopError(f"the engine of {self.home} has to end and does not: end process {self._pid()}")
            time.sleep(0.05)

    def _pid(self) -> str:
        return (self.folder / "keeper.lock").read_text()

    def start(self, idle_limit: float) -> tuple[EngineState, bool]:
        """Start a keeper if need be, in the background, and wait until its server answers.

        Returns:
            The engine, and whether this call started it.

        Raises:
            LaptopError: the keeper ended; contains the last line of its log.
        """
        state = self.read_state()
        if state and (state.fingerprint, state.idle_limit) == (spark_command.fingerprint(), idle_limit):
            return state, False
        self.stop()
        log = self.home / "logs" / "keeper.log"
        with disk_errors(log):
            log.parent.mkdir(exist_ok=True)
            with log.open("wb") as out:
                process = subprocess.Popen(  # noqa: S603 - our own words only
                    [*_KEEPER, str(self.home), str(idle_limit)],
                    stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True, cwd=self.home,
                    env={name: value for name, value in os.environ.items() if name != "SPARK_REMOTE"},
                )  # fmt: skip
        _started.append(process)
        try:
            while (state := self.read_state()) is None:
                if process.poll() is not None:
                    words = log.read_text(errors="replace").strip().splitlines() or [f"exit code {process.returncode}"]
                    raise LaptopError(f"the engine did not start: {words[-1]} ({log})")
                time.sleep(0.05)
        except KeyboardInterrupt:  # until it answers, the keeper looks at nothing that would end it
            process.terminate()
            raise
        return state, True

    def stop(self) -> bool:
        """Make the keeper end and wait for it; False if there was none.

        Raises:
            LaptopError: it does not end.
        """
        if not self.is_kept():
            return False
        pid = self._pid()
        with disk_errors(self.folder):
            (self.folder / "stop").touch()
        begin = time.monotonic()
        while self.is_kept():
            if time.monotonic() - begin > _END_LIMIT:
                raise LaptopError(f"the engine of {self.home} does not end: end process {pid}")
            time.sleep(0.05)
        for process in _started:
            if str(process.pid) == pid:
                process.wait()  # it has let go of its lock and ends now
        return True

    # --- what the keeper asks ----------------------------------------------------------------------------------------

    @contextmanager
    def keep(self) -> Iterator[int]:
        """Hold the keeper's lock within the context; yields the descriptor of the lock.

        Raises:
            LaptopError: there is another, or the folder is another user's.
        """
        with disk_errors(self.folder):
            self.folder.mkdir(mode=0o700, exist_ok=True)
            self.folder.chmod(0o700)  # fails if it is another user's
            (self.folder / "clients").mkdir(exist_ok=True)
        tries = 0
        while (lock := _take_lock(self.folder / "keeper.lock", os.O_CREAT)) is None and tries < 20:
            tries += 1  # `is_kept` holds the lock for a moment
            time.sleep(0.05)
        if lock is None:
            raise LaptopError(f"another keeper holds the engine of {self.home}")
        os.truncate(lock, 0)
        os.write(lock, str(os.getpid()).encode())
        try:
            self._clear()
            yield lock
        finally:
            with suppress(OSError):  # the home may be gone
                self._clear()
            os.close(lock)

    def _clear(self) -> None:
        for file in (self.folder / "engine.json", self.folder / "stop", *(self.folder / "clients").iterdir()):
            file.unlink(missing_ok=True)

    def publish(self, state: EngineState) -> None:
        """Let commands use the server."""
        part = self.folder / "engine.part"
        with disk_errors(part), os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(json.dumps(asdict(state)))
        part.replace(self.folder / "engine.json")

    def withdraw(self) -> None:
        """Let no more commands use the server."""
        (self.folder / "engine.json").unlink(missing_ok=True)

    def list_clients(self) -> tuple[list[Path], list[Path]]:
        """List the files of the commands that use the server, and of those that died."""
        living: list[Path] = []
        dead: list[Path] = []
        for file in (self.folder / "clients").glob("[!.]*"):
            with suppress(FileNotFoundError):  # it left meanwhile
                (living if _is_locked(file) else dead).append(file)
        return living, [file for file in dead if file.exists()]


def _take_lock(path: Path, flags: int = 0) -> int | None:
    """Lock a file and return its descriptor; None if another holds the lock."""
    descriptor = os.open(path, os.O_RDWR | flags, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def _is_locked(path: Path) -> bool:
    descriptor = _take_lock(path)
    if descriptor is None:
        return True
    os.close(descriptor)
    return False
