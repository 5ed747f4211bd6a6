"""Requests and responses as the platform keeps them, whole, odd and broken: read, left out, or told by a rule."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toy import TOY

from mlops.contract import Label
from mlops.data.payload import PAYLOAD, list_predictions, parse_request

VERSIONS = {"entity-1": 3}
MOMENT = datetime(2024, 3, 2, tzinfo=UTC)
FEATURES = {"size": 1.0, "kind": "x", "due_around": 2.0}


def row(asked, answered, **given):
    texts = {"request": json.dumps(asked), "response": json.dumps(answered)}
    return {
        "databricks_request_id": "r1", "client_request_id": None, "request_time": MOMENT, "status_code": 200,
        "served_entity_id": "entity-1", **texts, **given,
    }  # fmt: skip


def forms(records):
    columns = list(records[0])
    yield {"dataframe_split": {"columns": columns, "data": [[one[name] for name in columns] for one in records]}}
    yield {"dataframe_records": records}
    yield {"instances": records}
    yield {"inputs": records}
    yield {"inputs": {name: [one[name] for one in records] for name in columns}}


IDS = st.integers(-(2**63), 2**63 - 1)


@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(IDS, st.floats(0, 1)), min_size=1, max_size=5, unique_by=lambda one: one[0]))
def test_each_form_of_a_request_becomes_the_same_predictions(answers):
    records = [{"id": number, **FEATURES} for number, _ in answers]
    response = {"predictions": [[1 - p, p] for _, p in answers]}
    for request in forms(records):
        parsed = parse_request(row(request, response), TOY, VERSIONS)
        assert (parsed.rule, parsed.version) == ("", 3)
        assert [key["id"] for key in parsed.keys] == [number for number, _ in answers]
        assert parsed.packed == {"prediction": [p for _, p in answers]}


ONE = {"dataframe_records": [{"id": 1, **FEATURES}]}
HALF = {"predictions": [[0.5, 0.5]]}


@pytest.mark.parametrize(
    ("changed", "rule"),
    [
        ({"request": "{"}, "request:json"),
        ({"request": None}, "request:json"),
        ({"request": "[" * 100_000}, "request:json"),
        ({"request": "[]"}, "request:form"),
        ({"request": '{"rows": []}'}, "request:form"),
        ({"request": '{"dataframe_split": {"columns": ["id"], "data": [[1, 2]]}}'}, "request:form"),
        ({"request": '{"inputs": {"id": [1], "size": [1, 2]}}'}, "request:form"),
        ({"request": '{"dataframe_records": [{"id": 1}], "instances": [{"id": 2}]}'}, "request:form"),
        ({"request": '{"instances": [{"id": 1}, {"size": 2}]}'}, "id:required"),
        ({"request": '{"instances": [{"id": 1, "size": 1}, {"id": 1, "size": 2}]}'}, "id:repeated"),
        ({"request": '{"instances": [{"id": "1"}]}'}, "id:long"),
        ({"request": '{"instances": [{"id": true}]}'}, "id:long"),
        ({"request": '{"instances": [{"id": 1.5}]}'}, "id:long"),
        ({"request": '{"instances": [{"id": 9223372036854775808}]}'}, "id:long"),
        ({"response": "no"}, "response:json"),
        ({"response": None}, "response:json"),
        ({"response": "{}"}, "response:rows"),
        ({"response": '{"predictions": "many"}'}, "response:predictions"),
        ({"response": '{"predictions": [[0.5, 0.5], [1, 0]]}'}, "response:rows"),
        ({"response": '{"predictions": [0.5]}'}, "response:rows"),
        ({"response": '{"predictions": [[NaN, NaN]]}'}, "prediction:odd"),
        ({"response": '{"predictions": [[-1, 2]]}'}, "prediction:odd"),
        ({"served_entity_id": "gone"}, "served_entity_id:unknown"),
        ({"served_entity_id": None}, "served_entity_id:unknown"),
        ({"databricks_request_id": None}, "databricks_request_id:required"),
        ({"request_time": None}, "request_time:required"),
    ],
    ids=lambda value: None if isinstance(value, str) else json.dumps(value)[:60],
)
def test_a_broken_row_is_told_by_its_rule(changed, rule):
    assert parse_request(row(ONE, HALF, **changed), TOY, VERSIONS).rule == rule


@pytest.mark.parametrize(
    "changed",
    [
        {"client_request_id": "mlops-check"},
        {"request": json.dumps({**ONE, "client_request_id": "mlops-check"})},
        {"status_code": 400, "response": "no"},
        {"status_code": 0, "response": "no"},
        {"request": json.dumps({"dataframe_records": [FEATURES]})},
        {"request": '{"instances": []}'},
    ],
    ids=[
        "a check of our own",
        "a check that its body names",
        "a failed request",
        "no status of HTTP",
        "no key",
        "no row",
    ],
)
def test_what_is_about_nobody_is_left_out(changed):
    assert parse_request(row(ONE, HALF, **changed), TOY, VERSIONS).is_left_out


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(["id", "columns", "data", "inputs", "instances", "dataframe_split", "predictions", "size"]),
        inner, max_size=4,
    ),
    max_leaves=8,
)  # fmt: skip
CELL = st.none() | st.text(max_size=10) | JSON.map(json.dumps)


@settings(deadline=None, max_examples=100)
@given(st.fixed_dictionaries({
    **dict.fromkeys(PAYLOAD, CELL), "request_time": st.none() | st.just(MOMENT),
    "status_code": st.none() | st.integers(0, 600),
}))  # fmt: skip
def test_whatever_stands_in_a_row_it_is_read_left_out_or_told(given):
    parsed = parse_request(given, TOY, VERSIONS)
    assert [bool(parsed.rule), parsed.is_left_out, parsed.packed is not None].count(True) == 1
    made = list_predictions(given, TOY, VERSIONS)
    assert len(made) == max(1, len(parsed.keys))
    assert {row.get("state") for row in made} == {
        "broken" if parsed.rule else "left out" if parsed.is_left_out else None
    }  # fmt: skip


@pytest.mark.parametrize("kind", ["classes", "number"])
def test_each_kind_of_question_reads_its_own_answers(kind):
    answers = {"classes": [[0.2, 0.5, 0.3], [0.1, 0.1, 0.8]], "number": [1.5, -2.0]}[kind]
    names = ("red", "green", "blue") if kind == "classes" else ()
    label = Label(name="failed", source="results", value="failed", matured="TRUE", kind=kind, classes=names)
    use_case = SimpleNamespace(label=label, entity=TOY.entity, source=TOY.source)
    given = row({"instances": [{"id": 1}, {"id": 2}]}, {"predictions": answers})
    first, second = list_predictions(given, use_case, VERSIONS)
    assert (first["id"], second["id"]) == (1, 2)
    if kind == "number":
        assert [first["prediction"], second["prediction"]] == answers
    else:
        assert [first["prediction"], second["prediction"]] == [names[1], names[2]]
        assert first["probabilities"] == dict(zip(names, answers[0], strict=True))
