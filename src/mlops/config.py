"""What a job is told at its start: one frozen schema per job, accepted by each of its tasks.

Databricks pushes a job's parameters down to every task, so a task may stand in two jobs and meet two schemas: the
parameter `job` says which one holds. (Rejected: one schema with every field of all jobs, in which nothing is required.)
All parameters arrive as text; unknown, missing and malformed ones are all reported at once.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from mlops.contract import ConfigError, clean_text

_DATE = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
_MOMENT = re.compile(_DATE + r"([T ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?(Z|[+-][0-9]{2}:?[0-9]{2})?)?")
_YEARS = range(1970, 2201)


def _require_pattern(pattern: re.Pattern[str], example: str) -> BeforeValidator:
    """Texts of one form only: pydantic also takes numbers, as seconds since 1970."""

    def check(value: object) -> object:
        text = value.isoformat() if isinstance(value, date) else value
        if not isinstance(text, str) or not pattern.fullmatch(text) or int(text[:4]) not in _YEARS:
            raise ValueError(f"write it as {example}, in a year from {_YEARS[0]} to {_YEARS[-1]}")
        return value

    return BeforeValidator(check)


def _to_utc(value: datetime) -> datetime:
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def _blank_is_none(value: object) -> object:
    return None if value == "" else value


def _clean(value: object) -> object:
    return clean_text(value) if isinstance(value, str) else value


_NAME = r"[A-Za-z0-9_]{1,255}"
Name = Annotated[str, StringConstraints(pattern=rf"^{_NAME}$")]
"""One part of a Unity Catalog name: letters, digits, underscore."""
ModelName = Annotated[str, StringConstraints(pattern=rf"^{_NAME}\.{_NAME}\.{_NAME}$")]
"""catalog.schema.model"""
Instant = Annotated[datetime, _require_pattern(_MOMENT, "2013-04-01T00:00:00Z"), AfterValidator(_to_utc)]
"""A moment in UTC; one without zone is taken as UTC, a day as its midnight."""
Day = Annotated[date, _require_pattern(re.compile(_DATE), "2013-04-01")]
Version = Annotated[int, Field(ge=1)]
"""A model version."""
Reason = Annotated[str, BeforeValidator(_clean), StringConstraints(min_length=1, max_length=500)]
"""Why a person did something: not blank, on one line and without outer blanks."""
OptionalInt = Annotated[int | None, BeforeValidator(_blank_is_none)]


class JobConfig(BaseModel):
    """What every job is told."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    job: str
    """Which job the task runs in."""
    run_id: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
    """The job run, as the platform numbers it."""
    as_of: Instant
    """Everything known by this moment counts, nothing later: the job's start, or the simulated moment in a replay."""
    catalog: Name
    schema_name: Annotated[Name, Field(alias="schema")]
    """Where this target writes."""
    target: Name = "TARGET"
    """Of the bundle: what messages say to a person who has to type a command."""


class SampleConfig(JobConfig):
    """Land the sample's files of the days since..until, both included."""

    job: Literal["sample"]
    landing: str
    since: Day
    until: Day


class IngestionConfig(JobConfig):
    """Files of the landing folder become tables, then features."""

    job: Literal["ingestion"]
    landing: str
    experiment: str
    """Where the page of each delivery is kept."""


class ReadingConfig(JobConfig):
    """What every job that reads features and labels is told."""

    data_catalog: Name
    data_schema: Name
    """Where features and labels are read."""


class ModelConfig(JobConfig):
    """What every job about a model is told."""

    model_name: ModelName

    @field_validator("model_name")
    @classmethod
    def _lies_beside_its_audit_table(cls, name: str, info: ValidationInfo) -> str:
        # Who may start a job may give any parameter: another schema would have another audit table.
        own = f"{info.data.get('catalog')}.{info.data.get('schema_name')}"
        if {"catalog", "schema_name"} <= info.data.keys() and name.rpartition(".")[0] != own:
            raise ValueError(f"the model has to be in the schema {own}, beside its audit table")
        return name


class _Fits(ReadingConfig, ModelConfig):
    experiment: str
    git_commit: str = ""
    """Of the deployed code, after `git:`."""
    search_trials: Annotated[int, Field(ge=0, le=1000)] = 0
    """How many sets of parameters to try beside the defaults; 0: no search."""
    table_versions: Annotated[str, StringConstraints(pattern=r"^(newest|\w+=[0-9]+(,\w+=[0-9]+)*)$")] = "newest"
    """Train on the tables as they were, as in the tag of that name: features=3,outcomes=2; newest: as they are."""


class TrainingConfig(_Fits):
    """Fit and register one version; then hand it over to the deployment job."""

    job: Literal["training"]
    deployment_job_id: str
    model_version: OptionalInt = None
    """Only handover is told: the version that training registered."""


