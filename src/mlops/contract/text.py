"""Clean text that people and other systems wrote, to store it and to show it in logs, messages and pages."""

from __future__ import annotations

import unicodedata

BLANK_LETTERS = "\u115f\u1160\u2800\u3164\uffa0\U0001d159"
"""Letters and symbols without a picture: fillers of Hangul, the empty pattern of Braille, a note without a head."""


def clean_text(text: str) -> str:
    """Put a free text on one line, without outer blanks, control characters and marks that reverse its order.

    A text that shows nothing becomes empty: one of blank-looking letters, or of marks that have no letter below them.
    """
    shown = "".join(letter if letter.isprintable() and letter not in BLANK_LETTERS else " " for letter in text)
    if all(letter == " " or unicodedata.category(letter).startswith("M") for letter in shown):
        return ""
    return " ".join(shown.split())


def printable(text: str) -> str:
    r"""Replace characters that move or hide others by their escapes: `\n`, `\x1b`, `\u202e`.

    Bytes that are not UTF-8, which Python decodes to lone surrogates, become escapes of these bytes: `\xe9`.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else _escape(c) for c in text)


def _escape(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    return character.encode("unicode_escape").decode("ascii")
