"""Runs a task in a thread that can be interrupted, within time limits."""

from __future__ import annotations

import ctypes
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata

from laptop.document import suggest_name
from laptop.home import LaptopError

Main = Callable[[Sequence[str]], object]


class Interrupted(BaseException):
    """Raised inside a task that must stop. Not an Exception, so that no task catches it as its own error."""


@dataclass(frozen=True)
class Limits:
    """End times of a task and of the runs that it is part of, seconds of the monotonic clock."""

    own: float = float("inf")
    outer: float = float("inf")

    def within(self, seconds: int | None) -> Limits:
        """Return the limits of a part that may take `seconds`; 0 and None are no limit."""
        return Limits(time.monotonic() + seconds if seconds else float("inf"), min(self.own, self.outer))


def entry_point(package: str, name: str) -> Main:
    """Load the function of an installed distribution's entry point.

    Raises:
        LaptopError: there is no such distribution or name.
    """
    try:
        entry_points = metadata.distribution(package).entry_points.select(group="console_scripts")
    except metadata.PackageNotFoundError:
        raise LaptopError(f"package {package!r} is not installed; run `uv sync`") from None
    if name not in entry_points.names:
        raise LaptopError(f"package {package!r} has no entry point {name!r}: {suggest_name(name, entry_points.names)}")
    return entry_points[name].load()  # type: ignore[no-any-return]


def parameter_check(package: str) -> Main | None:
    """Load the function of an installed distribution that checks a task's arguments; None if it has none.

    An entry point `check` of the group `task_parameters`: it takes argv and raises if a task would refuse it.
    """
    try:
        entry_points = metadata.distribution(package).entry_points.select(group="task_parameters", name="check")
    except metadata.PackageNotFoundError:
        return None  # the task itself reports it
    return next((point.load() for point in entry_points), None)


def run_interruptible(body: Callable[[], None], stopping: Callable[[], object], stop: Callable[[], None]) -> None:
    """Call `body` in a thread and wait for its end; interrupt it when `stopping` returns True.

    Only Python code and Spark operations stop at once. A call into C is completed first, so that nothing is left half
    done.

    Args:
        body: the function to call.
        stopping: called many times a second.
        stop: stops an operation elsewhere that the thread waits for; called until the thread has ended.

    Raises:
        BaseException: the error of `body`; Interrupted if it was interrupted, also if it caught that.
    """
    raised: list[BaseException] = []

    def run() -> None:
        with suppress(Interrupted):  # one that arrives after the body has ended
            try:
                body()
            except BaseException as error:  # noqa: BLE001 - handed to the caller
                raised.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    interrupted = False
    while thread.is_alive():
        thread.join(0.05)
        if thread.is_alive() and stopping():
            interrupted = True
            stop()
            thread.join(0.1)
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident or 0), ctypes.py_object(Interrupted))
            thread.join(1)
    if raised or interrupted:
        raise raised[0] if raised else Interrupted
