"""One command that is missing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class SetupStep:
    """One command, what it is for, who may run it, and how to undo it."""

    what: str
    command: str
    right: str
    """Who may run it."""
    undo: str
    unsure: str = ""
    """Not empty: whether it is needed could not be read, and why."""
    language: Literal["sql", "shell"] = "shell"
