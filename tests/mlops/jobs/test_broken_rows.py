"""Rows that cannot be scored, on Spark and Delta: the others get their predictions, and these go to quarantine."""

from __future__ import annotations

import dataclasses
import json
import sys
from datetime import UTC, datetime, timedelta
from functools import reduce

import numpy as np
import pandas as pd
import pytest
from life import rows as toy_rows
from pyspark import cloudpickle
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame
from test_jobs_loop import DATA, laptop_in
from toy import TOY, frame_of, rule

from mlops.contract import Conflict, Expectation, ModelError
from mlops.data import row_scorer, scoring, table_schemas
from mlops.data.contributions import explain_row
from mlops.data.scoring import Scorer
from mlops.monitoring import store
from mlops.platform.tables import Schema
from mlops.release import champion_scorer

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # Spark's workers cannot import this file
TRAINED = datetime(2024, 3, 1, tzinfo=UTC)
AS_OF = TRAINED + timedelta(days=1)
LARGE = 2**53 + 1


def kind_rules():
    """What Great Expectations judges in Spark's workers: the model itself knows the kind w."""
    return [Expectation(rule("ExpectColumnValuesToNotBeInSet", "kind", value_set=["w"]), "quarantine")]


def refuse_rules():
    """What no job without a row to score may call."""
    raise AssertionError("rules were made for no row")


CASE = dataclasses.replace(TOY, entity=dataclasses.replace(TOY.entity, expectations=kind_rules))


class Strict:
    """Raises for kind z, and answers NaN where nothing is due around."""

    feature_names_in_ = ("size", "kind", "due_around")
    classes_ = (0, 1)

    def predict_proba(self, rows):
        if (rows["kind"] == "z").any():
            raise ValueError("Found unknown categories")
        p = np.where(rows["due_around"] == 0, np.nan, 0.5)
        return np.column_stack([1 - p, p])


ASKED = TRAINED + timedelta(hours=1)
FEATURES = "id bigint, event_time timestamp, prediction_time timestamp, size double, kind string, due_around double"
"""Columns of the rows to score."""


def open_predictions(spark, folder):
    """A schema with an empty table of predictions."""
    own = Schema(spark, folder / "warehouse", "prod", "toy")
    table_schemas.create_predictions(own, TOY)
    return own


def scored_by(case, limit):
    """The use case with at most `limit` rows scored in the process, and more of them on Spark."""
    return dataclasses.replace(case, policy=dataclasses.replace(case.policy, max_collected_rows=limit))


HERE_AND_ON_SPARK = pytest.mark.parametrize("limit", [200_000, 1])


def test_rows_are_scored_alike_here_and_on_spark(spark, tmp_path, monkeypatch):
    monkeypatch.setattr(row_scorer, "PART", 7)
    ways, genuine = [], row_scorer.RowScorer.score_here
    monkeypatch.setattr(row_scorer.RowScorer, "score_here", lambda by, rows: ways.append("here") or genuine(by, rows))
    features, label = toy_rows()
    pipeline = TOY.model.build({}).fit(features, label)
    rows = [(LARGE + n, ASKED, ASKED, (-1.0) ** n * n, "xyz"[n % 3], float(n % 4)) for n in range(40)]
    rows += [(7, ASKED, ASKED, None, None, 1.0), (8, ASKED, AS_OF + timedelta(days=1), 1.0, "x", 1.0)]
    rows += [(None, ASKED, ASKED, 1.0, "x", 1.0), (2, ASKED, ASKED, float("inf"), "w", 1.0)]
    frame, written = spark.createDataFrame(rows, FEATURES).coalesce(1), []
    for limit in (len(rows), len(rows) - 1):
        case = scored_by(CASE, limit)
        case = dataclasses.replace(case, policy=dataclasses.replace(case.policy, reasons=2))
        own = Schema(spark, tmp_path / f"warehouse-{limit}", "prod", "toy")
        table_schemas.create_predictions(own, case)
        assert (
            scoring.append_predictions(own, "prod.toy.features", frame, Scorer(case, pipeline, 7, TRAINED, AS_OF)) == 2
        )
        written.append([frame_of(own, name).sort_values(key, ignore_index=True) for name, key in (
            ("predictions", "id"), ("quarantine", ["row", "rule"]),
        )])  # fmt: skip
        assert own.newest_version("predictions") == 1
    assert ways == ["here"]
    for here, there in zip(*written, strict=True):
        pd.testing.assert_frame_equal(here, there, check_exact=True)
    predictions, quarantine = written[0]
    assert len(predictions) == 42
    assert predictions["reasons"].notna().all()
    assert set(quarantine["rule"]) == {"id:required", "size:limits", "kind:not_be_in_set"}