class PromotionConfig(ModelConfig):
    """Copy one version of the target below, and hand it over to this target's deployment job."""

    job: Literal["promotion"]
    source_model: ModelName
    source_version: Version
    deployment_job_id: str
    model_version: OptionalInt = None
    """Only handover is told: the version that the copy became."""


class ValidationConfig(ReadingConfig, ModelConfig):
    """Judge one version."""

    job: Literal["validation"]
    experiment: str
    model_version: Version


class DeploymentConfig(ReadingConfig, ModelConfig):
    """Judge one version, wait for approval, make it champion."""

    job: Literal["deployment"]
    experiment: str
    model_version: Version
    approval: Literal["required", "automatic"]
    approval_binding: Literal["digests", "platform"] = "digests"
    """What counts as an approval: one for these files and this verdict only, or the platform's bare tag, too."""


class InferenceConfig(ReadingConfig, ModelConfig):
    """Score what has not been scored."""

    job: Literal["inference"]


class MonitoringConfig(ReadingConfig, ModelConfig):
    """Measure the champion on matured labels."""

    job: Literal["monitoring"]
    experiment: str
    data_profiling: Literal["on", "off"]
    """Whether the platform profiles the predictions, too; a laptop has no such service and says so."""


class RollbackConfig(ModelConfig):
    """Put the previous champion back."""

    job: Literal["rollback"]
    reason: Reason


class ReviewConfig(ModelConfig):
    """Record a person's decision on a version."""

    job: Literal["review"]
    model_version: Version
    decision: Literal["approved", "rejected"]
    reason: Reason


class IntegrationConfig(_Fits):
    """The whole loop on sample data in a schema of its own."""

    job: Literal["integration"]
    landing: str
    since: Day
    until: Day
    approval: Literal["automatic"]
    data_profiling: Literal["off"] = "off"
    model_version: OptionalInt = None
    """Told to the tasks that come after training: the version that it registered."""


CONFIGS: dict[str, type[JobConfig]] = {
    "sample": SampleConfig,
    "ingestion": IngestionConfig,
    "training": TrainingConfig,
    "promotion": PromotionConfig,
    "validation": ValidationConfig,
    "deployment": DeploymentConfig,
    "inference": InferenceConfig,
    "monitoring": MonitoringConfig,
    "review": ReviewConfig,
    "rollback": RollbackConfig,
    "integration": IntegrationConfig,
}


def parse_arguments(argv: Sequence[str]) -> JobConfig:
    """Read `--name=value` arguments into the schema of the job they name.

    Raises:
        ConfigError: naming every argument that is missing, unknown or malformed, and what would do.
    """
    given: dict[str, str] = {}
    for argument in argv:
        name, equals, value = argument.removeprefix("--").partition("=")
        if not argument.startswith("--") or not equals:
            raise ConfigError(f"argument {argument!r} is not of the form --name=value")
        if name in given:
            raise ConfigError(f"parameter {name!r} is given twice")
        given[name] = value
    schema = CONFIGS.get(given.get("job", ""))
    if schema is None:
        raise ConfigError(f"parameter 'job' is {given.get('job')!r}; it must be one of {', '.join(CONFIGS)}")
    try:
        return schema.model_validate(given)
    except ValidationError as error:
        raise ConfigError("; ".join(_describe_problem(schema, problem) for problem in error.errors())) from None


def check_given(job: str, given: Mapping[str, str]) -> None:
    """Refuse what a job would refuse of the parameters that a person gives, before the job is started.

    Raises:
        ConfigError: naming every one that is unknown to the job or malformed; nothing is said of what is not given.
    """
    schema = CONFIGS[job]
    try:
        schema.model_validate({**given, "job": job})
    except ValidationError as error:
        problems = [problem for problem in error.errors() if problem["type"] != "missing"]
        if problems:
            raise ConfigError("; ".join(_describe_problem(schema, problem) for problem in problems)) from None


def _describe_problem(schema: type[JobConfig], problem: object) -> str:
    detail = dict(problem)  # type: ignore[call-overload]
    name = ".".join(str(part) for part in detail["loc"])
    names = sorted(f.alias or n for n, f in schema.model_fields.items())
    job = schema.__name__.removesuffix("Config").lower()
    match detail["type"]:
        case "missing":
            return f"parameter {name!r} is missing"
        case "extra_forbidden":
            return f"parameter {name!r} is unknown to job {job!r}: it takes {', '.join(names)}"
        case "value_error":
            return f"parameter {name!r} is {detail['input']!r}: {detail['ctx']['error']}"
        case _:
            return f"parameter {name!r} is {detail['input']!r}: {detail['msg'][:1].lower()}{detail['msg'][1:]}"
