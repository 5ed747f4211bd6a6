"""Hold what a use case declares to the types of the contract; else a wrong one is first seen in a job."""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import date, datetime, timedelta
from numbers import Real
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from mlops.contract.errors import ConfigError

_WORDS: Mapping[Any, tuple[str, str]] = {
    timedelta: ("a length of time, as timedelta(days=28)", "lengths of time"),
    date: ("a day, as date(2025, 1, 31)", "days"),
    str: ("a text", "texts"),
    float: ("a number", "numbers"),
    int: ("a whole number", "whole numbers"),
    bool: ("True or False", "truth values"),
    type(None): ("None", "None"),
}
_MEANT = {
    "bool": "long, with 1 and 0", "boolean": "long, with 1 and 0", "int": "long", "integer": "long", "bigint": "long",
    "float": "double", "number": "double", "date": "timestamp", "datetime": "timestamp", "str": "string",
    "text": "string", "category": "string", "multiclass": "classes", "regression": "number",
}  # fmt: skip
"""Words of other libraries, and what the contract calls the same."""
_HINTS: dict[type, dict[str, Any]] = {}
_SHOWN = 60
"""Largest number of characters of a value in a sentence."""


class Declared:
    """Base of what a use case declares."""

    def __post_init__(self) -> None:
        """Raise ConfigError that lists every field whose value has another type than is declared.

        A list or an array where a tuple is declared becomes a tuple.
        """
        problems, owner = [], type(self)
        for name, hint in _read_hints(owner).items():
            value = _freeze(getattr(self, name), hint)
            object.__setattr__(self, name, value)
            if not _fits(value, hint):
                problems.append(f"{name} is {_show(value)}, and {_describe(hint, value)} is expected")
        if problems:
            own = getattr(self, "name", None) or getattr(self, "source", None)
            whose = f"{owner.__name__} {own!r}" if isinstance(own, str) else owner.__name__
            raise ConfigError(f"{whose}: {'; '.join(problems)}")


def _read_hints(owner: type[Any]) -> dict[str, Any]:
    if owner not in _HINTS:
        # Importing scikit-learn takes seconds, and only the result of a function has the type Pipeline.
        hints = get_type_hints(owner, localns={"Pipeline": Any})
        _HINTS[owner] = {field.name: hints[field.name] for field in fields(owner)}
    return _HINTS[owner]


def _freeze(value: object, hint: Any) -> object:
    """Turn lists and arrays into tuples where tuples are declared, also inner ones, and 1e6 into a whole number."""
    origin, args = get_origin(hint), get_args(hint)
    if origin in {tuple, Sequence}:
        value = getattr(value, "tolist", lambda: value)()  # numpy's arrays and numbers
    if hint is int and isinstance(value, float) and value.is_integer():
        return int(value)
    if origin is tuple and isinstance(value, list | tuple):
        return tuple(_freeze(each, args[0]) for each in value)
    if origin is Mapping and isinstance(value, Mapping) and get_origin(args[1]) in {tuple, Sequence}:
        return {key: _freeze(each, args[1]) for key, each in value.items()}
    return value


def _fits(value: object, hint: Any) -> bool:
    if get_origin(hint) is not None:
        return _fits_composed(value, get_origin(hint), get_args(hint))
    if hint in {int, float}:  # NaN, too: the gate refuses figures that are no number
        if not isinstance(value, Real) or isinstance(value, bool):
            return False
        return hint is float or not 0 < float(value) % 1 < 1
    if hint is date:
        return isinstance(value, date) and not isinstance(value, datetime)
    return hint is Any or isinstance(value, hint)


def _fits_composed(value: object, origin: Any, args: tuple[Any, ...]) -> bool:
    if origin is Literal:
        return isinstance(value, str) and value in args
    if origin is tuple:
        return isinstance(value, tuple) and _fits_items(value, args)
    if origin is Mapping:
        return isinstance(value, Mapping) and all(_fits(k, args[0]) and _fits(v, args[1]) for k, v in value.items())
    if origin in {Union, types.UnionType}:
        return any(_fits(value, each) for each in args)
    if origin is Sequence and isinstance(value, str):
        return False  # its letters would be the values
    return callable(value) if origin is Callable else isinstance(value, origin)


def _fits_items(value: tuple[object, ...], hints: tuple[Any, ...]) -> bool:
    if hints[-1:] == (...,):
        return all(_fits(each, hints[0]) for each in value)
    return len(value) == len(hints) and all(_fits(each, hint) for each, hint in zip(value, hints, strict=True))


def _describe(hint: Any, value: object) -> str:
    """Describe what is expected."""
    origin, args = get_origin(hint), get_args(hint)
    if origin in {Union, types.UnionType}:
        return " or ".join(_describe(each, value) for each in args)
    if origin is Literal:
        meant = _MEANT.get(str(value))
        hit = f" ({meant}?)" if meant and meant.split(",")[0] in args else ""
        return f"one of {', '.join(map(str, args))}{hit}"
    if origin is tuple:
        single = isinstance(value, str) or _fits(value, args[0])
        example = f", as ({_show(value) if isinstance(value, str) else '…'},)"
        return f"{_describe_tuple(args)}{example if single else ''}"
    if origin is Callable:
        return "a function"
    return _WORDS[hint][0] if hint in _WORDS else f"a {getattr(hint, '__name__', 'mapping')}"


def _describe_tuple(hints: tuple[Any, ...]) -> str:
    first = hints[0]
    words = "tuples" if get_origin(first) is tuple else _WORDS[first][1] if first in _WORDS else first.__name__
    return f"a tuple of {'' if hints[-1] is ... else f'{len(hints)} '}{words}"


def _show(value: object) -> str:
    if is_dataclass(value) and not isinstance(value, type):
        return f"a {type(value).__name__}"
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
