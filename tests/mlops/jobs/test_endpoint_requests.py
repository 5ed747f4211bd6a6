"""From the platform's table of requests to predictions and monitoring's figures, on real Spark and Delta."""

from __future__ import annotations

import json
import random
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta

import pytest
from sklearn.metrics import log_loss, roc_auc_score
from test_jobs_loop import DATA, LATER, WATCHED, laptop_in
from toy import TOY, frame_of, orders_of

from mlops.contract import DataError
from mlops.data import endpoint_requests, scoring, table_schemas
from mlops.platform import tables
from mlops.platform.tables import Schema

START = datetime(2024, 3, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
PAYLOAD = (
    "databricks_request_id string, client_request_id string, request_time timestamp, status_code int, request string, "
    "response string, served_entity_id string, requester string"
)
VERSIONS = {"entity-1": 1, "entity-2": 2}
FEATURES = {"size": 1.0, "kind": "x", "due_around": 2.0}


class Killed(Exception):
    """Stands for the end of the driver."""


def entities_of(number):
    """The rows of an entity in the table of features; every fifth is moved to an hour later."""
    events = [START + number * HOUR, *([START + (number + 1) * HOUR] if number % 5 == 0 else [])]
    return [(event, event - 2 * HOUR) for event in events]


def draw_request(generator, number):
    """One row of the platform's table, and the entities with their scores, or why it has none."""
    ids = generator.sample(range(4, 44), generator.choice([1, 1, 2, 3]))
    asked = START + generator.uniform(0, 44) * HOUR
    asked = asked.replace(microsecond=asked.microsecond // 1000 * 1000)
    scores = {one: round(generator.random(), 6) for one in ids}
    kind = generator.choice(["good"] * 6 + ["stranger", "version", "check", "failed", "keyless", "json", "twice"])
    if kind == "stranger":
        scores = {**scores, 9000: 0.5}
    records = [{**({} if kind == "keyless" else {"id": one}), **FEATURES} for one in scores]
    answers = [[1 - p, p] for p in scores.values()]
    if kind == "twice":
        records, answers = records * 2, answers * 2
    row = (
        f"r{number}", "mlops-check" if kind == "check" else None, asked, 400 if kind == "failed" else 200,
        "{" if kind == "json" else json.dumps({"dataframe_records": records}), json.dumps({"predictions": answers}),
        {"version": "gone"}.get(kind, generator.choice([*VERSIONS])), "somebody",
    )  # fmt: skip
    return row, kind, scores


class Oracle:
    """What should stand in both tables, in plain Python: one request after the other."""

    def __init__(self):
        self.taken, self.broken = {}, set()

    def run(self, drawn, as_of):
        newest = max((row[2] for row, *_ in self.taken.values()), default=None)
        for row, kind, scores in drawn:
            name, asked = row[0], row[2]
            is_read = asked <= as_of and (newest is None or asked >= newest - timedelta(days=7))
            if name in self.taken or not is_read or kind in {"check", "failed", "keyless"}:
                continue
            is_old = asked < as_of - timedelta(days=1)
            if kind in {"json", "twice"}:
                self.broken.add((name, "request:json" if kind == "json" else "id:repeated"))
                continue
            if kind == "version":
                self.broken |= {(name, "served_entity_id:unknown")} if is_old else set()
                continue
            known = {one: [e for e in entities_of(one) if e[1] <= as_of] if one < 9000 else [] for one in scores}
            if not all(known.values()) and not is_old:
                continue
            self.broken |= {(name, "id:unknown") for one in known if not known[one]}
            made = {}
            for one, rows in known.items():
                before = [e for e in rows if e[1] <= asked]
                chosen = max(before, key=lambda e: e[1]) if before else min(rows, key=lambda e: e[1], default=None)
                if chosen and asked < chosen[0]:
                    made[one] = (chosen[1], scores[one])
            if made:
                self.taken[name] = (row, made)

    def predictions(self):
        return {
            (name, one, moment.replace(tzinfo=None), row[2].replace(tzinfo=None), p, VERSIONS[row[6]])
            for name, (row, made) in self.taken.items()
            for one, (moment, p) in made.items()
        }


def read_predictions(own):
    rows = frame_of(own, "predictions")
    names = ["endpoint_request_id", "id", "prediction_time", "scored_at", "prediction", "model_version"]
    made = [tuple(row) for row in rows[names].itertuples(index=False)]
    assert len(made) == len({row[:2] for row in made})
    return {(a, b, c.to_pydatetime(), d.to_pydatetime(), e, f) for a, b, c, d, e, f in made}


def read_quarantine(own):
    rows = frame_of(own, "quarantine")
    assert set(rows["source"]) <= {"requests"}
    return {
        (json.loads(row)["databricks_request_id"], rule) for row, rule in zip(rows["row"], rows["rule"], strict=True)
    }


@pytest.mark.nightly
def test_requests_become_predictions_exactly_once_whatever_is_killed_late_or_delivered_twice(
    spark, tmp_path, monkeypatch
):
    own, generator, oracle = Schema(spark, tmp_path / "warehouse", "prod", "toy"), random.Random(7), Oracle()  # noqa: S311
    table_schemas.create_predictions(own, TOY)
    table_schemas.create_tables(own, TOY, "quarantine")
    table_schemas.create_features(own, TOY)
    features = [(one, event, asked, 1.0, "x", 1.0, 1) for one in range(4, 44) for event, asked in entities_of(one)]
    own.append_rows("features", spark.createDataFrame(features, own.read_table("features").schema))
    drawn = sorted((draw_request(generator, number) for number in range(150)), key=lambda one: one[0][2])
    late, on_time = drawn[5::9], [one for place, one in enumerate(drawn) if place % 9 != 5]
    steps = [(START + 12 * HOUR, on_time), (START + 30 * HOUR, drawn), (START + 80 * HOUR, drawn + late)]

    def take(rows, as_of):
        frame = spark.createDataFrame([row for row, *_ in rows], PAYLOAD)
        return endpoint_requests.append_requests(
            own, "prod.toy.late_payload", frame, own.read_table("features"), versions=VERSIONS, use_case=TOY,
            as_of=as_of,
        )  # fmt: skip

    def killed(*_, **__):
        raise Killed

    for as_of, rows in steps:
        for module, name in ((scoring, "insert_quarantined"), (Schema, "append_once")):
            with monkeypatch.context() as patch, suppress(Killed):
                patch.setattr(module, name, killed)
                take(rows, as_of)
        take(rows, as_of)
        oracle.run(rows, as_of)
        assert read_predictions(own) == oracle.predictions()
        assert read_quarantine(own) == oracle.broken
        before = own.newest_version("predictions"), own.newest_version("quarantine")
        counts = take(rows, as_of)
        assert counts.get("prediction", 0) == 0
        assert own.newest_version("predictions") == before[0]
        assert read_quarantine(own) == oracle.broken
    assert len(oracle.taken) > 30
    assert {rule for _, rule in oracle.broken} == {
        "request:json", "id:repeated", "id:unknown", "served_entity_id:unknown"
    }  # fmt: skip
    narrow = spark.createDataFrame([row[:-2] for row, *_ in drawn[:1]], PAYLOAD.partition(", served")[0])
    with pytest.raises(
        DataError, match=r"prod\.toy\.late_payload has no column served_entity_id: the table of requests"
    ):
        endpoint_requests.append_requests(
            own, "prod.toy.late_payload", narrow, own.read_table("features"), versions={}, use_case=TOY, as_of=START
        )


@pytest.mark.nightly
@pytest.mark.timeout(900)
def test_answers_of_the_endpoint_meet_their_labels_in_monitoring_like_any_other(
    first_home, spark, tmp_path, monkeypatch, caplog
):
    """Of each entity the newest answer is measured, once: at noon the batch's, then the endpoint's or the batch's."""
    caplog.set_level("INFO", "mlops")
    laptop = laptop_in(tmp_path, monkeypatch)
    first_home(laptop)
    noon = datetime(2024, 3, 8, 12, tzinfo=UTC)

    def infer(as_of):
        given = {"endpoint": "late-orders", "endpoint_inference_table": "on", "as_of": as_of}
        job = laptop.job("inference", **DATA, model_name="prod.toy.failing", **given)
        laptop.task("inference", job)
        return job.own

    own = infer(noon.isoformat())
    assert "there is no table prod.toy.late_orders_payload yet" in caplog.text
    orders = {order.id: order for day in range(2, 12) for order in orders_of(date(2024, 3, day))}
    asked = noon + timedelta(minutes=30)
    near = [one for one, order in orders.items() if asked < order.due <= noon + 4 * HOUR]
    scores = {one: 0.999 if place % 2 else 0.001 for place, one in enumerate(near)}

    def request(name, ids, **given):
        records, answers = [{"id": one, **FEATURES} for one in ids], [[1 - scores[one], scores[one]] for one in ids]
        row = {
            "databricks_request_id": name, "client_request_id": None, "request_time": asked, "status_code": 200,
            "request": json.dumps({"dataframe_records": records}), "response": json.dumps({"predictions": answers}),
            "served_entity_id": "entity-1", "requester": "somebody", **given,
        }  # fmt: skip
        return tuple(row.values())

    rows = [request("a", near[:5]), request("b", near[5:]), request("broken", near[:1], response="no")]
    schema, system = tables.open_schema("prod", "toy"), tables.open_schema("system", "serving")
    spark.createDataFrame(rows, PAYLOAD).writeTo(schema.identifier("late_orders_payload")).using("delta").create()
    with pytest.raises(
        DataError, match=r"table system\.serving\.served_entities is missing or closed to this identity"
    ):
        infer(LATER)
    entities = [("entity-1", "prod.toy.failing", "1"), ("entity-2", "prod.toy.other", "7"), ("entity-3", None, None)]
    ddl = "served_entity_id string, entity_name string, entity_version string"
    spark.createDataFrame(entities, ddl).writeTo(system.identifier("served_entities")).using("delta").create()

    def read():
        laptop.monitor()
        return {table: frame_of(own, table) for table in (*WATCHED, "predictions", "quarantine")}

    infer(LATER)
    first = read()
    stored = first["predictions"]
    assert set(stored.loc[stored["endpoint_request_id"].notna(), "id"]) == set(near)
    batch = stored[stored["endpoint_request_id"].isna()]
    assert set(batch["id"]) == set(orders)  # of all, also of those that the endpoint was asked about
    assert len(batch) == len(orders)
    window = {one: order for one, order in orders.items() if 4 <= order.due.day < 11}
    newest = {row.id: row.prediction for row in stored.sort_values("scored_at").itertuples()}
    told = [one for one in near if newest[one] == scores[one]]
    assert 0 < len(told) < len(near)
    assert all(orders[one].due <= noon + 2 * HOUR for one in told)  # those that the batch had scored before
    (row,) = first["metrics"].query("slice == '' and state == 'judged'").to_dict("records")
    assert row["rows"] == len(window)
    labels = [order.failed for order in window.values()]
    assert row["auc"] == pytest.approx(roc_auc_score(labels, [newest[one] for one in window]))
    assert row["log_loss"] == pytest.approx(log_loss(labels, [newest[one] for one in window]), rel=1e-6)
    alerts = first["alerts"]
    assert list(alerts.loc[alerts["rule"] == "broken", "subject"]) == ["requests"]
    infer(LATER)
    again = read()
    for table, frame in first.items():
        assert again[table].equals(frame), table
