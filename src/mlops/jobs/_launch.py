"""Composition root: argv becomes a configuration, a configuration becomes a context, a context runs a task."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import cast

from mlops import config
from mlops.adapters import delta_errors, platform, tables
from mlops.adapters.registry import Registry
from mlops.adapters.tables import Schema
from mlops.config import JobConfig
from mlops.contract import UseCase


@dataclass(frozen=True)
class Context[C: JobConfig]:
    """All that a task may reach."""

    config: C
    use_case: UseCase

    @cached_property
    def own(self) -> Schema:
        """The tables of this target: what the task may write."""
        return tables.schema(self.config.catalog, self.config.schema_name)

    @cached_property
    def data(self) -> Schema:
        """The tables that features and labels are read from; the target's own where the job does not say."""
        own = (self.config.catalog, self.config.schema_name)
        catalog = getattr(self.config, "data_catalog", self.config.catalog)
        name = getattr(self.config, "data_schema", self.config.schema_name)
        remark = "" if (catalog, name) == own else _explain_data(".".join(own), f"{catalog}.{name}")
        return tables.schema(catalog, name, remark)

    @cached_property
    def source(self) -> Schema:
        """The tables of the target below, whose audit table says what was accepted there; of promotion only."""
        catalog, schema, _ = str(getattr(self.config, "source_model", "..")).split(".")
        return tables.schema(catalog, schema)

    @cached_property
    def registry(self) -> Registry:
        """Experiments and models."""
        return Registry(platform.home())

    @cached_property
    def log(self) -> logging.Logger:
        """What the task tells a person while it runs."""
        return logging.getLogger(f"mlops.{self.config.job}")


def _explain_data(own: str, data: str) -> str:
    """Why a table is looked for where the job does not write."""
    return (
        f"this target writes to {own} and reads features and labels from {data} (its variables data_catalog and "
        f"data_schema), so land and ingest in the target that writes to {data}; "
    )


def task[C: JobConfig](run: Callable[[Context[C]], None]) -> Callable[[Sequence[str] | None], None]:
    """Make a task's entry point: `main(argv=None)`, which raises on failure and returns nothing.

    A parameter that is missing, unknown or malformed raises ConfigError before anything is touched. A table that Spark
    cannot read raises DataError with its name and the cure.
    """

    def main(argv: Sequence[str] | None = None) -> None:
        parsed = config.parse(sys.argv[1:] if argv is None else argv)
        # A task starts in seconds only if nothing imports the use case, and with it scikit-learn, before it has to.
        from usecase import USE_CASE

        try:
            run(Context(cast("C", parsed), USE_CASE))
        except Exception as error:
            if explained := delta_errors.explain(error):
                raise explained from error
            raise

    return main
