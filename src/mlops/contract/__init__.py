"""The contract between a use case and mlops: the types that both import.

A use case makes one `UseCase`. All types here are frozen values or protocols, and import no other package of ours.
All times are UTC. Errors that a user can mend share one base class, and their text says what to do:

    MlopsError                base; caught by the command lines, which print it without a stack trace
    ├── ConfigError           a parameter is missing, unknown or malformed
    ├── DataError             the data are missing or unusable: nothing landed, no matured label, one class only
    │   └── BatchBlocked      an expectation marked "block" failed: nothing of the batch was published
    ├── ModelError            a model, version or alias is missing
    │   └── UntrustedModel    a model's files differ from those that were judged, or contain what is not allowed
    ├── ApprovalPending       a person has to decide first
    ├── Forbidden             the registry refuses this identity
    └── Conflict              another run changed the same thing first; nothing was changed
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date

from mlops.contract.checks import check_keys, check_kind, check_prefix
from mlops.contract.data import (
    Action,
    Column,
    Columns,
    ColumnType,
    Entity,
    Expectation,
    Feature,
    FileFormat,
    Kind,
    Known,
    Label,
    Outcome,
    Source,
    Values,
    Window,
    feature,
)
from mlops.contract.declared import Declared
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
from mlops.contract.names import check_names
from mlops.contract.policy import DRIFT_MIN_ROWS, ExtraRule, Limit, Model, Policy, Share, Value, resolve_limit
from mlops.contract.replay import Replay
from mlops.contract.results import Decision, GateCase, Metrics, Rule, Verdict
from mlops.contract.text import clean_text

__all__ = [
    "DRIFT_MIN_ROWS",
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
    "FileFormat",
    "Forbidden",
    "GateCase",
    "Kind",
    "Known",
    "Label",
    "Limit",
    "Metrics",
    "MlopsError",
    "Model",
    "ModelError",
    "Outcome",
    "Policy",
    "Replay",
    "Rule",
    "Share",
    "Source",
    "UntrustedModel",
    "UseCase",
    "Value",
    "Values",
    "Verdict",
    "Window",
    "clean_text",
    "feature",
    "resolve_limit",
]


@dataclass(frozen=True, kw_only=True)
class UseCase(Declared):
    """All that a use case declares; the jobs run the one of the entry point `mlops.use_case`."""

    name: str
    question: str
    sample: Callable[[date, date], Iterable[tuple[str, str]]]
    """Makes the sample: from first and last day to pairs of path below the landing folder and CSV text."""
    sources: tuple[Source, ...]
    entity: Entity
    features: tuple[Feature, ...]
    label: Label
    model: Model
    policy: Policy
    replay: Replay | None = None
    """Days of the sample that `laptop demo` replays and that tests use; None: there is no sample."""
    table_prefix: str = ""
    """Prefix of every table name except the audit table's, such as `bikes_`. Two use cases in one schema need it."""

    def __post_init__(self) -> None:
        """Raise ConfigError if a name refers to nothing, or if label, model, policy and keys do not fit each other."""
        super().__post_init__()
        check_prefix(self.table_prefix)
        check_kind(self.label, self.model, self.policy)
        check_names(self.sources, self.entity, self.features, self.label, self.policy)
        check_keys(self.entity, self.source(self.entity.source), self.label, self.source(self.label.source))

    def source(self, name: str) -> Source:
        """Return the source with that name; raises ConfigError with the known names."""
        for source in self.sources:
            if source.name == name:
                return source
        raise ConfigError(f"no source {name!r}; there are {', '.join(s.name for s in self.sources)}")
