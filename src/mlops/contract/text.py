"""Foreign text as it may be shown: in a log, a message, a page or a table."""

from __future__ import annotations


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
