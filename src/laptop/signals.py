"""Stops a command cleanly on Ctrl-C and SIGTERM."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def handle_signals(cancelled: threading.Event) -> Iterator[list[int]]:
    """Set the event on Ctrl-C or SIGTERM and yield the signals; the second signal ends the process at once."""
    received: list[int] = []

    def note(number: int, _: Any) -> None:
        if received:
            os._exit(128 + number)
        received.append(number)
        cancelled.set()

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
