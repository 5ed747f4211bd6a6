"""Task inference: score with the champion the entities that have no prediction since its training."""

from __future__ import annotations

from pyspark.sql import functions as F

from mlops.config import InferenceConfig
from mlops.context import Context, task
from mlops.contract import ModelError
from mlops.contract.model_version import require_fact
from mlops.data import scoring, table_schemas
from mlops.data.scoring import Scorer
from mlops.release.aliases import load_serving


def run(job: Context[InferenceConfig]) -> None:
    """Load the champion, score features with prediction times after its training until `as_of`, append predictions."""
    champion = load_serving(job)
    if champion is None:
        raise ModelError(f"{job.config.model_name} has no champion yet: train, or promote a version, and deploy it")
    pipeline = job.registry.load_model(champion, job.use_case.model)
    table_schemas.create_predictions(job.own, job.use_case)
    trained = require_fact(champion.facts.trained_as_of, champion)
    asked = F.col("prediction_time")
    rows = job.data.read_table("features").where((asked <= F.lit(job.config.as_of)) | asked.isNull())
    scorer = Scorer(job.use_case, pipeline, champion.number, trained, job.config.as_of)
    broken = scoring.append_predictions(job.own, job.data.full_name("features"), rows, scorer)
    if broken:
        job.log.warning(
            "%d rows of %s have no prediction: they break a rule, and the table quarantine says which",
            broken, job.data.full_name("features"),
        )  # fmt: skip
    job.log.info("scored with %s as of %s", champion, job.config.as_of.isoformat())


main = task(run)
