"""Task inference: score with the champion the entities that have no prediction since its training.

What the endpoint answered becomes predictions, too, where the platform keeps its requests.
"""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from mlops.config import InferenceConfig
from mlops.context import Context, task
from mlops.data import endpoint_requests, scoring, table_schemas
from mlops.data.scoring import Scorer
from mlops.data.table_schemas import SHADOW
from mlops.release import champion_scorer


def run(job: Context[InferenceConfig]) -> None:
    """Load the champion, score features with prediction times after its training until `as_of`, append predictions."""
    champion = champion_scorer.load_scorer(job)
    table_schemas.create_predictions(job.own, job.use_case)
    asked = F.col("prediction_time")
    rows = job.data.read_table("features").where((asked <= F.lit(job.config.as_of)) | asked.isNull())
    share = job.config.champion_share
    previous = champion_scorer.load_previous(job, champion) if share < 100 else None
    if previous is None:
        _score(job, rows, champion)
    else:
        is_champions = scoring.is_in_share(job.use_case.entity.key, share)
        _score(job, rows.where(is_champions), champion)
        _score(job, rows.where(~is_champions), previous)
    if job.config.shadow == "on":
        _score_shadow(job, rows)
    endpoint_requests.take_requests(job)


def _score(job: Context[InferenceConfig], rows: DataFrame, scorer: Scorer) -> None:
    features = job.data.full_name("features")
    broken = scoring.append_predictions(job.own, features, rows, scorer)
    if broken:
        job.log.warning(
            "%d rows of %s have no prediction in %s: they break a rule, and the table quarantine says which",
            broken, features, scorer.table,
        )  # fmt: skip
    job.log.info(
        "scored with %s version %d as of %s", job.config.model_name, scorer.version, job.config.as_of.isoformat()
    )


def _score_shadow(job: Context[InferenceConfig], rows: DataFrame) -> None:
    """Let the challenger score the same rows, in Spark's workers.

    Its failure is only logged; the champion's predictions stay.
    """
    try:
        challenger = champion_scorer.load_challenger(job)
        if challenger is None:
            job.log.info("there is no challenger that the gate has accepted: nothing scores in the shadow")
            return
        table_schemas.create_predictions(job.own, job.use_case, SHADOW)
        _score(job, rows, challenger)
    except Exception as error:  # noqa: BLE001 (the champion's predictions are there: nothing here may fail the run)
        job.log.warning("the challenger does not score in the shadow: %s: %s", type(error).__name__, error)


main = task(run)
