"""`mlops explain`: the inputs as they were known, the version that scored, and contributions that sum to the score."""

from __future__ import annotations

import json
import math
import shutil
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest
from deltalake import write_deltalake
from life import rows as toy_rows
from toy import TOY

from mlops import context
from mlops.contract.model_version import Version
from mlops.platform import registry
from mlops.release.version_record import AuditRow
from mlops_cli import audit_records
from mlops_cli.cli import run_args

AT = datetime(2024, 3, 1, 4, tzinfo=UTC)
MODEL = "prod.toy.failing"


def store(home, tables):
    """Write tables as Delta, as the jobs leave them in a home."""
    for name, rows in tables.items():
        write_deltalake(str(home / "warehouse/prod/toy" / name), pa.Table.from_pylist(rows), mode="overwrite")


@pytest.fixture
def ask(tmp_path, monkeypatch, capsys):
    """Runs `mlops explain` on a home's tables and a registry and audit rows in memory, which the test may change."""
    features, label = toy_rows()
    pipeline = TOY.model.build({}).fit(features, label)
    entity = {
        "id": 7,
        "prediction_time": AT,
        "due": AT + timedelta(hours=2),
        "size": 2.5,
        "kind": "x",
        "due_around": None,
    }
    stored = {
        "features": [entity, {**entity, "prediction_time": AT - timedelta(days=1), "size": -1.0, "due_around": 3.0}],
        "predictions": [{"id": 7, "prediction_time": AT, "prediction": 0.9, "scored_at": AT, "model_version": 1}],
    }
    row = AuditRow(
        model_name=MODEL,
        sequence=1,
        move="verdict",
        to_version=1,
        run_id="1",
        at=AT,
        as_of=AT,
        verdict="accepted",
        verdict_digest="d" * 64,
    )
    audit = [row, replace(row, sequence=2, move="deployment", approved_by="ada")]
    monkeypatch.setattr(context, "load_use_case", lambda: TOY)
    monkeypatch.setattr(audit_records, "read_rows", lambda deployed: audit)
    store(tmp_path, stored)
    monkeypatch.setattr(registry.Registry, "__init__", lambda self, home: None)
    monkeypatch.setattr(
        registry.Registry, "get_version", lambda self, model, number: Version(model, number, "", AT, {}, ())
    )
    monkeypatch.setattr(registry.Registry, "load_model", lambda self, version, model: pipeline)
    names = {"model_name": MODEL, "catalog": "prod", "schema": "toy", "data_catalog": "prod", "data_schema": "toy"}
    parameters = {"parameters": [{"name": name, "default": text} for name, text in names.items()]}
    (tmp_path / "summary").mkdir()
    (tmp_path / "summary/prod.json").write_text(
        json.dumps({"resources": {"jobs": {"deployment": parameters, "inference": parameters}}})
    )

    def run(*words):
        code = run_args(["explain", *words, "--target", "prod", "--home", str(tmp_path)])
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return code, out, err

    run.stored, run.audit, run.home = stored, audit, tmp_path
    return run


def test_contributions_sum_to_the_logit_of_what_the_version_answers(ask):
    code, out, _ = ask("7", "--output", "json")
    shown = json.loads(out)
    assert (code, shown["version"], shown["verdict"], shown["approver"]) == (0, 1, "accepted", "ada")
    assert shown["score"] == pytest.approx(shown["base"] + sum(row["contribution"] for row in shown["inputs"]))
    known = {row["feature"]: row for row in shown["inputs"]}
    assert (known["size"]["value"], known["size"]["unit"], known["size"]["known_from"]) == (
        2.5,
        "kg",
        "the announcement",
    )
    assert known["due_around"]["value"] is None
    code, out, _ = ask("7")
    assert "prediction 0.9, scored at 2024-03-01T04:00:00Z; each input as known at 2024-03-01T04:00:00Z" in out
    assert f"as a probability {1 / (1 + math.exp(-shown['score'])):.4f}" in out
    assert "size = 2.5 kg  (known from the announcement)" in out


def test_an_entity_without_prediction_is_explained_by_the_champion_at_its_newest_time(ask):
    shutil.rmtree(ask.home / "warehouse/prod/toy/predictions")
    code, out, _ = ask("7")
    assert code == 0
    assert out.startswith("not scored yet; each input as known at 2024-03-01T04:00:00Z")


def test_what_the_endpoint_answered_is_not_explained_by_the_features_of_the_batch(ask):
    (made,) = ask.stored["predictions"]
    later = {**made, "prediction": 0.1, "scored_at": AT + timedelta(hours=1), "endpoint_request_id": "r1"}
    ask.stored["predictions"] = [{**made, "endpoint_request_id": None}, later]
    shutil.rmtree(ask.home / "warehouse/prod/toy/predictions")
    store(ask.home, ask.stored)
    assert "prediction 0.9, scored at 2024-03-01T04:00:00Z" in ask("7")[1]


def test_the_row_of_the_prediction_is_explained_even_if_a_newer_one_is_there(ask):
    ask.stored["predictions"][0]["prediction_time"] = AT - timedelta(days=1)
    store(ask.home, ask.stored)
    assert "size = -1 kg" in ask("7")[1]
    ask.stored["predictions"][0]["prediction_time"] = AT - timedelta(days=2)
    store(ask.home, ask.stored)
    assert "no row with id 7 at 2024-02-28 04:00:00+00:00, when it was scored" in ask("7")[2]


@pytest.mark.parametrize("key", ["8", "' OR '1'='1", "7,8", ""])
def test_an_unknown_key_is_a_sentence(ask, key):
    code, _, err = ask(key)
    assert code == 1
    assert f"prod.toy.features has no row with id {key}: check the key" in err


def test_without_prediction_and_champion_there_is_nothing_to_explain(ask):
    shutil.rmtree(ask.home / "warehouse/prod/toy/predictions")
    ask.audit.clear()
    assert "id 7 was not scored yet, and prod.toy.failing has no champion" in ask("7")[2]
