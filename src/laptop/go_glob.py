"""Matches file patterns like Go's filepath.Glob, by which the CLI includes files.

`*` and `?` stay within one level (`**` is `*`), hidden files match like others, `[^a]` negates and `[!a]` does not.
As in Go, a malformed pattern is refused only if matching reads up to the malformed part.
"""

from __future__ import annotations

import os
from pathlib import Path

META = set("*?[\\")
"""Characters that make a text a pattern; a text without them is a file name."""


class BadPatternError(ValueError):
    """The pattern is malformed: a class is empty or not closed, or the pattern ends with a backslash."""


def find_files(root: Path, pattern: str) -> list[str]:
    """List the matching paths, relative to a folder, sorted.

    Args:
        root: where the pattern begins; a pattern may leave it by `..`.
        pattern: as it stands in `include`.

    Raises:
        BadPatternError: Go refuses the pattern.
    """
    if "\0" in pattern:
        return []
    return sorted(_glob(root, os.path.normpath(pattern or ".")))


def _glob(root: Path, pattern: str) -> list[str]:
    matches(f"/{pattern}", "")  # refuses what is malformed, as far as Go reads an absolute pattern
    if not META & set(pattern):
        return [pattern] if os.path.lexists(root / pattern) else []
    folder, _, name = pattern.rpartition("/")
    folders = _glob(root, folder) if META & set(folder) else [folder]
    return [str(Path(base, entry)) for base in folders for entry in _list(root / base) if matches(name, entry)]


def _list(folder: Path) -> list[str]:
    try:
        return [path.name for path in folder.iterdir()]
    except OSError:
        return []


def matches(pattern: str, name: str) -> bool:
    """Whether a pattern fits all of a name.

    Raises:
        BadPatternError: the pattern is malformed, as far as it has been read.
    """
    while pattern:
        stars = len(pattern) - len(pattern.lstrip("*"))
        length = _chunk_length(pattern[stars:])
        chunk, pattern = pattern[stars : stars + length], pattern[stars + length :]
        if not chunk:
            return "/" not in name
        reach = name.partition("/")[0] if stars else ""
        for skipped in range(len(reach) + 1):
            rest = _match_chunk(chunk, name[skipped:])
            if rest is not None and (pattern or not rest):
                name = rest
                break
        else:
            return False
    return not name


def _chunk_length(pattern: str) -> int:
    """Length of the pattern up to the next star that is neither in a class nor escaped."""
    at, within = 0, False
    while at < len(pattern):
        match pattern[at]:
            case "\\":
                at += 1
            case "[" | "]" as bracket:
                within = bracket == "["
            case "*" if not within:
                return at
        at += 1
    return len(pattern)


def _match_chunk(chunk: str, name: str) -> str | None:
    """Return the rest of a name after a chunk that matches its start; None if the chunk does not match.

    A chunk that does not match is still read to its end, since it may be malformed.
    """
    at, fits = 0, True
    while at < len(chunk):
        fits = fits and bool(name)
        first = name[:1]
        if chunk[at] == "[":
            within, at = _read_class(chunk, at + 1, first if fits else "\0")
            fits = fits and within
        elif chunk[at] == "?":
            fits, at = fits and first != "/", at + 1
        else:
            literal, at = _read_character(chunk, at)
            fits = fits and first == literal
        name = name[1:]
    return name if fits else None


def _read_class(chunk: str, at: int, character: str) -> tuple[bool, int]:
    """Whether a character is in the class that begins at a position, and the position after the class."""
    negated = chunk[at : at + 1] == "^"
    at, within, ranges = at + negated, False, 0
    while not (ranges and chunk[at : at + 1] == "]"):
        low, at = _read_end(chunk, at)
        high = low
        if chunk[at] == "-":
            high, at = _read_end(chunk, at + 1)
        within, ranges = within or low <= character <= high, ranges + 1
    return within != negated, at + 1


def _read_end(chunk: str, at: int) -> tuple[str, int]:
    """One end of a range; something has to follow it."""
    if chunk[at : at + 1] in {"-", "]"}:
        raise BadPatternError(chunk)
    character, at = _read_character(chunk, at)
    if at >= len(chunk):
        raise BadPatternError(chunk)
    return character, at


def _read_character(chunk: str, at: int) -> tuple[str, int]:
    at += chunk[at : at + 1] == "\\"
    if at >= len(chunk):
        raise BadPatternError(chunk)
    return chunk[at], at + 1
