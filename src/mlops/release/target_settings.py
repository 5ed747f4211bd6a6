"""What a target decides about its versions, read where nobody who starts a job can change it.

Whoever may start the job deployment, as the identity that trains does, may give any parameter: `approval=automatic`, or
tables of his own to be judged on. The bundle writes these settings as properties of the schema, too, which belongs to
whoever deploys; a run whose parameters differ from them is refused.
"""

from __future__ import annotations

from mlops.config import ModelConfig
from mlops.context import Context
from mlops.contract import ConfigError
from mlops.platform import runtime

_CLOSED = {"approval": "required", "approval_binding": "digests"}
"""What holds where the schema does not say."""


def check_settings[C: ModelConfig](job: Context[C]) -> None:
    """Hold the run's parameters against the schema's properties.

    Raises:
        ConfigError: some differ; says all of them.
    """
    config = job.config
    settings = runtime.target_settings(config.catalog, config.schema_name)
    if settings is None:
        return
    wanted = {"data_catalog": config.catalog, "data_schema": config.schema_name, **_CLOSED, **settings}
    given = {name: str(getattr(config, name)) for name in wanted if hasattr(config, name)}
    wrong = [f"{name} is {value!r} and not {wanted[name]!r}" for name, value in given.items() if value != wanted[name]]
    if wrong:
        raise ConfigError(
            f"{'; '.join(wrong)}, as the schema {config.catalog}.{config.schema_name} says: leave the parameter out, "
            "or change the bundle and deploy it"
        )
