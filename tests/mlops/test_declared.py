"""What a use case declares has the types of the contract, and a label's SQL names columns that there are."""

from __future__ import annotations

import re
from dataclasses import fields, replace
from datetime import date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from toy import ORDERS, RESULTS, TOY

from mlops.contract import Column, ConfigError, Entity, FileFormat, Label, Replay, Share, Value
from mlops.contract.declared import _read_hints
from mlops.contract.label_sql import find_problems

REPLAY = Replay(
    first_file=date(2024, 1, 1), trained=date(2024, 2, 1), default_end=date(2024, 2, 28), last_day=date(2024, 3, 1),
    tested=(date(2024, 1, 2), date(2024, 1, 5)),
)  # fmt: skip
DECLARED = (
    TOY, ORDERS, ORDERS.columns[0], FileFormat(), TOY.entity, TOY.features[0], TOY.label, TOY.model, TOY.policy, REPLAY,
    Share(0.1), Value(matrix=((0, 1), (1, 0))),
)  # fmt: skip
FIELDS = [(declared, field.name) for declared in DECLARED for field in fields(declared)]


@pytest.mark.parametrize(("declared", "name"), FIELDS, ids=[f"{type(d).__name__}.{name}" for d, name in FIELDS])
@given(wrong=st.sampled_from([object(), ..., 1j, {1: 2}, [1j], (1j,), datetime(2024, 1, 1), "é"]))  # noqa: DTZ001
def test_a_value_of_another_type_is_refused_with_the_field(declared, name, wrong):
    if isinstance(wrong, str) and isinstance(getattr(declared, name), str) and "Literal" not in str(
        _read_hints(type(declared))[name]
    ):  # fmt: skip
        return
    with pytest.raises(ConfigError, match=rf"\b{name} is "):
        replace(declared, **{name: wrong})


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Column(name="a", type="boolean", comment=""), "type is 'boolean', and one of string, long, doub"),
        (lambda: Column(name="a", type="int", comment=""), "timestamp (long?) is expected"),
        (lambda: replace(TOY.entity, key="id"), "'orders': key is 'id', and a tuple of texts, as ('id',) is ex"),
        (lambda: replace(TOY.entity, lead=12), "lead is 12, and a length of time, as timedelta(days=28) is expected"),
        (lambda: replace(TOY.label, kind="classes", classes=(1, 2)), "classes is (1, 2), and a tuple of texts is exp"),
        (lambda: replace(TOY, sources=ORDERS), "sources is a Source, and a tuple of Source, as (…,) is expected"),
        (lambda: replace(TOY.policy, max_gap="5 %"), "max_gap is '5 %', and a number or a Share is expected"),
        (lambda: replace(REPLAY, trained="2024-02-01"), "a day, as date(2025, 1, 31) is expected"),
    ],
)  # fmt: skip
def test_the_sentence_says_what_is_expected(make, words):
    with pytest.raises(ConfigError, match=re.escape(words)):
        make()


def test_a_list_is_taken_as_a_tuple():
    assert Entity(source="a", key=["b"], event_time="c", lead=timedelta(1)).key == ("b",)


# --- SQL of the label -------------------------------------------------------------------------------------------------

SOURCES = {"orders": ORDERS, "results": RESULTS}
NAMES = ("id", "judged", "failed", "results.failed", "`failed`", "orders.size", "kind", "Failed")


def expressions(names):
    """SQL over columns."""
    return st.recursive(
        st.one_of(names, st.sampled_from(["1", "0.5", "2e3", "'a column'", '"text"', "NULL", "DATE '2024-01-01'"])),
        lambda inner: st.one_of(
            st.tuples(inner, st.sampled_from("+-*/"), inner).map(" ".join),
            st.tuples(inner, st.sampled_from([">", "=", "IS NOT NULL AND 1 <", "IN (1, 2) OR 0 <"]), inner).map(
                " ".join
            ),
            inner.map("CAST({} AS DECIMAL(10, 2))".format),
            inner.map("coalesce(sum({}) FILTER (WHERE failed > 0), 0)".format),
            inner.map("size(transform(array({}), (x, n) -> x + n))".format),
            inner.map("extract(HOUR FROM judged + INTERVAL 3 DAYS) + {}".format),
            st.tuples(inner, inner).map("CASE WHEN {0[0]} THEN {0[1]} ELSE 0 END -- why".format).map("({}\n)".format),
        ),
        max_leaves=5,
    )


def problems_of(**changes):
    return list(find_problems(replace(TOY.label, joined=("orders",), **changes), SOURCES))


@given(expressions(st.sampled_from(NAMES)))
def test_sql_over_columns_that_there_are_is_let_pass(sql):
    assert problems_of(value=f"1 * ({sql})") == []


@given(expressions(st.sampled_from([*NAMES, "reslut", "results.reslut", "order.size"])))
def test_a_name_that_is_no_column_is_told(sql):
    wrong = {name for name in re.findall(r"[\w.]+", sql) if name in {"reslut", "results.reslut", "order.size"}}
    told = problems_of(matured=sql)
    assert len(told) == len(wrong)
    assert all(any(repr(name) in sentence for sentence in told) for name in wrong)


@pytest.mark.parametrize("kind", ["binary", "number"])
@pytest.mark.parametrize("value", ["kind", "orders.kind", "judged", " `judged` "])
def test_a_text_or_a_time_is_no_number(kind, value):
    label = Label(name="x", source="orders" if "kind" in value else "results", value=value, matured="true", kind=kind)
    (problem,) = find_problems(label, SOURCES)
    assert f"and kind {kind!r} needs a number" in problem
