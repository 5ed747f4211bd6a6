"""Questions that come as a stream get the features that a batch makes: the same function, once per micro-batch."""

from __future__ import annotations

import pandas as pd
import pytest
from pyspark.sql import functions as F
from test_jobs_loop import MARCH, laptop_in
from toy import TOY

from mlops.data import feature_blocks
from mlops.platform.tables import Schema


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
