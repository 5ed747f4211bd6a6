"""Task streaming: score with the champion the rows of features that came since the last run, as a stream.

It makes the predictions that the task inference would make, by the same function, and reads only what is new. The
watermark is the champion's training: a row that is asked later is scored whenever it comes. The checkpoint says which
rows were taken, the table what they are now, and an append under a transaction identifier leaves out those that have a
prediction: a run that was killed at any point is carried on by the next one, and no row is lost or scored twice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlops.config import StreamingConfig
from mlops.context import Context, task
from mlops.data import scoring, table_schemas
from mlops.platform import storage, streams
from mlops.platform.tables import Schema
from mlops.release import champion_scorer

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


def run(job: Context[StreamingConfig]) -> None:
    """Load the champion, and score the new rows of features with prediction times after its training."""
    scorer = champion_scorer.load_scorer(job)
    table_schemas.create_predictions(job.own, job.use_case)
    places = [(s.warehouse, s.catalog, s.name, s.remark, s.prefix) for s in (job.own, job.data)]

    def score(batch: DataFrame, _: int) -> None:
        own, data = (Schema(batch.sparkSession, *place) for place in places)
        scoring.append_of_batch(own, data, batch, scorer)

    streams.process_new_rows(job.data, "features", storage.resolve_local_path(job.config.checkpoint_folder), score)
    features = job.data.full_name("features")
    if broken := scoring.count_broken(job.own, job.config.as_of, job.config.as_of, scoring.SOURCE)[scoring.SOURCE]:
        job.log.warning("%d rows of %s have no prediction: the table quarantine says why", broken, features)
    job.log.info("took the stream of %s as of %s", features, job.config.as_of.isoformat())


main = task(run)
