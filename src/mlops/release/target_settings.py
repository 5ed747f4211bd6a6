"""Compare a run's parameters with the target's settings, which the person who starts a job cannot change.

An identity that may start the deployment job, as that of training does, may give any parameter: `approval=automatic`,
or its own tables to judge on. So the bundle also writes these settings as properties of the schema, which the deployer
owns. A run whose parameters differ from the properties is refused.
"""

from __future__ import annotations

from mlops.config import ModelConfig
from mlops.context import Context
from mlops.contract import ConfigError
from mlops.platform import runtime

_CLOSED = {"approval": "required", "approval_binding": "digests"}
"""Settings that hold if the schema lacks the property."""


def check_settings[C: ModelConfig](job: Context[C]) -> None:
    """Compare the run's parameters with the schema's properties.

    Raises:
        ConfigError: some differ; names all of them.
    """
    config = job.config
    settings = runtime.target_settings(config.catalog, config.schema_name)
    if settings is None:
        return
    expected = {"data_catalog": config.catalog, "data_schema": config.schema_name, **_CLOSED, **settings}
    given = {name: str(getattr(config, name)) for name in expected if hasattr(config, name)}
    wrong = [
        f"{name} is {value!r} and not {expected[name]!r}" for name, value in given.items() if value != expected[name]
    ]
    if wrong:
        raise ConfigError(
            f"{'; '.join(wrong)}, as the schema {config.catalog}.{config.schema_name} says: leave the parameter out, "
            "or change the bundle and deploy it"
        )
