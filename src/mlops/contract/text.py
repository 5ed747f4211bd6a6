"""Clean text that people and other systems wrote, to store it and to show it in logs, messages and pages."""

from __future__ import annotations


def clean_text(text: str) -> str:
    """Put a free text on one line, without outer blanks, control characters and marks that reverse its order."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())


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
