"""What a use case promises, and what the machinery answers: all that both sides import.

A use case fills in one `UseCase`. Everything here is a frozen value or a protocol and imports nothing else of ours.
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

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date

from mlops.contract.data import (
    Action,
    Column,
    Columns,
    ColumnType,
    Entity,
    Expectation,
    Feature,
    Known,
    Label,
    Outcome,
    Source,
    Values,
    Window,
    feature,
)
from mlops.contract.errors import (
    ApprovalPending,
    BatchBlocked,
    ConfigError,
    Conflict,
    DataError,
    Forbidden,
    MlopsError,
    ModelError,
    UntrustedModel,
)
from mlops.contract.policy import ExtraRule, Model, Policy
from mlops.contract.results import Decision, GateCase, Metrics, Rule, Verdict
from mlops.contract.text import clean_text

__all__ = [
    "Action",
    "ApprovalPending",
    "BatchBlocked",
    "Column",
    "ColumnType",
    "Columns",
    "ConfigError",
    "Conflict",
    "DataError",
    "Decision",
    "Entity",
    "Expectation",
    "ExtraRule",
    "Feature",
    "Forbidden",
    "GateCase",
    "Known",
    "Label",
    "Metrics",
    "MlopsError",
    "Model",
    "ModelError",
    "Outcome",
    "Policy",
    "Rule",
    "Source",
    "UntrustedModel",
    "UseCase",
    "Values",
    "Verdict",
    "Window",
    "clean_text",
    "feature",
]


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
