"""What a use case promises, and what the machinery answers: the only module that both sides import.

A use case fills in one `UseCase`. Everything here is a frozen value or a protocol and imports nothing of ours.
All times are UTC. Errors that a user can mend share one base, and their text says what to do:

    MlopsError                base; caught by the command lines, which print it without a stack trace
    ├── ConfigError           a parameter is missing, unknown or malformed
    ├── DataError             the data cannot serve: nothing landed, no matured label, one class only
    │   └── BatchBlocked      an expectation marked "block" failed: nothing of the batch was published
    ├── ModelError            a model, version or alias is missing
    │   └── UntrustedModel    a model's files differ from what was judged, or want more than they may
    ├── ApprovalPending       a person has to decide first
    ├── Forbidden             the registry refuses this identity
    └── Conflict              someone else moved the same thing first; nothing was changed
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline


class MlopsError(Exception):
    """Base of every error that a user can mend."""


class ConfigError(MlopsError):
    """A parameter is missing, unknown or malformed."""


class DataError(MlopsError):
    """The data cannot serve."""


class BatchBlocked(DataError):
    """An expectation marked "block" failed: nothing of the batch was published."""


class ModelError(MlopsError):
    """A model, version or alias is missing."""


class UntrustedModel(ModelError):
    """A model's files differ from what was judged, or want more than they may."""


class ApprovalPending(MlopsError):
    """A person has to decide first."""


class Forbidden(MlopsError):
    """The registry refuses this identity."""


class Conflict(MlopsError):
    """Someone else moved the same thing first; nothing was changed."""


# --- sources ---------------------------------------------------------------------------------------------------------

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
    """One feed: CSV files in `<landing>/<name>/`, which become the table `<name>`, one row per key."""

    name: str
    comment: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    known_at: str
    """The timestamp column that says since when the row is known; of two rows with one key the later known one wins."""
    max_bad_share: float = 0.1
    """A batch of which a larger share of rows breaks a rule is blocked: then it is not the rows that are wrong."""
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
        """The newest value (not a missing one) of the same `by` columns, known at most `within` ago; else missing."""
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


# --- model and policy ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Model:
    """The unfitted model, and what its fitted state may consist of."""

    build: Callable[[Mapping[str, Any]], Pipeline]
    """From parameters (a subset of `space`'s names; none: the defaults) to an unfitted pipeline."""
    space: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    """The values that a search may give each parameter of `build`; without a search the defaults hold."""
    trusted_types: tuple[str, ...] = ()
    """Types beyond scikit-learn's plain ones that a model file of this use case may hold: the one way in for your own
    transformers and other libraries' estimators. What a model file says of itself never counts."""
    packages: tuple[str, ...] = ()
    """Packages beyond scikit-learn that these types come from, as on PyPI: pinned in the model's requirements."""
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class Policy:
    """When a model is good enough, and when it has stopped being so."""

    holdout: timedelta
    """Length of the newest stretch of matured days that training leaves out and validation judges on."""
    maturity: timedelta
    """After this long past the event, a label that is not there is counted as missing."""
    min_auc: float
    min_skill: float
    """Floor of 1 - log-loss / entropy of the base rate."""
    max_auc: float
    """A higher AUC than this is a leak, not a success."""
    margin_auc: float
    """A challenger may be this much worse than the champion, at most."""
    margin_log_loss: float
    max_calibration_gap: float
    """Limit of |mean prediction - mean label|."""
    max_latency_ms: float = 100.0
    """Limit of the 99th percentile of the processor time that one row takes."""
    max_size_mb: float = 50.0
    """Limit of the size of all files of a version."""
    slices: tuple[str, ...] = ()
    """Feature columns; in every large enough group of each, the challenger must hold its own against the champion."""
    slice_margin_auc: float = 0.02
    slice_min_rows: int = 500
    slice_min_positives: int = 50
    window: timedelta = timedelta(days=28)
    """Length of the stretch of matured days that monitoring judges at once."""
    drift_reference: timedelta = timedelta(days=28)
    """The baseline window: the stretch before the window, to which drift compares it."""
    paging: tuple[str, ...] = ()
    """Features whose drift calls somebody; that of all others only explains."""
    drift_factor: float = 2.0
    """A column drifts when its PSI is above this many times the largest of its clean weeks."""
    drift_floor: float = 0.02
    """No PSI below this is drift."""
    drift_memory: int = 12
    """Clean weeks that a column's limit looks back on."""
    drift_min_rows: int = 300
    """A week with fewer rows is on hold."""
    missing_floor: float = 0.1
    """A column's share of missing values may rise by this much, or `drift_factor` times what its clean weeks show."""
    min_volume: float = 0.7
    """A week may have this share of its usual rows, or the usual number divided by it."""
    silence: timedelta = timedelta(days=2)
    """A feed that has told nothing new for this long is silent; reference tables may be."""
    max_unlabelled: float = 0.02
    """A window in which a greater share of outcomes has not been reported when due is on hold."""
    slice_gap: float = 0.08
    """A slice's calibration gap may be this far from its window's, or `drift_factor` times what it was of late."""
    retrain_gap: float = 0.03
    """A matured window whose |mean prediction - mean label| is above this makes retraining due."""
    retrain_age: timedelta = timedelta(days=84)
    """A champion whose newest training day is at least this old makes retraining due."""
    cool_down: timedelta = timedelta(days=28)
    """After a training, this long no other one starts: one cause starts one training."""
    replicates: int = 1000
    """Day-block bootstrap replicates of the gate."""
    confidence: float = 0.95
    """One-sided confidence of the gate's bounds."""


@dataclass(frozen=True, kw_only=True)
class UseCase:
    """The whole contract of a use case; `usecase.USE_CASE` is the one that the jobs run."""

    name: str
    question: str
    sample: Callable[[date, date], Iterable[tuple[str, str]]]
    """From first and last day to (path below the landing folder, CSV text), each file as it was known on its day."""
    sources: tuple[Source, ...]
    entity: Entity
    features: tuple[Feature, ...]
    label: Label
    model: Model
    policy: Policy

    def source(self, name: str) -> Source:
        """The source of that name; raises ConfigError with the known names."""
        for source in self.sources:
            if source.name == name:
                return source
        raise ConfigError(f"no source {name!r}; there are {', '.join(s.name for s in self.sources)}")


# --- answers ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Rule:
    """One rule of the gate, with the figure it looked at."""

    name: str
    passed: bool
    value: float | None
    limit: float | None
    reason: str


@dataclass(frozen=True)
class Verdict:
    """The gate's answer: every rule, passed or not."""

    rules: tuple[Rule, ...]

    @property
    def accepted(self) -> bool:
        """True only if there are rules and every one passed."""
        return bool(self.rules) and all(rule.passed for rule in self.rules)


@dataclass(frozen=True)
class Decision:
    """Whether retraining is due: every rule with its figure; a rule that did not pass is one that fired."""

    due: bool
    rules: tuple[Rule, ...]


@dataclass(frozen=True)
class Metrics:
    """Quality on one set of matured rows."""

    rows: int
    positives: int
    auc: float
    log_loss: float
    skill: float
    """1 - log-loss / entropy of the base rate."""
    calibration_gap: float
    """Mean prediction - mean label."""


@dataclass(frozen=True)
class DriftReport:
    """How far each column of a window lies from its baseline window."""

    start: datetime
    end: datetime
    psi: Mapping[str, float] = field(default_factory=dict)
    """Population stability index per column."""
