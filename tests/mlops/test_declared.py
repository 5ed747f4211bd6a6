"""What a use case declares has the types of the contract, and a label's SQL names columns that there are."""

from __future__ import annotations

import re
from dataclasses import fields, replace
from datetime import date, datetime, timedelta

import numpy as np
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


def test_lists_and_arrays_are_taken_as_tuples():
    assert Entity(source="a", key=["b"], event_time="c", lead=timedelta(1)).key == ("b",)
    assert Value(matrix=[[0, 1], [1, 0]]).matrix == ((0, 1), (1, 0)) == Value(matrix=np.array([[0, 1], [1, 0]])).matrix
    assert replace(ORDERS, agrees_with={"results": ["id"]}).agrees_with == {"results": ("id",)}
    model = replace(TOY.model, space={"C": np.array([0.5, 1]), "depth": range(3)})
    assert dict(model.space) == {"C": [0.5, 1], "depth": range(3)}


def test_a_whole_number_has_no_fraction():
    assert repr(replace(TOY.policy, replicates=3e2).replicates) == "300"
    for wrong in ({"replicates": 2.5}, {"drift_min_rows": 0.5}):
        with pytest.raises(ConfigError, match="a whole number"):
            replace(TOY.policy, **wrong)


def test_one_text_is_no_sequence_of_values():
    with pytest.raises(ConfigError, match="space is"):
        replace(TOY.model, space={"penalty": "l2"})


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


# Spark reads each of these lines; a fork's author may write any of them.
SPARK_SQL = r"""
CASE kind WHEN 'a' THEN 1 ELSE 0 END
CAST(size AS DECIMAL(10,2)) + size::int + size :: decimal(10,2) + try_cast(size AS INT)
judged > due + interval '1' day AND judged > due + INTERVAL '1 2:03' DAY TO MINUTE + INTERVAL -1 DAY
sum(size) OVER (PARTITION BY id ORDER BY due ROWS BETWEEN 3 PRECEDING AND CURRENT ROW)
sum(size) FILTER (WHERE failed = 1) OVER (ORDER BY due RANGE BETWEEN UNBOUNDED PRECEDING AND INTERVAL 1 HOUR FOLLOWING)
first_value(size) IGNORE NULLS OVER (ORDER BY due DESC NULLS LAST) + lag(size, 1) OVER w
percentile_cont(0.5) WITHIN GROUP (ORDER BY size) + listagg(kind, ',') WITHIN GROUP (ORDER BY kind)
due > date '2024-01-01' OR due > TIMESTAMP_NTZ'2024-01-01 00:00:00'
aggregate(array(size), 0D, (a, b) -> a + b, r -> r / 2) + transform(array(struct(size AS p)), `e` -> e.p)[0]
map_from_arrays(array('k'), array(size))['k'] + array(size, 1)[0]
named_struct('a', named_struct('b', size)).a.b + struct(size AS foo).foo + from_json(kind, 'a INT').a
CAST(kind AS STRUCT<foo: INT, bar: STRING>).foo + CAST(kind AS STRUCT<foo INT COMMENT 'x', bar STRING NOT NULL>).bar
CAST(kind AS ARRAY<VARIANT>) IS NULL OR CAST(kind AS MAP<STRING, DECIMAL(3,1)>) IS NULL OR CAST(kind AS VOID) IS NULL
`size` + `orders`.`size` + ORDERS . SIZE + siZe
size /* foo */ + 1 -- bar
size /* foo /* nested */ bar */ + 1
!failed OR failed <=> NULL OR failed IS NOT UNKNOWN OR failed IS NOT DISTINCT FROM 1 OR size ISNULL
size DIV 2 + size MOD 2 + size BETWEEN SYMMETRIC 2 AND 1
kind LIKE 'a\_b' ESCAPE '\\' OR kind ILIKE ANY ('a%') OR kind RLIKE r'a\d' OR kind = R"raw\" OR kind = "a""b"
EXTRACT(DOW FROM due) + EXTRACT(YEAROFWEEK FROM due) + substring(kind FROM 1 FOR 2) + overlay(kind PLACING 'x' FROM 1)
timestampadd(HOUR, 1, due) < judged OR datediff(DAYOFYEAR, due, judged) > timestampdiff(WEEK, due, judged)
mask(kind, otherChar => 'x') = make_interval(hours => 3)
1e3 + 5L + 2.5BD + 1.5F + .5 + X'1F' + 0x1F
current_date > due OR current_user = kind OR user = kind OR session_user = kind OR current_timestamp() > due
kind COLLATE UTF8_LCASE = 'a' OR due AT TIME ZONE 'UTC' > judged
count(*) + count(orders.*) + count(DISTINCT id)
parse_json(kind):a.b = 1 OR kind:price::double > 1 OR kind:a[0].b = 1
id IN (SELECT o.foo FROM other o WHERE o.bar = 1)
window(due, '1 hour').start < judged
main.default.orders.size + orders._metadata.file_path
file_modified > due OR orders.file_modified > due
{d '2024-01-01'} < due OR :param = 1
"""


@pytest.mark.parametrize("sql", SPARK_SQL.strip().split("\n"))
def test_sql_that_spark_reads_is_let_pass(sql):
    assert problems_of(matured=sql) == []


@pytest.mark.parametrize(
    ("sql", "name"),
    [
        ("reslut", "reslut"),
        ("CASE WHEN reslut > 1 THEN 1 END", "reslut"),
        ("CAST(reslut AS INT) = 1", "reslut"),
        ("NOT reslut", "reslut"),
        ("sum(size) OVER (PARTITION BY idd ORDER BY id)", "idd"),
        ("coalesce(failed, `fialed`)", "fialed"),
        ("reslut IS NOT NULL", "reslut"),
        ("order.size > 1", "order.size"),
        ("`orders`.sise > 1", "orders.sise"),
        (") -> reslut", "reslut"),
    ],
)
def test_a_word_that_can_only_be_a_column_is_told(sql, name):
    (problem,) = problems_of(matured=sql)
    assert repr(name) in problem


@pytest.mark.parametrize("column", ["id", "announced"])
def test_a_key_or_known_at_that_may_be_missing_is_refused(column):
    orders = TOY.source("orders")
    columns = tuple(replace(c, required=c.required and c.name != column) for c in orders.columns)
    with pytest.raises(ConfigError, match=f"'orders' has {column} in its key or as known_at with required=False"):
        replace(TOY, sources=(replace(orders, columns=columns), TOY.source("results")))
