"""Run a task: parse its arguments, make its context and call its function."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import entry_points
from typing import cast

from mlops import config
from mlops.config import JobConfig, ModelConfig
from mlops.contract import ConfigError, UseCase
from mlops.platform import delta_errors, runtime, tables
from mlops.platform.registry import Registry
from mlops.platform.tables import Schema

USE_CASE_GROUP = "mlops.use_case"
"""Entry-point group in which a wheel names its use case, as in `default = "usecase:USE_CASE"`."""


@dataclass(frozen=True)
class Context[C: JobConfig]:
    """What a task works with: its configuration, use case, tables, registry and log."""

    config: C
    use_case: UseCase

    @cached_property
    def own(self) -> Schema:
        """The tables of this target, which the task may write."""
        prefix = self.use_case.table_prefix
        return tables.open_schema(self.config.catalog, self.config.schema_name, prefix=prefix)

    @cached_property
    def data(self) -> Schema:
        """The tables that features and labels are read from; those of the target if the job has no such parameter."""
        own = (self.config.catalog, self.config.schema_name)
        catalog = getattr(self.config, "data_catalog", self.config.catalog)
        name = getattr(self.config, "data_schema", self.config.schema_name)
        remark = "" if (catalog, name) == own else _explain_data(".".join(own), f"{catalog}.{name}")
        return tables.open_schema(catalog, name, remark, self.use_case.table_prefix)

    @cached_property
    def source(self) -> Schema:
        """The tables of the target that promotion copies from, whose audit table says what was accepted there."""
        catalog, schema, _ = str(getattr(self.config, "source_model", "..")).split(".")
        return tables.open_schema(catalog, schema)

    @cached_property
    def registry(self) -> Registry:
        """The MLflow experiments and models."""
        return Registry(runtime.home())

    @cached_property
    def log(self) -> logging.Logger:
        """The logger of the task's job."""
        return logging.getLogger(f"mlops.{self.config.job}")


def _explain_data(own: str, data: str) -> str:
    """Say why a table is read from a schema that the job does not write, for the error if it is missing."""
    return (
        f"this target writes to {own} and reads features and labels from {data} (its variables data_catalog and "
        f"data_schema), so land and ingest in the target that writes to {data}; "
    )


def load_use_case() -> UseCase:
    """Load the use case that the installed wheel declares.

    The entry point names it, so that no module here imports it by name. It is loaded after the arguments are checked,
    since it imports scikit-learn, which takes seconds.

    Raises:
        ConfigError: no installed package declares a use case, or more than one does.
    """
    declared = entry_points(group=USE_CASE_GROUP)
    if len(declared) != 1:
        names = ", ".join(sorted(point.value for point in declared)) or "none"
        raise ConfigError(f"one use case is expected in the entry-point group {USE_CASE_GROUP}; declared: {names}")
    return cast("UseCase", next(iter(declared)).load())


def task[C: JobConfig](run: Callable[[Context[C]], None]) -> Callable[[Sequence[str] | None], None]:
    """Make a task's entry point: `main(argv=None)`, which raises on failure and returns nothing.

    A parameter that is missing, unknown or malformed raises ConfigError before anything is touched. A table that Spark
    cannot read raises DataError with its name and the cure; an error of ours in a Spark worker is raised as itself.
    """

    def main(argv: Sequence[str] | None = None) -> None:
        parsed = config.parse_arguments(sys.argv[1:] if argv is None else argv)
        try:
            context = Context(cast("C", parsed), load_use_case())
            if isinstance(parsed, ModelConfig):
                _ = context.registry  # imports MLflow, which takes a second, while a laptop's Spark still starts
            run(context)
        except Exception as error:
            if explained := delta_errors.explain_error(error):
                raise explained from error
            raise

    return main
