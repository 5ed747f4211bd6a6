"""Types of the model part of the contract: the model, and the limits of gate and monitoring."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache
from types import FunctionType
from typing import TYPE_CHECKING, Any

from mlops.contract.declared import Declared
from mlops.contract.errors import ConfigError
from mlops.contract.results import GateCase, Rule

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

DRIFT_MIN_ROWS = (50, 300)
"""Smallest and largest number of rows that a week must have to be judged, where `Policy.drift_min_rows` is None."""


_map_packages = cache(importlib.metadata.packages_distributions)
"""Module to packages. It reads the lists of files of all installed packages, which takes a second."""


@cache
def _find_packages(module: str) -> tuple[str, ...]:
    """Find the package on PyPI that a module comes from; none for Python's own, scikit-learn's and the wheel's."""
    if module in sys.stdlib_module_names or module == "sklearn":
        return ()
    if importlib.util.find_spec(module) is None:
        raise ConfigError(f"Model.trusted_types names a type of {module}, which is not installed: add its package")
    wheels = {entry.dist.name for entry in importlib.metadata.entry_points(group="mlops.use_case") if entry.dist}
    # A module that no package lists is one of an editable install: the wheel's own.
    return tuple(sorted(set(_map_packages().get(module, ())) - wheels))


ExtraRule = Callable[[GateCase], Rule]
"""A fork's own gate rule. It raises DataError if it cannot judge; the gate then refuses the version."""


@dataclass(frozen=True)
class Share(Declared):
    """A limit relative to a figure of the same rows, so that it fits rare and common events: `Share(0.05)` is 5 %."""

    share: float


Limit = float | Share
"""A limit in the unit of its figure, or relative to another figure."""


def resolve_limit(limit: Limit, reference: float) -> float:
    """Return the limit in the unit of its figure; `reference` is the figure that a `Share` is relative to."""
    return limit.share * abs(reference) if isinstance(limit, Share) else limit


@dataclass(frozen=True, kw_only=True)
class Value(Declared):
    """What a decision is worth, for the gate's rules `value` and `non_inferior_value`.

    `value` refuses a version that is worth less than the best decision that is the same for all rows.
    """

    matrix: tuple[tuple[float, ...], ...]
    """`matrix[truth][decision]`: what one row is worth, in any unit. Order: 0, 1, or that of `Label.classes`."""
    threshold: float = 0.5
    """binary: the decision is 1 from this prediction on. classes: the most probable class is the decision."""
    margin: float = 0.0
    """Largest value per row that a challenger may lose against the champion, in the unit of `matrix`."""


@dataclass(frozen=True, kw_only=True)
class Model(Declared):
    """The unfitted model, its parameters, and the types that its fitted state may contain."""

    build: Callable[[Mapping[str, Any]], Pipeline]
    """Makes an unfitted pipeline from parameters, a subset of the names of `space`; empty: the defaults."""
    space: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    """Values that a search may give to each parameter of `build`; without a search the defaults are used."""
    trusted_types: tuple[str, ...] = ()
    """Types other than scikit-learn's plain ones that a model file may contain: name your own transformers and other
    libraries' estimators here. What a model file declares about itself does not count."""
    seed: int = 0
    fit_on_spark: Callable[[Any, Pipeline], Pipeline] | None = None
    """Fits the model on a cluster where the labelled rows are more than `Policy.max_training_rows`; None: the model is
    the one fitted on their sample. Gets all labelled rows as a DataFrame of Spark (the entity's columns, the features,
    `label` as the pipeline is fitted on it), and the pipeline fitted on the sample. Returns the fitted pipeline."""

    @property
    def packages(self) -> tuple[str, ...]:
        """Packages that the trusted types come from, beside scikit-learn, sorted: pinned in the model's requirements.

        Modules of the use case need no package: they are in the wheel.

        Raises:
            ConfigError: a type is of a module that is not installed.
        """
        return tuple(sorted({name for type_ in self.trusted_types for name in _find_packages(type_.partition(".")[0])}))


