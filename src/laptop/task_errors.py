"""Describes errors of tasks."""

from __future__ import annotations

import traceback
from contextlib import suppress
from pathlib import Path

from laptop.home import LaptopError
from laptop.run_store import State

_STOPPED = {"TIMEDOUT": "it took more than {} s", "CANCELED": "it was stopped with its run"}


def is_error(error: BaseException | None, *names: str) -> bool:
    """Whether an error has one of these class names. The classes are the wheel's, which the laptop does not import."""
    return any(kind.__name__ in names for kind in type(error).__mro__)


def describe_error(error: BaseException, state: State, timeout: int | None, log: Path) -> dict[str, str]:
    """Describe an error; the stack trace of an unexpected error is written to the run's log."""
    if state in _STOPPED:
        return {"type": state, "message": _STOPPED[state].format(timeout)}
    message = error.message if isinstance(error, LaptopError) else str(error)
    if isinstance(error, SystemExit):
        message = f"the task ended with exit code {error.code}"
    elif not is_error(error, "LaptopError", "MlopsError"):
        with suppress(OSError), log.open("a") as file:  # on a full disk there is only the message
            file.write("".join(traceback.format_exception(error)))
            message += f" (stack trace in {log})"
    return {"type": type(error).__name__, "message": message}
