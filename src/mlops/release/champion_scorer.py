"""Load the champion once, as what scores rows in a batch and in a stream."""

from __future__ import annotations

from mlops.config import InferenceConfig, StreamingConfig
from mlops.context import Context
from mlops.contract import ModelError
from mlops.contract.model_version import require_fact
from mlops.data.scoring import Scorer
from mlops.release.aliases import load_serving


def load_scorer(job: Context[InferenceConfig] | Context[StreamingConfig]) -> Scorer:
    """Load the champion.

    Raises:
        ModelError: there is none.
    """
    champion = load_serving(job)
    if champion is None:
        raise ModelError(f"{job.config.model_name} has no champion yet: train, or promote a version, and deploy it")
    pipeline = job.registry.load_model(champion, job.use_case.model)
    trained = require_fact(champion.facts.trained_as_of, champion)
    return Scorer(job.use_case, pipeline, champion.number, trained, job.config.as_of)
