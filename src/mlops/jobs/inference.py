"""Task inference: score with the champion the entities that have no prediction since its training."""

from __future__ import annotations

from pyspark.sql import functions as F

from mlops.config import InferenceConfig
from mlops.context import Context, task
from mlops.contract import ModelError
from mlops.contract.model_version import require_fact
from mlops.data import scoring, table_schemas
from mlops.questions import question_of
from mlops.release.aliases import load_serving


def run(job: Context[InferenceConfig]) -> None:
    """Load the champion, score features with prediction times after its training until `as_of`, append predictions."""
    champion = load_serving(job)
    if champion is None:
        raise ModelError(f"{job.config.model_name} has no champion yet: train, or promote a version, and deploy it")
    pipeline = job.registry.load_model(champion, job.use_case.model)
    table_schemas.create_predictions(job.own, job.use_case)
    key = [column.name for column in table_schemas.entity_columns(job.use_case) if column.name != "event_time"]
    trained = require_fact(champion.facts.trained_as_of, champion)
    done = job.own.read_table("predictions").where(F.col("prediction_time") > F.lit(trained)).select(*key)
    rows = job.data.read_table("features").where(
        (F.col("prediction_time") > F.lit(trained)) & (F.col("prediction_time") <= F.lit(job.config.as_of))
    )
    use_case = job.use_case
    columns = [column.name for column in table_schemas.entity_columns(use_case)]
    names = {name: name for name, _, _ in question_of(use_case.label).score_columns}
    scored = scoring.score_rows(rows.join(done, key, "left_anti"), use_case, pipeline, columns, names)
    scored = scored.withColumn("scored_at", F.lit(job.config.as_of)).withColumn(
        "model_version", F.lit(champion.number).cast("bigint")
    )
    # Runs of this job are queued, so no other run appends the same rows; a merge would read the table once more.
    job.own.append_rows("predictions", scored)
    job.log.info("scored with %s as of %s", champion, job.config.as_of.isoformat())


main = task(run)
