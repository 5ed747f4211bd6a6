"""Questions that come as a stream get the features that a batch makes: the same function, once per micro-batch."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import sys
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest
from pyspark import cloudpickle
from pyspark.sql import functions as F
from test_jobs_loop import DATA, LATER, MARCH, laptop_in
from toy import TOY, frame_of

from mlops.contract import DataError
from mlops.data import feature_blocks, scoring, table_schemas
from mlops.data.scoring import Scorer
from mlops.platform import streams
from mlops.platform.tables import Schema

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # Spark's server cannot import this file
TRAINED = datetime(2024, 3, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.mark.nightly
def test_a_stream_of_questions_gets_the_features_of_the_batch(spark, tmp_path, monkeypatch):
    laptop = laptop_in(tmp_path, monkeypatch)
    laptop.land("2023-12-31", "2024-03-01")
    own = laptop.ingest(MARCH)
    made = own.read_table("features").toPandas()
    asked = F.col("due") - feature_blocks.to_interval(TOY.entity.lead)
    due = (
        own.read_table("orders")
        .withColumn(feature_blocks.PREDICTION_TIME, asked)
        .where(asked <= F.lit(MARCH).cast("timestamp"))
    )
    questions, answers, checkpoint = (str(tmp_path / name) for name in ("questions", "answers", "checkpoint"))

    where = (own.warehouse, own.catalog, own.name)

    def answer(batch, number):
        rows = feature_blocks.make_features(Schema(batch.sparkSession, *where), TOY, batch)
        if rows is not None:
            once = {"txnAppId": "answers", "txnVersion": str(number)}  # a batch that is repeated is no commit
            rows.write.format("delta").mode("append").options(**once).save(answers)

    def stream():
        arriving = spark.readStream.format("delta").load(questions)
        query = arriving.writeStream.foreachBatch(answer).option("checkpointLocation", checkpoint)
        query.trigger(availableNow=True).start().awaitTermination()
        return spark.read.format("delta").load(answers).toPandas()

    for since, until in (("2024-01-01", "2024-02-01"), ("2024-02-01", "2024-03-03")):
        rows = due.where((F.col("due") >= since) & (F.col("due") < until))
        rows.write.format("delta").mode("append").save(questions)
        there = stream()
        wanted = made[made["event_time"] < until]
        key = ["id", "prediction_time"]
        columns = [*key, "event_time", *(feature.name for feature in TOY.features)]
        pd.testing.assert_frame_equal(
            there.sort_values(key, ignore_index=True)[columns], wanted.sort_values(key, ignore_index=True)[columns]
        )
    assert len(stream()) == len(made) > 3000


class Formula:
    """A model that raises for kind z."""

    feature_names_in_ = ("size", "kind", "due_around")
    classes_ = (0, 1)

    def predict_proba(self, rows):
        if (rows["kind"] == "z").any():
            raise ValueError("unknown kind")
        p = rows["size"].to_numpy() / 1000
        return np.column_stack([1 - p, p])


def digest(rows):
    return hashlib.sha256(rows.drop(columns="scored_at").to_csv().encode()).hexdigest()


@pytest.mark.nightly
def test_a_stream_that_is_killed_around_each_write_loses_and_repeats_nothing(spark, tmp_path):
    own = Schema(spark, tmp_path / "warehouse", "prod", "toy")
    table_schemas.create_features(own, TOY)
    table_schemas.create_predictions(own, TOY)
    marks, checkpoint, where = tmp_path / "marks", tmp_path / "checkpoint", (own.warehouse, own.catalog, own.name)
    marks.mkdir()
    made = {}

    def rows_of(ids, hour, kind="x", batch=1):
        moment = TRAINED + HOUR * hour
        rows = [(n, moment, moment, float(n % 1000), kind, 1.0, batch) for n in ids]
        made.update({row[0]: row[3] / 1000 for row in rows if kind == "x"})
        return spark.createDataFrame(rows, own.read_table("features").schema)

    def take():
        scorer, number_of_run = Scorer(TOY, Formula(), 7, TRAINED, TRAINED + 9 * HOUR), len(list(marks.iterdir()))

        def score(batch, number):
            def end_once(moment):
                mark = marks / f"{number}-{moment}"
                if not mark.exists():
                    mark.touch()
                    os.kill(os.getpid(), signal.SIGKILL)

            end_once("before")
            schema = Schema(batch.sparkSession, *where)
            scoring.append_of_batch(schema, schema, batch, scorer)
            end_once("after")

        kills = 0
        for _ in range(9):
            try:
                streams.process_new_rows(own, "features", checkpoint, score)
                break
            except DataError:
                raise
            except Exception:  # noqa: BLE001 (Spark says in many ways that a process has gone)
                kills += 1
        assert kills == len(list(marks.iterdir())) - number_of_run
        return kills

    own.append_rows("features", rows_of(range(100), 1))
    own.append_rows("features", rows_of([1000], 1, kind="z"))
    assert take() == 2  # before and after the append
    # Some rows are replaced, as by a correction, in a file with rows that were scored; one comes late, two are new.
    own.replace_rows("features", rows_of([*range(50, 100), 200], 1, batch=2).where("id >= 50"), F.col("id") >= 50)
    own.append_rows("features", rows_of([300, 301], 5, batch=2))
    # Before the stream sees them, one commit replaces rows of another one, and writes the rest of its file again.
    own.append_rows("features", rows_of(range(400, 410), 6, batch=2).coalesce(1))
    corrected = rows_of(range(405, 410), 6, batch=3).withColumn("size", F.col("size") + 100)
    own.replace_rows("features", corrected, F.col("id") >= 405)
    made.update({number: (number + 100) / 1000 for number in range(405, 410)})
    assert take() == 2
    assert take() == 0
    there = frame_of(own, "predictions")
    assert dict(zip(there["id"], there["prediction"], strict=True)) == pytest.approx(made)
    assert len(there) == len(made) == 113
    assert set(frame_of(own, "quarantine")["rule"]) == {"prediction:ValueError"}
    assert len(frame_of(own, "quarantine")) == 1
    shutil.rmtree(checkpoint)  # all rows are new to the stream, and none has no prediction
    for mark in marks.iterdir():
        mark.unlink()
    take()
    assert digest(frame_of(own, "predictions")) == digest(there)
    shutil.rmtree(own.warehouse / "prod/toy/features")
    table_schemas.create_features(own, TOY)
    own.append_rows("features", rows_of([500], 6))
    with pytest.raises(DataError, match=r"is of another table than prod\.toy\.features"):
        take()


@pytest.mark.nightly
def test_the_job_streaming_makes_the_predictions_of_the_job_inference(first_home, tmp_path, monkeypatch):
    tables = []
    for name in ("inference", "streaming"):
        laptop = laptop_in(tmp_path / name, monkeypatch)
        first_home(laptop)
        given = {**DATA, "model_name": "prod.toy.failing", "as_of": LATER}
        if name == "streaming":
            given |= {"streaming": "on", "checkpoint_folder": "/Volumes/prod/toy/landing/_checkpoints/predictions"}
        job = laptop.job(name, **given)
        for _ in range(2):
            laptop.task(name, job)
        tables.append(frame_of(job.own, "predictions"))
    assert tables[0].equals(tables[1])
    assert len(tables[0]) > 500
    laptop.ingest(LATER)  # the checkpoint in the landing volume is no source