@pytest.mark.nightly
@HERE_AND_ON_SPARK
def test_broken_rows_go_to_quarantine_once_and_are_scored_when_they_are_mended(spark, tmp_path, limit):
    own = open_predictions(spark, tmp_path)

    def rows(*parts):
        return spark.createDataFrame(list(parts), FEATURES)

    good = [(LARGE + n, ASKED, ASKED, 1.0, "x", 1.0) for n in range(50)]
    old = (1, ASKED, TRAINED, 1.0, "x", 1.0)
    broken = [
        (None, ASKED, ASKED, 1.0, "x", 1.0),
        (2, None, ASKED, float("inf"), "x", 1.0),
        (3, ASKED, None, 1.0, "x", 1.0),
        (4, ASKED, ASKED, 1.0, "z", 1.0),
        (5, ASKED, ASKED, None, None, 0.0),
        (6, ASKED, ASKED, 1.0, "w", 1.0),
    ]
    scorer = Scorer(scored_by(CASE, limit), Strict(), 7, TRAINED, AS_OF)
    frame = rows(*good, old, *broken).coalesce(1)
    unloadable = dataclasses.replace(CASE, entity=dataclasses.replace(CASE.entity, expectations=refuse_rules))
    nothing = dataclasses.replace(scorer, use_case=unloadable)
    assert scoring.append_predictions(own, "prod.toy.features", rows(old), nothing) == 0  # no row asks for them
    for _ in range(2):
        assert scoring.append_predictions(own, "prod.toy.features", frame, scorer) == 6
        assert set(frame_of(own, "predictions")["id"]) == {row[0] for row in good}
        assert len(frame_of(own, "predictions")) == 50
        quarantine = frame_of(own, "quarantine")
        assert sorted(quarantine["rule"]) == [
            "event_time:required", "id:required", "kind:not_be_in_set", "prediction:ValueError", "prediction:odd",
            "prediction_time:required", "size:limits",
        ]  # fmt: skip
        assert set(quarantine["column"]) == {"event_time", "id", "kind", "prediction", "prediction_time", "size"}
        assert {json.loads(row).get("id") for row in quarantine["row"]} == {None, 2, 3, 4, 5, 6}
    mended = rows((4, ASKED, ASKED, 1.0, "y", 1.0))
    assert scoring.append_predictions(own, "prod.toy.features", mended, scorer) == 0
    assert len(frame_of(own, "predictions")) == 51
    genuine = own.newest_version

    class Overtaken(Schema):
        def newest_version(self, table):
            return genuine(table) - 1  # as read before somebody else's commit

    late = Overtaken(spark, own.warehouse, "prod", "toy")
    with pytest.raises(Conflict, match="another run wrote"):
        scoring.append_predictions(late, "prod.toy.features", mended, scorer)
    assert len(frame_of(own, "predictions")) == 51