@dataclass(frozen=True, kw_only=True)
class Policy(Declared):
    """Limits of the gate, of monitoring and of retraining."""

    holdout: timedelta
    """Length, in whole days, of the newest matured days. Training leaves them out; validation judges on them."""
    maturity: timedelta
    """Time after the event from which a label that does not exist counts as missing."""
    min_ranking: float
    """Floor of the ranking figure, which depends on `Label.kind`: AUC, macro AUC or concordance. 0.5 is chance."""
    min_skill: float
    """Floor of the skill: 1 - loss / loss of the best constant prediction for the same rows."""
    max_ranking: float
    """Largest plausible ranking figure; a higher one is taken for a leak."""
    margin_ranking: float
    """Largest ranking figure that a challenger may lose against the champion."""
    margin_loss: Limit
    """Largest loss that a challenger may add; `Share`: of the champion's loss."""
    max_gap: Limit
    """Limit of the gap between predictions and labels: binary: |mean prediction - mean label|; `Share`: of the mean
    label. classes: the same of the worst class. number: |sum of predictions - sum of labels| / sum of |labels|."""
    margin_precision: Limit | None = None
    """binary only: largest average precision that a challenger may lose; `Share`: of the champion's. None: no rule.
    For rare events it shows what AUC hides: how many of the rows with the highest predictions are 1."""
    value: Value | None = None
    """binary and classes: what a decision on each prediction is worth; None: no rule."""
    max_latency_ms: float = 100.0
    """Limit of the 99th percentile of the processor time that one row takes."""
    max_size_mb: float = 50.0
    """Limit of the size of all files of a version."""
    slices: tuple[str, ...] = ()
    """Feature columns; in each of their large groups the challenger must not be worse than the champion by more than
    `slice_margin_ranking`."""
    slice_margin_ranking: float = 0.02
    slice_min_rows: int = 500
    """A smaller group is not judged, which training, verdict and report note."""
    slice_min_positives: int = 50
    """A group with fewer rows of its rarest class is not judged; a label of kind number has no classes."""
    window: timedelta = timedelta(days=28)
    """Length of the matured days, whole days, that monitoring judges at once."""
    drift_reference: timedelta = timedelta(days=28)
    """Length of the weeks before a week that drift compares it with."""
    paging: tuple[str, ...] = ()
    """Features whose drift raises an alert; drift of all others is only reported."""
    drift_factor: float = 2.0
    """A column drifts if its PSI is above this factor times the largest PSI of its clean weeks."""
    drift_floor: float = 0.02
    """Smallest limit of a PSI."""
    drift_memory: int = 12
    """Number of clean weeks from which a column's limit is computed."""
    drift_min_rows: int | None = None
    """A week with fewer rows is on hold. None: half the rows of a usual week, within DRIFT_MIN_ROWS."""
    missing_floor: float = 0.1
    """Smallest limit of the rise of a column's share of missing values; else `drift_factor` times its clean weeks."""
    min_volume: float = 0.7
    """Smallest share of its usual rows that a week may have; the largest number is the usual one divided by it.

    Weeks outside of these limits for as long as `drift_reference` become the usual ones.
    """
    silence: timedelta = timedelta(days=2)
    """Longest time that a source may bring no new row; reference tables are exempt."""
    max_unlabelled: float = 0.02
    """Largest share of due outcomes that may be unreported. Above it a window is on hold, and a version is refused.

    Also the largest share of a window's entities that may have no prediction; above it monitoring pages.
    """
    slice_gap: Limit = 0.01
    """Standard deviation, from window to window, of a slice's gap minus its window's; `Share` as of `max_gap`."""
    slice_factor: float = 3.0
    """Limit of a slice's offset from its usual value, in standard errors of days and `slice_gap` combined."""
    retrain_gap: Limit = 0.03
    """A matured window whose gap (see `max_gap`) is above this makes retraining due; `Share` as of `max_gap`."""
    retrain_age: timedelta = timedelta(days=84)
    """A champion whose newest training day is at least this old makes retraining due."""
    cool_down: timedelta = timedelta(days=28)
    """Time after a training in which no other training starts, so that one cause starts one training."""
    max_read_bytes: int = field(default=64 * 2**20, repr=False)
    """Largest number of bytes of new files, compressed ones ten times, that ingestion reads on the driver: it needs
    about ten times as much memory. Above it, Spark's workers read and judge the files in parts. No row depends on it,
    so `repr` leaves it out."""
    archive_after: timedelta | None = field(default=None, repr=False)
    """Time after which a file that was read leaves the landing folder for its folder `_archived`, so that listing does
    not take longer every year; None: never. No row depends on it, so `repr` leaves it out."""
    max_collected_rows: int = field(default=200_000, repr=False)
    """Largest number of rows that gate and monitoring bring to the driver at once: 1.1 KB each for flights. Above it,
    the gate scores the holdout in parts, and monitoring brings sums. No figure depends on it, so `repr` leaves it out.
    """
    max_group_rows: int = field(default=300_000, repr=False)
    """Largest number of rows that a worker computes features of at once, with the history that they see: 1.7 KB each
    for the flights. Above it, blocks of 28 days are cut into families of features, shorter blocks and shards."""
    max_training_rows: int = field(default=2_000_000, repr=False)
    """Largest number of rows that a training reads: 1.1 KB of the driver's memory each for the flights. Above it, it
    takes a sample by the hash of the entity's key. No verdict depends on it, so `repr` leaves it out."""
    reasons: int = field(default=0, repr=False)
    """Number of contributions, largest first, that each prediction of a batch or a stream has in the column `reasons`
    of the table of predictions; 0: none. No verdict depends on it, so `repr` leaves it out."""
    replicates: int = 1000
    """Day-block bootstrap replicates of the gate."""
    confidence: float = 0.95
    """One-sided confidence of the gate's bounds."""
    extra_rules: tuple[ExtraRule, ...] = field(default=(), repr=False)
    """Rules of the fork that the gate checks after its own, each a function of a module: `def no_night_bias(case)`.

    The function's name is the rule's name in verdict, report and audit table, whatever name the returned Rule carries.
    A rule that raises, or that returns a figure that is not finite, refuses the version. `repr` leaves the functions
    out, since their addresses differ from process to process; `rule_sources` stands for them.
    """

    def __post_init__(self) -> None:
        """Raise ConfigError unless extra rules are functions with own names and limits of volume are positive."""
        super().__post_init__()
        for limit in ("max_read_bytes", "max_collected_rows", "max_group_rows", "max_training_rows"):
            if getattr(self, limit) < 1:
                raise ConfigError(f"{limit} is {getattr(self, limit)}: it must be at least 1")
        if self.archive_after is not None and not timedelta(0) <= self.archive_after <= timedelta(days=36_500):
            raise ConfigError(
                f"archive_after is {self.archive_after}: it must be from 0 to 36,500 days, or None: never"
            )
        if self.reasons < 0:
            raise ConfigError(f"reasons is {self.reasons}: it must be 0, which is none, or the number of them")
        for rule in self.extra_rules:
            if not isinstance(rule, FunctionType) or not rule.__name__.isidentifier():
                raise ConfigError(f"extra rule {rule!r} is not a function with a name: define it with def in a module")
        names = [rule.__name__ for rule in self.extra_rules]
        if repeated := sorted({name for name in names if names.count(name) > 1}):
            raise ConfigError(f"extra_rules has several rules named {', '.join(repeated)}: give each its own name")

    @property
    def rule_sources(self) -> tuple[tuple[str, str], ...]:
        """Name of each extra rule and the text of its module. If the text changes, the same case is judged again."""
        modules = [sys.modules[rule.__module__] for rule in self.extra_rules]
        return tuple(
            (rule.__name__, inspect.getsource(module)) for rule, module in zip(self.extra_rules, modules, strict=True)
        )
