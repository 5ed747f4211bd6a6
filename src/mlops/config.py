"""Parameters of the jobs: one frozen schema per job, which each of its tasks parses.

Databricks passes a job's parameters to every task, and a task can be part of two jobs: the parameter `job` selects the
schema. (Rejected: one schema with the fields of all jobs, in which nothing could be required.) All parameters arrive as
text; all unknown, missing and malformed ones are reported in one message.
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
    """Accept only text that matches a pattern: pydantic would also accept numbers, as seconds since 1970."""

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
"""A person's reason: not blank, on one line and without outer blanks."""
EndpointName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9]([A-Za-z0-9_-]{0,61}[A-Za-z0-9])?$")]
"""Name of a serving endpoint, or off."""
OptionalInt = Annotated[int | None, BeforeValidator(_blank_is_none)]


class JobConfig(BaseModel):
    """Parameters of every job."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    job: str
    """Name of the job that the task runs in."""
    run_id: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
    """The platform's number of the job run."""
    as_of: Instant
    """Moment (UTC) up to which the run sees data: the job's start, or the simulated moment of a replay."""
    catalog: Name
    schema_name: Annotated[Name, Field(alias="schema")]
    """Schema that this target writes to."""
    target: Name = "TARGET"
    """Name of the bundle's target, for commands in messages."""


class SampleConfig(JobConfig):
    """Parameters of the job sample: write the files of the days since..until, both included."""

    job: Literal["sample"]
    landing: str
    since: Day
    until: Day


class IngestionConfig(JobConfig):
    """Parameters of the job ingestion: read landed files into tables, then compute features."""

    job: Literal["ingestion"]
    landing: str
    experiment: str
    """Experiment that keeps the page of each batch."""


class ReadingConfig(JobConfig):
    """Parameters of every job that reads features and labels."""

    data_catalog: Name
    data_schema: Name
    """Schema that features and labels are read from."""


class ModelConfig(JobConfig):
    """Parameters of every job about a model."""

    model_name: ModelName

    @field_validator("model_name")
    @classmethod
    def _lies_beside_its_audit_table(cls, name: str, info: ValidationInfo) -> str:
        # Whoever may start a job may give any parameter, and another schema would have another audit table.
        own = f"{info.data.get('catalog')}.{info.data.get('schema_name')}"
        if {"catalog", "schema_name"} <= info.data.keys() and name.rpartition(".")[0] != own:
            raise ValueError(f"the model has to be in the schema {own}, beside its audit table")
        return name


class _Fits(ReadingConfig, ModelConfig):
    experiment: str
    git_commit: str = ""
    """Commit of the deployed code, after `git:`."""
    search_trials: Annotated[int, Field(ge=0, le=1000)] = 0
    """Number of parameter sets to try besides the defaults; 0: no search."""
    table_versions: Annotated[str, StringConstraints(pattern=r"^(newest|\w+=[0-9]+(,\w+=[0-9]+)*)$")] = "newest"
    """Delta versions of the tables to train on: newest, or as the tag of that name says, features=3,outcomes=2."""
    autologging: Literal["on", "off"] = "off"
    """on: MLflow also logs all parameters of the pipeline and its figures on the training rows."""


class TrainingConfig(_Fits):
    """Parameters of the job training: fit and register one version, then start the deployment job for it."""

    job: Literal["training"]
    deployment_job_id: str
    model_version: OptionalInt = None
    """Set for the task handover only: the version that training registered."""


class PromotionConfig(ModelConfig):
    """Parameters of the job promotion: copy a version of the target below, then start the deployment job for it."""

    job: Literal["promotion"]
    source_model: ModelName
    source_version: Version
    deployment_job_id: str
    model_version: OptionalInt = None
    """Set for the task handover only: the version that the copy became."""


class ValidationConfig(ReadingConfig, ModelConfig):
    """Parameters of the job validation: judge one version."""

    job: Literal["validation"]
    experiment: str
    model_version: Version


