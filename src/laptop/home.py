"""The home: the folder of runs, tables and models, used by one command at a time."""

from __future__ import annotations

import getpass
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from filelock import FileLock, Timeout

from laptop.text import printable

_MARK = "# State of one `laptop` home; `laptop clean` removes it.\n*\n"


class LaptopError(click.ClickException):
    """An error that the user can correct: shown as one sentence, exit code 2."""

    exit_code = 2

    def format_message(self) -> str:
        """The message with control characters spelled out."""
        return "\n".join(map(printable, self.message.split("\n")))


def job_identity(job: Mapping[str, Any]) -> str:
    """Return the identity that a resolved job runs as: its `run_as`, else the user of this machine."""
    run_as = job.get("run_as", {})
    return str(run_as.get("service_principal_name") or run_as.get("user_name") or getpass.getuser())


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Convert an OSError, such as a full disk, into a sentence.

    Raises:
        LaptopError: the block raised an OSError.
    """
    try:
        yield
    except TimeoutError:  # of a lock that another command holds
        raise
    except OSError as error:
        why = error.strerror or str(error)
        cure = "make room and run the command again, with --repair if a run was cut off"
        raise LaptopError(f"{path} cannot be written: {why}; {cure}") from None


def write_atomically(path: Path, text: str) -> None:
    """Replace a file atomically: a reader or a crash sees either the old text or the new one.

    Raises:
        LaptopError: there is no room for it; the old text stays.
    """
    part = path.with_suffix(".part")
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            part.write_text(text)
            part.replace(path)
        except OSError:
            with suppress(OSError):
                part.unlink(missing_ok=True)
            raise


@contextmanager
def set_environment(**values: str | None) -> Iterator[None]:
    """Set environment variables for a while; None removes one."""
    before = {name: os.environ.get(name) for name in values}
    _write_environment(values)
    try:
        yield
    finally:
        _write_environment(before)


def _write_environment(values: Mapping[str, str | None]) -> None:
    for name, value in values.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


@dataclass(frozen=True)
class Home:
    """Folders of one home. Tasks find it through the environment variable LAPTOP_HOME."""

    path: Path
    """Absolute."""

    @contextmanager
    def hold(self, say: Callable[[str], None]) -> Iterator[None]:
        """Make the folder if needed and lock it; waits for another command that holds it. May be nested.

        Raises:
            LaptopError: the folder holds something else, which `clean` must never remove.
        """
        with disk_errors(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
        if not self._is_home:
            mark = self.path / ".gitignore"
            if any(path.name != f"{mark.name}.part" for path in self.path.iterdir()):  # left by a kill while it is made
                raise LaptopError(f"{self.path} is not empty and no home of laptop; name another folder")
            write_atomically(mark, _MARK)
        with self._acquire_lock(say), set_environment(**self._environment):
            yield

    @property
    def _environment(self) -> Mapping[str, str | None]:
        """Return the environment variables of tasks.

        MLflow writes into the home. Its telemetry is off, since it would write elsewhere. The run and experiment that
        `mlflow run` sets are removed, since they belong to another store.
        """
        return {
            "LAPTOP_HOME": str(self.path),
            "MLFLOW_TRACKING_URI": f"sqlite:///{self.path / 'mlflow.db'}",
            "_MLFLOW_SERVER_ARTIFACT_ROOT": (self.path / "artifacts").as_uri(),  # else mlruns/ in the working directory
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "MLFLOW_RUN_ID": None,
            "MLFLOW_EXPERIMENT_ID": None,
            "MLFLOW_EXPERIMENT_NAME": None,
        }

    @property
    def _is_home(self) -> bool:
        mark = self.path / ".gitignore"
        return mark.is_file() and mark.read_text() == _MARK

    @contextmanager
    def _acquire_lock(self, say: Callable[[str], None], *, wait: bool = True) -> Iterator[None]:
        lock, holder = FileLock(self.path / "lock", is_singleton=True), self.path / "pid"
        try:
            with disk_errors(self.path):
                lock.acquire(timeout=0)
        except Timeout:
            pid = holder.read_text() if holder.exists() else "unknown"
            if not wait:
                raise LaptopError(
                    f"another command uses {self.path} (pid {pid}); try again when it has ended"
                ) from None
            say(f"another command uses this home (pid {pid}), waiting")
            lock.acquire()
        try:
            write_atomically(holder, str(os.getpid()))
            yield
        finally:
            lock.release()

    def remove(self, stop_users: Callable[[], object] = lambda: None) -> None:
        """Call `stop_users`, then remove the folder: no other process may write there meanwhile.

        Raises:
            LaptopError: it is not a home, or another command uses it.
        """
        if not self._is_home:
            raise LaptopError(f"{self.path} is not a home of laptop; nothing was removed")
        with self._acquire_lock(lambda _: None, wait=False):
            stop_users()
            shutil.rmtree(self.path)
