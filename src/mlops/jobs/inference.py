"""Task inference: score with the champion the entities that have no prediction since its training."""

from __future__ import annotations

from pyspark.sql import functions as F

from mlops.config import InferenceConfig
from mlops.context import Context, task
from mlops.data import scoring, table_schemas
from mlops.release import champion_scorer


def run(job: Context[InferenceConfig]) -> None:
    """Load the champion, score features with prediction times after its training until `as_of`, append predictions."""
    scorer = champion_scorer.load_scorer(job)
    table_schemas.create_predictions(job.own, job.use_case)
    asked, features = F.col("prediction_time"), job.data.full_name("features")
    rows = job.data.read_table("features").where((asked <= F.lit(job.config.as_of)) | asked.isNull())
    broken = scoring.append_predictions(job.own, features, rows, scorer)
    if broken:
        job.log.warning(
            "%d rows of %s have no prediction: they break a rule, and the table quarantine says which", broken, features
        )
    version = f"{job.config.model_name} version {scorer.version}"
    job.log.info("scored with %s as of %s", version, job.config.as_of.isoformat())


main = task(run)
