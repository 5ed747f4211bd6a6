"""Refuse to add versions to the registered model of another use case."""

from __future__ import annotations

from mlops.config import ModelConfig
from mlops.context import Context
from mlops.contract import ConfigError
from mlops.release.version_record import TrainingRun


def check_model_owner(job: Context[ModelConfig]) -> None:
    """Raise ConfigError if the newest version of the job's model was trained for another use case.

    A tag of its training run names the use case. A run that cannot be read, or that has no such tag, is not compared.
    """
    versions = job.registry.list_versions(job.config.model_name)
    tags = job.registry.read_run_tags(versions[-1].run_id) if versions else {}
    owner = TrainingRun.parse(tags).use_case
    if owner and owner != job.use_case.name:
        raise ConfigError(
            f"{versions[-1]} was trained for the use case {owner!r}, and this one is {job.use_case.name!r}: give the "
            "bundle a model name of its own (variable `model`)"
        )
