"""What comes in and what is made of it: sources and their expectations, features, entity and label."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal, Protocol

import numpy as np
import pandas as pd

ColumnType = Literal["string", "long", "double", "timestamp"]
Action = Literal["block", "quarantine", "warn"]


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column of a source. `timestamp` is UTC, written as 2013-01-31T23:59:00Z."""

    name: str
    type: ColumnType
    comment: str
    unit: str = ""
    required: bool = True
    """False: the value may be missing (an empty field)."""


@dataclass(frozen=True)
class Expectation:
    """A Great Expectations object, and what happens to data that breaks it."""

    rule: Any
    action: Action
    """block: publish nothing of the batch; quarantine: set the row aside; warn: report only."""
    min_rows: int = 1
    """A batch with fewer rows is not judged by it: the mean of three rows says little."""
    max_share: float = 0.0
    """The batch meets a rule on single rows if no larger share of all its rows breaks it. (The rule's own `mostly` is a
    share of the rows that its condition picks.)"""


@dataclass(frozen=True)
class Outcome:
    """What came of one expectation on one batch."""

    rule: str
    words: str
    """The rule with its arguments, for people."""
    action: Action
    rows: int
    """Rows that it looked at."""
    failed: int
    """Of them, those that break it; 0 where it judges the batch as a whole."""
    held: bool
    """Whether the batch as a whole meets it."""
    positions: tuple[int, ...] = ()
    """Which rows break it, by their place in the batch."""
    observed: float | str | None = None
    """The figure that it judged the batch by."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """One feed: CSV files in `<landing>/<name>/`, which become the table `<name>`, one row per version of a key."""

    name: str
    comment: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    known_at: str
    """The timestamp column that says since when the row is known. A later version replaces the one before from then on;
    of two versions known at the same moment the one of the later file stays."""
    max_bad_share: float = 0.1
    """A batch of which a larger share of rows breaks a rule is blocked: then it is not the rows that are wrong."""
    max_versions: int = 10
    """In one file a key should stand for no more different things than this, but for when they were known: what does is
    no key of one (`N/A`, a number that a spreadsheet has rounded). The log names such keys; a batch of which a larger
    share of rows than `max_bad_share` has one is blocked."""
    expectations: Callable[[], Sequence[Expectation]] = tuple
    """Called only where they are run: Great Expectations takes seconds and 200 MB to import, and few tasks need it."""
    history: timedelta | None = None
    """A row is forgotten this long after it is known: no feature looks further back. None: never, a reference table."""


# --- features --------------------------------------------------------------------------------------------------------

Values = np.ndarray[Any, Any]
"""One value per entity of the block, shape (n_entities,)."""


class Columns(Protocol):
    """A source's columns by name, aligned with one another."""

    def __getitem__(self, name: str) -> pd.Series[Any]:
        """The column of that name."""
        ...


class Window(Protocol):
    """The source rows that fall in each entity's window and were known by its prediction time."""

    def count(self) -> Values:
        """Rows in the window; 0 where there are none. Shape (n_entities,), double."""
        ...

    def mean(self, value: str | Callable[[Columns], Values]) -> Values:
        """Mean of a column, or of a function of the columns, without missing values; NaN where none is left."""
        ...


class Known(Protocol):
    """What was known about each entity of a block at its own prediction time: all that a feature function may see."""

    @property
    def rows(self) -> pd.DataFrame:
        """The entities' own source rows, one per entity, in a fixed order: shape (n_entities, n_source_columns)."""
        ...

    @property
    def prediction_time(self) -> pd.Series[pd.Timestamp]:
        """When each prediction is made, UTC without zone, aligned with `rows`."""
        ...

    def latest(self, source: str, column: str, *, by: Sequence[str], within: timedelta) -> Values:
        """The newest value (not a missing one) of the same `by` columns, known at most `within` ago; else missing.

        A row of which a newer version is known does not count.
        """
        ...

    def window(
        self, source: str, *, by: Sequence[str], since: timedelta, until: timedelta = ..., on: str = ...
    ) -> Window:
        """Source rows with the same `by` columns whose `on` lies in (prediction time - since, prediction time + until].

        `on` is the source's `known_at` by default. Whatever the window, a row counts only if it was known by then.
        """
        ...

    def lookup(self, source: str, column: str, *, on: str) -> Values:
        """A column of the known reference row whose one-column key is the entity's column `on`; else missing."""
        ...


@dataclass(frozen=True)
class Feature:
    """One column of the feature table, made by one function of what was known."""

    name: str
    compute: Callable[[Known], Values]
    dtype: Literal["double", "string"]
    unit: str
    known_from: str
    comment: str
    limits: tuple[float, float] = (-math.inf, math.inf)
    """Smallest and largest value there may be, both included where finite; infinity is none. Missing is legal."""


def feature(
    *,
    unit: str,
    known_from: str,
    dtype: Literal["double", "string"] = "double",
    limits: tuple[float, float] = (-math.inf, math.inf),
) -> Callable[[Callable[[Known], Values]], Feature]:
    """Declare a feature: the function's name is the column's, its docstring the comment in the catalog.

    Args:
        unit: of the value, as in "min" or "°F"; "" for none.
        known_from: the moment from which the value is known, in words.
        dtype: `string` for categories, `double` for everything else.
        limits: smallest and largest value that there can be; another one stops the job before anything is written.
    """

    def declare(compute: Callable[[Known], Values]) -> Feature:
        comment = (compute.__doc__ or "").strip().split("\n")[0]
        return Feature(compute.__name__, compute, dtype, unit, known_from, comment, limits)

    return declare


@dataclass(frozen=True, kw_only=True)
class Entity:
    """What a prediction is about: one row of a source, asked about some time before its event."""

    source: str
    key: tuple[str, ...]
    """With the prediction time, the key of the feature table."""
    event_time: str
    lead: timedelta
    """The prediction is made this long before the event."""


@dataclass(frozen=True, kw_only=True)
class Label:
    """How the truth about an entity is read once it is known, as SQL over one source that carries the entity's key."""

    name: str
    source: str
    value: str
    """Expression that is 1 or 0."""
    matured: str
    """Condition under which the row tells the truth; rows that never meet it have no label."""
