"""Score with the champion what it has not scored: each entity once per prediction time and version, appended."""

from __future__ import annotations

from datetime import datetime

from pyspark.sql import functions as F

from mlops.config import InferenceConfig
from mlops.contract import ModelError
from mlops.jobs import _layout, _matured
from mlops.jobs._champion import serving
from mlops.jobs._launch import Context, task


def run(job: Context[InferenceConfig]) -> None:
    """Resolve the champion once, score the features that came after its training, append."""
    champion = serving(job)
    if champion is None:
        raise ModelError(f"{job.config.model_name} has no champion yet: train, or promote a version, and deploy it")
    pipeline = job.registry.load(champion, job.use_case.model)
    _layout.create_predictions(job.own, job.use_case)
    key = [column.name for column in _layout.entity_columns(job.use_case) if column.name != "event_time"]
    trained = datetime.fromisoformat(champion.tags["trained_as_of"])
    done = job.own.read("predictions").where(F.col("prediction_time") > F.lit(trained)).select(*key)
    rows = job.data.read("features").where(
        (F.col("prediction_time") > F.lit(trained)) & (F.col("prediction_time") <= F.lit(job.config.as_of))
    )
    use_case = job.use_case
    columns = [column.name for column in _layout.entity_columns(use_case)]
    scored = _matured.scored(rows.join(done, key, "left_anti"), use_case, pipeline, columns, "prediction")
    scored = scored.withColumn("scored_at", F.lit(job.config.as_of)).withColumn(
        "model_version", F.lit(champion.number).cast("bigint")
    )
    # Runs of this job queue up behind each other, so nobody else adds the same; a merge would read the table once more.
    job.own.append("predictions", scored)
    job.log.info("scored with %s as of %s", champion, job.config.as_of.isoformat())


main = task(run)
