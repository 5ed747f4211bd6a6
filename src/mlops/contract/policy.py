"""Types of the model part of the contract: the model, and the limits of gate and monitoring."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from types import FunctionType
from typing import TYPE_CHECKING, Any

from mlops.contract.errors import ConfigError
from mlops.contract.results import GateCase, Rule

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

ExtraRule = Callable[[GateCase], Rule]
"""A fork's own gate rule. It raises DataError where it cannot judge, which refuses the version."""


@dataclass(frozen=True, kw_only=True)
class Model:
    """The unfitted model, its parameters, and the types that its fitted state may contain."""

    build: Callable[[Mapping[str, Any]], Pipeline]
    """Makes an unfitted pipeline from parameters, a subset of the names of `space`; empty: the defaults."""
    space: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    """Values that a search may give to each parameter of `build`; without a search the defaults are used."""
    trusted_types: tuple[str, ...] = ()
    """Types other than scikit-learn's plain ones that a model file may contain: name your own transformers and other
    libraries' estimators here. What a model file declares about itself does not count."""
    packages: tuple[str, ...] = ()
    """Packages beyond scikit-learn that these types come from, as on PyPI: pinned in the model's requirements."""
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class Policy:
    """Limits of the gate, of monitoring and of retraining."""

    holdout: timedelta
    """Length of the newest matured days, whole days, which training leaves out and validation judges on."""
    maturity: timedelta
    """Time after the event from which a label that does not exist counts as missing."""
    min_auc: float
    min_skill: float
    """Floor of 1 - log-loss / entropy of the base rate."""
    max_auc: float
    """Largest plausible AUC; a higher one is taken for a leak."""
    margin_auc: float
    """Largest AUC that a challenger may lose against the champion."""
    margin_log_loss: float
    max_calibration_gap: float
    """Limit of |mean prediction - mean label|."""
    max_latency_ms: float = 100.0
    """Limit of the 99th percentile of the processor time that one row takes."""
    max_size_mb: float = 50.0
    """Limit of the size of all files of a version."""
    slices: tuple[str, ...] = ()
    """Feature columns; in each of their large groups the challenger must not be worse than the champion by more than
    `slice_margin_auc`."""
    slice_margin_auc: float = 0.02
    slice_min_rows: int = 500
    slice_min_positives: int = 50
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
    drift_min_rows: int = 300
    """A week with fewer rows is on hold."""
    missing_floor: float = 0.1
    """Smallest limit of the rise of a column's share of missing values; else `drift_factor` times its clean weeks."""
    min_volume: float = 0.7
    """Smallest share of its usual rows that a week may have; the largest number is the usual one divided by it.

    Weeks outside of these limits for as long as `drift_reference` become the usual ones.
    """
    silence: timedelta = timedelta(days=2)
    """Longest time that a source may bring no new row; reference tables are exempt."""
    max_unlabelled: float = 0.02
    """Largest share of due outcomes that may be unreported. Above it a window is on hold, and a holdout refuses."""
    slice_gap: float = 0.01
    """Standard deviation, from window to window, of a slice's calibration gap minus its window's."""
    slice_factor: float = 3.0
    """Limit of a slice's offset from its usual value, in standard errors of days and `slice_gap` combined."""
    retrain_gap: float = 0.03
    """A matured window whose |mean prediction - mean label| is above this makes retraining due."""
    retrain_age: timedelta = timedelta(days=84)
    """A champion whose newest training day is at least this old makes retraining due."""
    cool_down: timedelta = timedelta(days=28)
    """Time after a training in which no other training starts, so that one cause starts one training."""
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
        """Raise ConfigError unless every extra rule is a function with a name of its own."""
        for rule in self.extra_rules:
            if not isinstance(rule, FunctionType) or not rule.__name__.isidentifier():
                raise ConfigError(f"extra rule {rule!r} is not a function with a name: define it with def in a module")
        names = [rule.__name__ for rule in self.extra_rules]
        if repeated := sorted({name for name in names if names.count(name) > 1}):
            raise ConfigError(f"extra_rules has several rules named {', '.join(repeated)}: give each its own name")

    @property
    def rule_sources(self) -> tuple[tuple[str, str], ...]:
        """Name of each extra rule and the text of the module that defines it: a changed rule judges a case anew."""
        modules = [sys.modules[rule.__module__] for rule in self.extra_rules]
        return tuple(
            (rule.__name__, inspect.getsource(module)) for rule, module in zip(self.extra_rules, modules, strict=True)
        )
