"""A setup command that has not been run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class SetupStep:
    """One command, what it is for, who may run it, and how to undo it."""

    what: str
    command: str
    right: str
    """The right that running it needs."""
    undo: str
    unsure: str = ""
    """Why it could not be read whether the step is needed; empty: it is needed."""
    language: Literal["sql", "shell"] = "shell"