@pytest.mark.nightly
@HERE_AND_ON_SPARK
def test_many_rows_that_no_model_scores_stop_no_run_and_a_model_that_scores_none_does(spark, tmp_path, limit):
    own = open_predictions(spark, tmp_path)
    scorer = Scorer(scored_by(TOY, limit), Strict(), 7, TRAINED, AS_OF)

    def append(numbers, kind):
        made = [(number, ASKED, ASKED, 1.0, kind, 1.0) for number in numbers]
        rows.append(spark.createDataFrame(made, FEATURES))
        together = reduce(DataFrame.union, rows).coalesce(1)
        return scoring.append_predictions(own, "prod.toy.features", together, scorer)

    rows = []
    fault = PySparkException if limit == 1 else ModelError
    with pytest.raises(fault, match="the model raises for each of"):
        append(range(200), "z")
    assert not own.exists("quarantine") or frame_of(own, "quarantine").empty
    assert append(range(200, 300), "x") == 200
    # Where only rows are left that were set aside before, each worker gets nothing else.
    assert append([], "x") == 200
    assert append([300], "z") == 201
    assert set(frame_of(own, "predictions")["id"]) == {*range(200, 300)}
    assert len(frame_of(own, "quarantine")) == 201
    with pytest.raises(fault, match="the model raises for each of"):
        append(range(400, 600), "z")


def test_a_prediction_that_a_newer_one_replaced_costs_no_row_its_score_on_spark(spark):
    """The older row of the entity is of a kind that the model does not know; both days are the same."""
    rows = [(1, -1, "z", 1.0), (1, 0, "x", 1.0), (2, 0, "y", 1.0), (3, 0, "x", 0.0)]
    asked = [(ASKED + timedelta(hours=hour), AS_OF, ASKED, 1, 0.5) for _, hour, *_ in rows]
    made = [(number, *moments, 1.0, kind, due) for (number, _, kind, due), moments in zip(rows, asked, strict=True)]
    columns = "id bigint, prediction_time timestamp, scored_at timestamp, event_time timestamp, model_version bigint, "
    frame = spark.createDataFrame(made, columns + "prediction double, size double, kind string, due_around double")
    scored = store._add_baseline(frame.coalesce(1), TOY, Strict(), is_here=False).collect()
    assert {row["id"]: row["baseline"] for row in scored} == {1: 0.5, 2: 0.5, 3: None}


def test_a_baseline_that_raises_for_a_row_scores_no_row_of_its_day_and_costs_few_calls(monkeypatch):
    monkeypatch.setattr(store, "PART", 25)
    asked, strict = [], Strict()
    rows = pd.DataFrame({"size": 1.0, "kind": ["x"] * 40 + ["z"] * 60, "due_around": [1.0, 0.0] * 50})
    days = np.arange(100) // 10
    answers = strict.predict_proba
    monkeypatch.setattr(strict, "predict_proba", lambda part: asked.append(len(part)) or answers(part), raising=False)
    # Of days without an error the rows that break the contract alone have no score.
    expected = [0.5 if at < 40 and at % 2 == 0 else None for at in range(100)]
    assert store.score_baseline(TOY, strict, rows, days) == expected
    rows.loc[12, "kind"] = "z"
    expected[10:20] = [None] * 10
    assert store.score_baseline(TOY, strict, rows, days) == expected
    assert max(asked) <= 25
    asked.clear()
    assert store.score_baseline(TOY, strict, rows.iloc[40:], days[40:]) == [None] * 60
    assert len(asked) <= 3 * (2 * 3 - 1)


