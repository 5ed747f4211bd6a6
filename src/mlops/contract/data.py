"""Types of the data part of the contract: sources, expectations, features, entity and label."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal, Protocol

from mlops.contract.declared import Declared
from mlops.contract.errors import ConfigError

if TYPE_CHECKING:  # they take half a second, and commands import the contract for its errors
    import numpy as np
    import pandas as pd

ColumnType = Literal["string", "long", "double", "timestamp"]
FeatureType = Literal["double", "long", "boolean", "string"]
Action = Literal["block", "quarantine", "warn"]
FILE_MODIFIED = "file_modified"
"""Column that every source's table adds. Of two rows with one key and known-at time, that of the later file stays."""


@dataclass(frozen=True, kw_only=True)
class Column(Declared):
    """One column of a source. `timestamp` is UTC, written as 2013-01-31T23:59:00Z."""

    name: str
    type: ColumnType
    comment: str
    unit: str = ""
    required: bool = True
    """False: the value may be missing, as an empty field."""


@dataclass(frozen=True)
class Expectation(Declared):
    """A Great Expectations object, and the action on data that breaks it."""

    rule: Any
    action: Action
    """block: publish nothing of the batch; quarantine: put the row into quarantine; warn: report only."""
    min_rows: int = 1
    """Smallest number of rows of a batch on which the rule is judged: the mean of three rows says little."""
    max_share: float = 0.0
    """Largest share of all rows of a batch that may break a rule on single rows. (The rule's own `mostly` is a share of
    the rows that its condition selects.)"""


@dataclass(frozen=True)
class Outcome:
    """The result of one expectation on one batch."""

    rule: str
    words: str
    """The rule with its arguments, in words."""
    action: Action
    rows: int
    """Number of rows that the rule was run on."""
    failed: int
    """Number of these rows that break the rule; 0 if the rule judges the batch as a whole."""
    held: bool
    """Whether the batch as a whole meets the rule."""
    positions: tuple[int, ...] = ()
    """Positions in the batch of the rows that break the rule."""
    observed: float | str | None = None
    """The figure by which the rule judged the batch."""


@dataclass(frozen=True, kw_only=True)
class FileFormat(Declared):
    """How the files of a source are written. `.csv` and `.jsonl` may be compressed with gzip (`.csv.gz`)."""

    kind: Literal["csv", "jsonl", "parquet"] = "csv"
    delimiter: str = ","
    """Character between the fields of a CSV file."""
    encoding: str = "utf-8"
    """Encoding of a CSV file or of JSON lines, as Python names it."""
    decimal: Literal[".", ","] = "."
    """Sign before the decimals of a `double`."""
    timestamp: str = "%Y-%m-%dT%H:%M:%SZ"
    """How a `timestamp` is written, in the form of Python's strptime; without a zone it is UTC. By default JSON lines
    and Parquet may have fractions of a second."""

    def __post_init__(self) -> None:
        """Check the format.

        Raises:
            ConfigError: the delimiter is not one character or is a quote, or Python does not know the encoding.
        """
        super().__post_init__()
        if len(self.delimiter) != 1 or self.delimiter in '"\r\n':
            raise ConfigError(f"delimiter {self.delimiter!r} must be one character that is no quote and no line end")
        if self.delimiter == self.decimal:
            raise ConfigError(f"delimiter and decimal are both {self.decimal!r}: no number could be read")
        try:
            "".encode(self.encoding)
        except LookupError:
            raise ConfigError(
                f"Python knows no encoding {self.encoding!r}: take one of its standard encodings"
            ) from None


