"""Free text: what persons and other systems say, as it is kept and shown."""

from __future__ import annotations


def clean_text(text: str) -> str:
    """A free text as it is kept: on one line, without outer blanks, control characters or marks that turn its order."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
