"""One command that is missing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class SetupStep:
    """One command, what it is for, what it takes, and how to take it back."""

    what: str
    command: str
    language: Literal["sql", "shell"]
    right: str
    """Who may run it."""
    undo: str
    unsure: str = ""
    """Not empty: whether it is needed could not be read, and why."""