@dataclass(frozen=True, kw_only=True)
class Source(Declared):
    """Files in `<landing>/<name>/`, which ingestion reads into the table `<name>`, one row per version of a key."""

    name: str
    comment: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    known_at: str
    """Timestamp column (UTC): the moment from which a row is known. From that moment on the row replaces earlier
    versions of its key. Of two versions with the same moment, the one in the later file stays."""
    max_bad_share: float = 0.1
    """Largest share of a batch's rows that may break a rule; above it the batch is blocked."""
    max_versions: int = 5
    """Largest number of different contents of one key in one file, known-at times aside. A key with more does not
    identify one thing: it is `N/A`, or a number that a spreadsheet rounded or that lost a digit, so that ten keys
    became one. The log names such keys. A batch is blocked if more than `max_bad_share` of its rows have such a key."""
    files: FileFormat = FileFormat()
    """How its files are written."""
    table: str = ""
    """An existing Delta table, as catalog.schema.table, instead of files: each run of ingestion lands the rows of its
    new versions as Parquet. The job's identity needs SELECT on it."""
    expectations: Callable[[], Sequence[Expectation]] = tuple
    """Makes the expectations. It is called only by ingestion, since Great Expectations takes seconds and 200 MB."""
    agrees_with: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Columns that must have the same values in another source, by that source's name. The other source must have all
    columns of this source's key. A batch is blocked if at least 20 of its rows have a counterpart there, and a column
    differs from every version of it in more than `max_bad_share` of these rows."""
    history: timedelta | None = None
    """How long after its known-at time features can see a row; None: for ever (a reference table)."""

    def list_required_columns(self) -> tuple[str, ...]:
        """List the columns in which no published row has a missing value."""
        return tuple(column.name for column in self.columns if column.required)

    def __post_init__(self) -> None:
        """Set the file format of a source with a `table` to Parquet, in which ingestion lands its rows."""
        super().__post_init__()
        if self.table:
            object.__setattr__(self, "files", FileFormat(kind="parquet"))


# --- features --------------------------------------------------------------------------------------------------------

type Values = np.ndarray[Any, Any]
"""One value per entity of the block, shape (n_entities,)."""


class Columns(Protocol):
    """A source's columns by name; all have the same rows in the same order."""

    def __getitem__(self, name: str) -> pd.Series[Any]:
        """The column of that name."""
        ...


class Window(Protocol):
    """The source rows that fall in each entity's window and were known by its prediction time."""

    def count(self) -> Values:
        """Rows in the window; 0 where there are none. Shape (n_entities,), double."""
        ...

    def sum(self, value: str | Callable[[Columns], Values]) -> Values:
        """Sum of a column, or of a function of the columns, without missing values; 0 where none is left."""
        ...

    def mean(self, value: str | Callable[[Columns], Values]) -> Values:
        """Mean of a column, or of a function of the columns, without missing values; NaN where none is left."""
        ...

    def std(self, value: str | Callable[[Columns], Values]) -> Values:
        """Standard deviation of a sample (divided by n - 1); NaN where fewer than two values are left."""
        ...

    def min(self, value: str | Callable[[Columns], Values]) -> Values:
        """Smallest value; NaN where none is left."""
        ...

    def max(self, value: str | Callable[[Columns], Values]) -> Values:
        """Largest value; NaN where none is left."""
        ...

    def distinct_count(self, column: str) -> Values:
        """Count the different values of a column of any type, without missing ones; 0 where none is left."""
        ...

    def ewm_mean(self, value: str | Callable[[Columns], Values], half_life: timedelta) -> Values:
        """Mean in which a row weighs half as much as one that is `half_life` younger; NaN where none is left.

        A row's age is counted from the end of the window, in whole eighths of the half-life.
        """
        ...


class Known(Protocol):
    """The data that a feature function may read: what was known about each entity at its own prediction time."""

    @property
    def rows(self) -> pd.DataFrame:
        """The entities' own source rows, one per entity, in a fixed order: shape (n_entities, n_source_columns)."""
        ...

    @property
    def prediction_time(self) -> pd.Series[pd.Timestamp]:
        """When each prediction is made, UTC without zone, aligned with `rows`."""
        ...

    def latest(self, source: str, column: str, *, by: Sequence[str], within: timedelta) -> Values:
        """Return the newest present value of rows with equal `by` columns, known at most `within` ago; else missing.

        A row does not count once a newer version of it is known.
        """
        ...

    def window(
        self, source: str, *, by: Sequence[str], since: timedelta, until: timedelta = ..., on: str = ...
    ) -> Window:
        """Select rows with equal `by` columns whose `on` is in (prediction time - since, prediction time + until].

        `on` is the source's `known_at` by default. A row counts only if it is known by the prediction time. With
        `by=[]` every row of the source counts for every entity: a figure of the whole source.
        """
        ...

    def lookup(self, source: str, column: str, *, on: str | Sequence[str]) -> Values:
        """Return a column of the known row whose key equals the entity's columns `on`; else missing.

        `on` is a column, or one column per column of the source's key, in the order of the key.
        """
        ...