class EndpointConfig(ModelConfig):
    """Parameters of the task endpoint. Only the endpoint's name is also a job parameter, which a starter can change."""

    endpoint: EndpointName = "off"
    """Name of the serving endpoint; off: there is none."""
    endpoint_size: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,64}$")] = "Small"
    """Workload size, as the platform names it."""
    endpoint_scale_to_zero: Literal["on", "off"] = "on"
    endpoint_inference_table: Literal["on", "off"] = "off"
    """on: the platform keeps requests and responses in the table <endpoint>_payload of the schema."""
    endpoint_calls_per_minute: Annotated[int, Field(ge=0)] = 0
    """Limit of the endpoint; 0: none."""
    endpoint_latency_ms: Annotated[int, Field(ge=1)] = 1000
    """Limit of the median time of one request when the endpoint is checked."""
    endpoint_rollout: Literal["on", "off"] = "off"
    """on: a new champion starts with no requests at the endpoint; the job rollout raises its share step by step."""
    endpoint_users: str = ""
    """Group that may query the endpoint; empty: nobody but the identity of the jobs."""


class DeploymentConfig(ReadingConfig, EndpointConfig):
    """Parameters of the job deployment: judge one version, wait for approval, make it champion."""

    job: Literal["deployment"]
    experiment: str
    model_version: Version
    approval: Literal["required", "automatic"]
    approval_binding: Literal["digests", "platform"] = "digests"
    """digests: an approval counts for these files and this verdict only; platform: the platform's tag counts, too."""


class _Scores(ReadingConfig, ModelConfig):
    champion_share: Annotated[int, Field(ge=1, le=100)] = 100
    """Per cent of the entities that a new champion answers for; the version before it answers for the others."""
    endpoint: EndpointName = "off"
    """Endpoint whose answers become predictions; off: none."""
    endpoint_inference_table: Literal["on", "off"] = "off"
    """on: the platform keeps the requests of the endpoint, see `EndpointConfig`."""
    shadow: Literal["on", "off"] = "off"
    """on: a challenger that the gate has accepted scores the same rows into a table of its own."""


class InferenceConfig(_Scores):
    """Parameters of the job inference: score entities that have no prediction."""

    job: Literal["inference"]


class StreamingConfig(ReadingConfig, ModelConfig):
    """Parameters of the job streaming: score rows of features as they come."""

    job: Literal["streaming"]
    streaming: Literal["on", "off"] = "off"
    """on: the job's condition lets the task run."""
    checkpoint_folder: str
    """Folder that remembers which rows were taken. It is given to the task alone: no starter can change it."""


class MonitoringConfig(ReadingConfig, ModelConfig):
    """Parameters of the job monitoring: measure the champion on matured labels."""

    job: Literal["monitoring"]
    experiment: str
    data_profiling: Literal["on", "off"]
    """on: the platform also profiles the predictions; a laptop has no such service and logs that it is skipped."""


class RollbackConfig(EndpointConfig):
    """Parameters of the job rollback: make the previous champion the champion again."""

    job: Literal["rollback"]
    reason: Reason


class RolloutConfig(ReadingConfig, EndpointConfig):
    """Parameters of the job rollout: take one step of the rollout of a new champion."""

    job: Literal["rollout"]
    rollout_rows: Annotated[int, Field(ge=100, le=100_000)] = 5000
    """Largest number of recent rows, and of matured rows, that a step sends to the new champion."""


class ReviewConfig(ModelConfig):
    """Parameters of the job review: record a person's decision on a version."""

    job: Literal["review"]
    model_version: Version
    decision: Literal["approved", "rejected"]
    reason: Reason


class IntegrationConfig(_Fits, _Scores):
    """Parameters of the job integration: the whole loop on sample data in a schema of its own."""

    job: Literal["integration"]
    landing: str
    since: Day
    until: Day
    approval: Literal["automatic"]
    data_profiling: Literal["off"] = "off"
    model_version: OptionalInt = None
    """Set for the tasks after training: the version that training registered."""


CONFIGS: dict[str, type[JobConfig]] = {
    "sample": SampleConfig,
    "ingestion": IngestionConfig,
    "training": TrainingConfig,
    "promotion": PromotionConfig,
    "validation": ValidationConfig,
    "deployment": DeploymentConfig,
    "inference": InferenceConfig,
    "streaming": StreamingConfig,
    "monitoring": MonitoringConfig,
    "review": ReviewConfig,
    "rollback": RollbackConfig,
    "rollout": RolloutConfig,
    "integration": IntegrationConfig,
}


def parse_arguments(argv: Sequence[str]) -> JobConfig:
    """Parse `--name=value` arguments into the schema of the job that they name.

    Raises:
        ConfigError: names every argument that is missing, unknown or malformed, and what is accepted.
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
    """Check the parameters that a person gives for a job, before the job is started.

    Raises:
        ConfigError: names every parameter that is unknown to the job or malformed. Missing ones are not reported.
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
