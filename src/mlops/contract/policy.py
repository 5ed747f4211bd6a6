"""The model, and the limits that it is held to: when it is good enough, and when it has stopped being so."""

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
    """A week may have this share of its usual rows, or the usual number divided by it.

    Weeks that are off for as long as `drift_reference` are the usual ones from then on.
    """
    silence: timedelta = timedelta(days=2)
    """A feed that has told nothing new for this long is silent; reference tables may be."""
    max_unlabelled: float = 0.02
    """A window in which a greater share of outcomes has not been reported when due is on hold; in a holdout
    it refuses."""
    slice_gap: float = 0.01
    """How far a slice's calibration gap, less its window's, wanders from window to window beyond the chance of days."""
    slice_factor: float = 3.0
    """It may be this many times as far from its usual place as chance and `slice_gap` together make it."""
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