@dataclass(frozen=True)
class Feature(Declared):
    """One column of the feature table, and the function that computes it."""

    name: str
    compute: Callable[[Known], Values]
    dtype: FeatureType
    unit: str
    known_from: str
    comment: str
    limits: tuple[float, float] = (-math.inf, math.inf)
    """Smallest and largest allowed value, both included; an infinite limit is no limit. Missing values are allowed."""

    @property
    def input_type(self) -> Literal["double", "string"]:
        """The type in which a model gets it."""
        return "string" if self.dtype == "string" else "double"


def feature(
    *,
    unit: str,
    known_from: str,
    dtype: FeatureType = "double",
    limits: tuple[float, float] = (-math.inf, math.inf),
) -> Callable[[Callable[[Known], Values]], Feature]:
    """Declare a feature: the function's name is the column's name, its docstring the comment in the catalog.

    Args:
        unit: unit of the value, as in "min" or "°F"; "" for none.
        known_from: the moment from which the value is known, in words.
        dtype: `string` for categories; `boolean` and `long` are that in the table, and numbers for the model, with NaN
            where they are missing.
        limits: smallest and largest allowed value; any other value stops the job before it writes.
    """

    def declare(compute: Callable[[Known], Values]) -> Feature:
        comment = (compute.__doc__ or "").strip().split("\n")[0]
        return Feature(compute.__name__, compute, dtype, unit, known_from, comment, limits)

    return declare


@dataclass(frozen=True, kw_only=True)
class Entity(Declared):
    """The thing that a prediction is about: one row of a source, predicted some time before its event."""

    source: str
    key: tuple[str, ...]
    """The key of its source; with the prediction time it makes the key of the feature table."""
    event_time: str
    lead: timedelta
    """Time from the prediction to the event."""
    expectations: Callable[[], Sequence[Expectation]] = tuple
    """Makes the expectations on rows that are scored: on their features, key, event time and prediction time. Each has
    the action quarantine and judges single rows; what a batch is as a whole is for monitoring. The function is called
    only where rows are scored, since Great Expectations takes seconds and 200 MB."""


Kind = Literal["binary", "classes", "number"]


@dataclass(frozen=True, kw_only=True)
class Label(Declared):
    """How the label of an entity is computed, as SQL over a source that has the entity's key."""

    name: str
    source: str
    value: str
    """SQL expression. binary: 1 or 0; classes: one of `classes`, compared as text; number: any finite number."""
    matured: str
    """SQL condition under which the row has a label; rows that never meet it have none."""
    kind: Kind = "binary"
    """The kind of question. It is declared, and never guessed from the data."""
    classes: tuple[str, ...] = ()
    """kind classes: every class that a label may be, each once."""
    joined: tuple[str, ...] = ()
    """Other sources, whose key columns the label's source has, too. `value` and `matured` may name a column of their
    row with that key as `source.column`; it is missing where there is no such row."""
    within: timedelta | None = None
    """A label of a window of the future: `value` and `matured` are SQL aggregates over the rows with equal columns `by`
    whose time `on` is in [event time, event time + within). It is known when the policy's maturity has passed after the
    event time."""
    on: str = ""
    """within: the timestamp column of the label's source that counts."""
    by: tuple[str, ...] = ()
    """within: columns of the entity's key that the label's source has, too; none: all its rows count."""

    def __post_init__(self) -> None:
        """Raise ConfigError if the classes do not fit the kind, or one of `within` and `on` is missing."""
        super().__post_init__()
        if (self.within is not None) != bool(self.on) or (self.within is not None and self.within <= timedelta(0)):
            raise ConfigError(
                f"label {self.name!r} has within={self.within} and on={self.on!r}: a label of a window needs a length "
                "above zero and the column of the time that counts"
            )
        if (self.kind == "classes") != bool(self.classes):
            remedy = "name every class in classes" if self.kind == "classes" else "leave classes empty"
            raise ConfigError(f"label {self.name!r} of kind {self.kind} has classes {self.classes}: {remedy}")
        if self.classes and (len(set(self.classes)) < max(2, len(self.classes)) or not all(self.classes)):
            raise ConfigError(
                f"label {self.name!r} has classes {self.classes}: name at least two, each once, none empty"
            )
