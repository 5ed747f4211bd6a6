"""A task in a thread of its own, which can be made to stop; and how long it may take."""

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
    """Raised inside a task that has to stop; no Exception, so that no task takes it for one of its own."""


@dataclass(frozen=True)
class Limits:
    """Until when something may run: its own limit, and those of what it is part of. Monotonic seconds."""

    own: float = float("inf")
    outer: float = float("inf")

    def within(self, seconds: int | None) -> Limits:
        """Of a part, which may take so long; 0 and None are no limit."""
        return Limits(time.monotonic() + seconds if seconds else float("inf"), min(self.own, self.outer))


def entry_point(package: str, name: str) -> Main:
    """The function that an installed distribution offers under a name.

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
    """What an installed distribution offers to check a task's arguments with; None if it offers nothing.

    An entry point `check` of the group `task_parameters`: it takes argv and raises if a task would refuse it.
    """
    try:
        entry_points = metadata.distribution(package).entry_points.select(group="task_parameters", name="check")
    except metadata.PackageNotFoundError:
        return None  # the task says so
    return next((point.load() for point in entry_points), None)


def run_interruptible(body: Callable[[], None], stopping: Callable[[], object], stop: Callable[[], None]) -> None:
    """Call `body` in a thread and wait for its end; once `stopping` says so, make it end.

    Only what runs Python or Spark can be stopped at once: a call into C ends first, so that nothing is left half done.

    Args:
        body: what to call.
        stopping: asked many times a second.
        stop: stops what the thread waits for elsewhere; called until the thread has ended.

    Raises:
        BaseException: what `body` raised; Interrupted if it was made to end, whatever it did about that.
    """
    raised: list[BaseException] = []

    def run() -> None:
        with suppress(Interrupted):  # one that comes when the body has ended
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