@pytest.mark.nightly
def test_an_old_table_gets_the_column_of_reasons_and_no_prediction_changes(spark, tmp_path, caplog):
    own = Schema(spark, tmp_path / "warehouse", "prod", "toy")
    features, label = toy_rows()
    pipeline = TOY.model.build({}).fit(features, label)

    def append(first, reasons, model=pipeline):
        made = [(first + at, ASKED, ASKED, size, "x", 1.0) for at, size in enumerate([0.5, float("inf"), -2.0])]
        case = dataclasses.replace(TOY, policy=dataclasses.replace(TOY.policy, reasons=reasons))
        table_schemas.create_predictions(own, case)
        scorer = Scorer(case, model, 7, TRAINED, AS_OF)
        assert scoring.append_predictions(own, "prod.toy.features", spark.createDataFrame(made, FEATURES), scorer) == 1
        there = frame_of(own, "predictions").set_index("id")
        return there.loc[[first, first + 2]], there

    plain, whole = append(10, 0)
    assert "reasons" not in whole
    explained, whole = append(20, 2)
    assert whole.loc[plain.index, "reasons"].isna().all()
    assert explained["prediction"].tolist() == plain["prediction"].tolist()
    for number, size in zip(explained.index, [0.5, -2.0], strict=True):
        row = pd.DataFrame({"size": [size], "kind": ["x"], "due_around": [1.0]})
        known = dict(list(explain_row(pipeline, row).contributions.items())[:2])
        reasons = json.loads(explained.loc[number, "reasons"])
        assert {reason["feature"]: reason["contribution"] for reason in reasons} == pytest.approx(known)
    first = own.read_table("predictions").where("id = 22").selectExpr("get_json_object(reasons, '$[0].feature')")
    assert first.collect()[0][0] == "size"
    assert not caplog.messages
    other, _ = append(30, 2, Constant(0.5))
    assert other["reasons"].isna().all()
    assert caplog.messages == ["2 predictions of version 7 have no reasons: their contributions are not exact"]
    off, _ = append(40, 0)
    assert off["reasons"].isna().all()
    assert off["prediction"].tolist() == plain["prediction"].tolist()


class Constant:
    """Answers one number."""

    feature_names_in_ = ("size", "kind", "due_around")
    classes_ = (0, 1)

    def __init__(self, p):
        self.p = p

    def predict_proba(self, rows):
        return np.column_stack([np.full(len(rows), 1 - self.p), np.full(len(rows), self.p)])


@pytest.mark.nightly
def test_a_batch_is_split_by_the_hash_of_the_key_and_a_shadow_answers_nothing(spark, tmp_path, monkeypatch):
    laptop = laptop_in(tmp_path, monkeypatch)
    job = laptop.job("inference", **DATA, model_name="prod.toy.failing", champion_share=25, shadow="on")
    own = job.own
    table_schemas.create_features(own, TOY)
    ddl = own.read_table("features").schema
    own.append_rows("features", spark.createDataFrame([(n, ASKED, ASKED, 1.0, "x", 1.0, 1) for n in range(400)], ddl))

    def scorer(version, table="predictions"):
        return lambda *_: Scorer(TOY, Constant(version / 10), version, TRAINED, AS_OF, table)

    monkeypatch.setattr(champion_scorer, "load_scorer", scorer(2))
    monkeypatch.setattr(champion_scorer, "load_previous", scorer(1))
    monkeypatch.setattr(champion_scorer, "load_challenger", scorer(3, "shadow_predictions"))
    laptop.task("inference", job)
    there = frame_of(own, "predictions")
    shares = there.groupby("model_version").size().to_dict()
    assert sum(shares.values()) == len(set(there["id"])) == 400
    assert 60 < shares[2] < 140
    assert (there["prediction"] * 10 == there["model_version"]).all()
    shadow = frame_of(own, "shadow_predictions")
    assert set(shadow["id"]) == set(range(400))
    assert set(shadow["model_version"]) == {3}
    champions = set(there.loc[there["model_version"] == 2, "id"])
    frame = own.read_table("features")
    for share, nested in ((5, True), (25, False), (100, False)):
        ids = {row["id"] for row in frame.where(scoring.is_in_share(["id"], share)).select("id").collect()}
        assert ids < champions if nested else ids >= champions  # who was in a small share stays in a larger one
    laptop.task("inference", job)
    assert frame_of(own, "predictions").equals(there)
    monkeypatch.setattr(champion_scorer, "load_challenger", scorer(4, "shadow_predictions"))
    laptop.task("inference", job)
    assert len(frame_of(own, "shadow_predictions")) == 800
    assert frame_of(own, "predictions").equals(there)
