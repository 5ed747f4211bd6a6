"""Text that persons and other systems wrote: as it is kept, and as it may be shown in a log, a message or a page."""

from __future__ import annotations


def clean_text(text: str) -> str:
    """A free text as it is kept: on one line, without outer blanks, control characters or marks that turn its order."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())


def printable(text: str) -> str:
    r"""The text on one line, every character that moves or hides others as its escape: `\n`, `\x1b`, `\u202e`.

    Bytes that were no UTF-8, which Python decodes to lone surrogates, come out as those bytes: `\xe9`.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else _escape(c) for c in text)


def _escape(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    return character.encode("unicode_escape").decode("ascii")
