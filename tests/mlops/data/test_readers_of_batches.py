"""From bytes to typed rows, and which of them are published: pure, no Spark."""

from __future__ import annotations

import re
import unicodedata
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from great_expectations.expectations.row_conditions import Column as ConditionColumn
from hypothesis import given, settings
from hypothesis import strategies as st
from things import NOW, make_things

from mlops.contract import ConfigError, Expectation
from mlops.data import expectations, quarantine, readers
from mlops.data.file_formats import File

THINGS = make_things(id="long", seen="timestamp", kind="string", size="double")
HEAD = "id,seen,kind,size\n"
GOOD = "1,2024-01-01T00:00:00Z,x,1.5\n"


def file(text, name="a.csv"):
    content = text if isinstance(text, bytes) else text.encode()
    return File(name, name, len(content), NOW, content)


def read(*files, source=THINGS):
    return readers.read_files(source, files)


def judge(*files, source=THINGS, outcomes=()):
    return quarantine.split_valid_rows(
        source, files, read(*files, source=source), outcomes, readers.unknown_columns(files, source)
    )


@pytest.mark.parametrize(
    ("line", "rule"),
    [
        ("x,2024-01-01T00:00:00Z,x,1\n", "id:long"),
        ("1.0,2024-01-01T00:00:00Z,x,1\n", "id:long"),
        ("99999999999999999999,2024-01-01T00:00:00Z,x,1\n", "id:long"),
        (" 1,2024-01-01T00:00:00Z,x,1\n", "id:long"),
        ("1,2024-01-01,x,1\n", "seen:timestamp"),
        ("1,2024-02-30T00:00:00Z,x,1\n", "seen:timestamp"),
        ("1,01/02/2024 00:00,x,1\n", "seen:timestamp"),
        ("1,2024-01-01T23:59:60Z,x,1\n", "seen:timestamp"),
        ("1,2024-01-01T24:00:00Z,x,1\n", "seen:timestamp"),
        ("1,9999-12-31T00:00:00Z,x,1\n", "seen:timestamp"),
        ("1,2024-01-01T00:00:00+02:00,x,1\n", "seen:timestamp"),
        ("1,2024-01-01T00:00:00Z,x,nan\n", "size:double"),
        ("1,2024-01-01T00:00:00Z,x,inf\n", "size:double"),
        ("1,2024-01-01T00:00:00Z,x,1e999\n", "size:double"),
        ('1,2024-01-01T00:00:00Z,x,"1,5"\n', "size:double"),
        ("1,2024-01-01T00:00:00Z,x,NA\n", "size:double"),
        (",2024-01-01T00:00:00Z,x,1\n", "id:required"),
        ("1,,x,1\n", "seen:required"),
        ("1,2031-01-01T00:00:00Z,x,1\n", "seen:future"),
        ("1,2024-01-01T00:00:00Z,x\n", "row:fields"),
        ("1,2024-01-01T00:00:00Z,x,1,2\n", "row:fields"),
        ('1,2024-01-01T00:00:00Z,"x,1\n', "row:csv"),
        (b"1,2024-01-01T00:00:00Z,\xe9,1\n", "row:encoding"),
        (b"1,2024-01-01T00:00:00Z,\x00,1\n", "row:encoding"),
        ("1,2024-01-01T00:00:00Z,x,1", "row:truncated"),
        ("1,2024-01-01T00:00:00Z,\x1b[31mx,1\n", "row:control"),
        ("1,2024-01-01T00:00:00Z,\u202ex,1\n", "row:control"),
        (f"1,2024-01-01T00:00:00Z,x,{'9' * 400}\n", "size:double"),
    ],
)
def test_a_broken_line_breaks_one_rule_and_spoils_no_other(line, rule):
    line = line if isinstance(line, bytes) else line.encode()
    rows = read(file((HEAD + GOOD).encode() + b"\n" + line))
    assert rows.broken == {1: [rule]}
    assert rows.line == [2, 4]
    assert rows.table["id"].to_pylist()[0] == 1


def test_a_missing_value_that_may_be_missing_stays_missing():
    rows = read(file(HEAD + '1,2024-01-01T00:00:00Z,,""\n'))
    assert rows.broken == {}
    assert rows.table.to_pylist()[0] == {"id": 1, "seen": datetime(2024, 1, 1, tzinfo=UTC), "kind": None, "size": None}


@pytest.mark.parametrize(
    "text",
    [
        "\ufeff" + HEAD + GOOD,
        (HEAD + GOOD).replace("\n", "\r\n"),
        "size,kind,seen,id,new\n1.5,x,2024-01-01T00:00:00Z,1,anything\n",
        'id,seen,kind,size\n"1","2024-01-01T00:00:00Z","x","1.5"\n',
        "\n".join([HEAD.strip(), "", GOOD, "\n"]),
        (HEAD + GOOD).replace("\n", "\r"),
        HEAD + GOOD.replace("\n", "\r"),
        "\ufeff\n\r\n" + HEAD + GOOD,
        "id,seen,kind,size,,\n1,2024-01-01T00:00:00Z,x,1.5,,\n",
        (HEAD + GOOD).replace(",x,", ",\u00a0x \u200b,"),
    ],
    ids=[
        "byte order mark",
        "windows lines",
        "other order, new column",
        "quotes",
        "blank lines",
        "old Mac lines",
        "two kinds of lines",
        "blank first lines",
        "columns without a name",
        "blanks around text",
    ],
)
def test_what_only_looks_different_reads_the_same(text):
    rows = read(file(text))
    assert rows.broken == {}
    assert rows.table.equals(read(file(HEAD + GOOD)).table)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("id,seen,kind\n", "lacks size; it has id, seen, kind"),
        ("id,seen,kind, SIZE \r\n", "lacks size (renamed to  SIZE ?); it has id, seen, kind,  SIZE "),
        (
            "the_id,seen_at,weight\n",
            "lacks id (renamed to the_id?), seen (renamed to seen_at?), kind, size; it has the_id, seen_at, weight",
        ),
        ("seen,id,seen,id,kind\n", "has id, seen more than once"),
        ("", "is empty, without even a header"),
        ("\n", "is empty, without even a header"),
        ("\ufeff\r\n\n", "is empty, without even a header"),
        ("\0" * 200_000, "is no UTF-8 text"),
        (
            f'{{"rows":["{"x" * 200_000}"]}}\n',
            'has no header: its first line has 200,013 bytes, of 100,000 at most, and begins {"rows":["' + "x" * 50,
        ),
        ("," * 90_000 + "\n", f"lacks id, seen, kind, size; it has {', ' * 150}"),
        ("id,seen,kind,si\x1b[2Jze\n", r"lacks size (renamed to si\x1b[2Jze?); it has id, seen, kind, si\x1b[2Jze"),
        ((HEAD + GOOD).encode("utf-16"), "is no UTF-8 text"),
        ("id,seen,kind,si\0ze\n", "is no UTF-8 text"),
        (HEAD.replace("size", "gr\xf6\xdfe").encode("latin-1"), "is no UTF-8 text"),
        ((HEAD + GOOD).replace(",", ";"), "lacks id, seen, kind, size; it has id;seen;kind;size"),
        ("x" * 301 + "\n", f"lacks id, seen, kind, size; it has {'x' * 300}"),
    ],
)
def test_a_header_that_does_not_fit_is_named_with_the_likely_new_name(text, why):
    assert readers.header_error(file(text), THINGS) == f"things/a.csv {why}"


def test_only_the_first_line_is_the_header_and_quotes_are_no_part_of_a_name():
    assert file('"id",seen\r\nid,seen\n').header == ["id", "seen"]
    assert file("x" * 100_001).header == file("").header == []
    assert file("\ufeffid,seen").header == ["id", "seen"]
    assert file("\nid,seen\n").header == ["id", "seen"]


def test_every_row_is_known_by_its_file_and_line_and_kept_as_it_came():
    rows = read(
        file(b"id,seen,kind,size\r\n1,2024-01-01T00:00:00Z,x,1\r\n\r\n\n2,2024-01-01T00:00:00Z,\xe9\0,\xe2\x82\xac\n"),
        file("size,kind,seen,id\n3,x,2024-01-03T00:00:00Z,3\n"),
        file("size,kind,seen,id\n4,y,2024-01-11T00:00:00Z,4\n5,y,2024-01-11T00:00:01Z,5\n6,y,,6\n,y,2024-01-10\xe9\0"),
    )
    assert rows.raw == [
        "1,2024-01-01T00:00:00Z,x,1",
        "2,2024-01-01T00:00:00Z,\\xe9\\x00,€",
        "3,x,2024-01-03T00:00:00Z,3",
        "4,y,2024-01-11T00:00:00Z,4",
        "5,y,2024-01-11T00:00:01Z,5",
        "6,y,,6",
        ",y,2024-01-10é\\x00",
    ]
    assert rows.file.tolist() == [0, 0, 1, 2, 2, 2, 2]
    assert rows.line == [2, 5, 2, 2, 3, 4, 5]
    assert rows.broken == {1: ["row:encoding"], 4: ["seen:future"], 5: ["seen:required"], 6: ["row:truncated"]}
    assert rows.read.tolist() == [0, 2, 3]
    assert rows.table["id"].to_pylist() == [1, None, 3, 4, 5, 6, None]
    assert rows.table["size"].to_pylist() == [1.0, None, 3.0, 4.0, 5.0, 6.0, None]
    assert rows.table.schema.types == [pa.int64(), pa.timestamp("us", "UTC"), pa.string(), pa.float64()]


def test_a_row_breaks_each_rule_that_it_breaks():
    assert read(file(HEAD + "x,,y,z\n" + GOOD)).broken == {0: ["id:long", "seen:required", "size:double"]}


@pytest.mark.parametrize("field", ['x"y"', '"x"y', '"x" ', 'x"'])
def test_a_quote_stands_around_a_whole_value(field):
    strict = '"' in field and field[0] == '"'
    found = read(file(HEAD + f"1,2024-01-01T00:00:00Z,{field},1\n"))
    assert found.broken == ({0: ["row:csv"]} if strict else {})
    assert found.table["kind"].to_pylist() == [None if strict else field]


def test_a_header_alone_is_a_file_without_rows():
    assert readers.header_error(file(HEAD), THINGS) == ""
    judged = judge(file(HEAD))
    assert (judged.rows, judged.good.num_rows, judged.problems, judged.span) == (0, 0, (), (None, None))


FEW = st.sampled_from(["San José", "New York", "", "NULL", "x"])
PARTS = st.lists(st.tuples(st.permutations(["id", "seen", "kind", "size"]), st.lists(FEW, max_size=3)), max_size=4)


@settings(deadline=None)
@given(PARTS)
def test_files_whose_columns_have_another_order_are_read_as_each_of_them_alone(parts):
    files = []
    for names, texts in parts:
        lines = [{"id": "1", "seen": "2024-01-01T00:00:00Z", "kind": text, "size": "2"} for text in texts]
        content = "".join(",".join(line[name] for name in names) + "\n" for line in [{n: n for n in names}, *lines])
        files.append(file(content, f"{len(files)}.csv"))
    alone = [row for one in files for row in read(one).table.to_pylist()]
    assert (read(*files).table.to_pylist() if files else []) == alone


def test_new_columns_are_reported_and_left_out():
    judged = judge(file("id,seen,kind,size,colour\n1,2024-01-01T00:00:00Z,x,1,red\n"))
    assert judged.unknown == ("colour",)
    more = [file("id,weight,colour\n"), file("alpha,weight\n")]
    assert readers.unknown_columns(more, THINGS) == ("alpha", "colour", "weight")
    assert judged.good.column_names == ["id", "seen", "kind", "size", "file_modified"]
    assert readers.unknown_columns([file("id,,se\x1ben,\n")], THINGS) == (
        "number 2 (no name)", "number 4 (no name)", r"se\x1ben",
    )  # fmt: skip


NUMBERS = st.floats(allow_nan=False, allow_infinity=False, min_value=-1e90, max_value=1e90) | st.integers(
    -(10**17), 10**17
)


NOTHING = re.compile(
    r"[-?\u2010-\u2015\u2212]+|\\n|n\.a\.|-nan|null|none|nil|nan|nat|n/a|undefined"
    r"|\((null|none|nil|nan|nat|n/a|undefined|na)\)|<(null|none|nil|nan|nat|n/a|undefined|na)>"
    r"|\[(null|none|nil|nan|nat|n/a|undefined|na)\]|#(n/a|n/a n/a|na|null!|value!|ref!|div/0!|name\?|num!)"
)
"""Texts in lower case that mean no value."""


@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(NUMBERS, st.text(st.characters(exclude_categories=["C", "Z"]))), max_size=20))
def test_what_the_csv_module_writes_comes_back(values):
    import csv
    import io

    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerows([(1, "2024-01-01T00:00:00Z", text, repr(number)) for number, text in values])
    rows = read(file(HEAD + out.getvalue()))
    assert rows.broken == {}
    assert rows.table["size"].to_pylist() == [float(number) for number, _ in values]
    unseen = str.maketrans("", "", "\u034f\u180b\u180c\u180d" + "".join(map(chr, range(0xFE00, 0xFE10))))
    wanted = [unicodedata.normalize("NFC", text.translate(unseen)) for _, text in values]
    wanted = ["" if NOTHING.fullmatch(text.lower()) or text == "NA" else text for text in wanted]
    assert [text or "" for text in rows.table["kind"].to_pylist()] == wanted


@settings(deadline=None, max_examples=40)
@given(st.lists(st.binary(max_size=40), max_size=8))
def test_no_bytes_make_it_fail_and_every_row_is_good_or_has_its_rule(lines):
    content = HEAD.encode() + b"\n".join(lines)
    judged = judge(file(content))
    assert judged.good.num_rows + judged.bad + judged.repeated + judged.conflicting == judged.rows
    lines_there = content.replace(b"\r\n", b"\n").replace(b"\r", b"\n").count(b"\n") + 1
    assert all(2 <= each.line <= lines_there for each in judged.broken)


# --- one row per version ----------------------------------------------------------------------------------------------

ROW = st.tuples(st.integers(1, 4), st.integers(1, 3), st.sampled_from(["", "x", "y"]), st.sampled_from(["", "1", "2"]))


@settings(deadline=None, max_examples=40)
@given(st.lists(ROW, max_size=12), st.randoms())
def test_every_version_of_a_key_stays_once_whatever_the_order(rows, random):
    lines = [f"{key},2024-01-0{day}T00:00:00Z,{kind},{size}\n" for key, day, kind, size in rows]
    shuffled = random.sample(lines, len(lines))
    first, second = judge(file(HEAD + "".join(lines))), judge(file(HEAD + "".join(shuffled)))
    order = [("id", "ascending"), ("seen", "ascending")]
    assert first.good.sort_by(order).equals(second.good.sort_by(order))
    kept = [(row["id"], row["seen"].day) for row in first.good.to_pylist()]
    assert sorted(kept) == sorted({(key, day) for key, day, *_ in rows})
    assert first.outdated == len(kept) - len({key for key, _ in kept})
    assert (first.repeated + first.bad, first.conflicting) == (len(rows) - len(kept), 0)
    best = {(key, day): max(row for row in rows if row[:2] == (key, day)) for key, day in kept}
    assert first.bad == sum(row != best[row[:2]] for row in rows)


# --- the batch as a whole --------------------------------------------------------------------------------------------


def with_rules(*rules, **given):
    from dataclasses import replace

    return replace(THINGS, expectations=lambda: rules, **given)


def rule(kind, action="quarantine", min_rows=1, **arguments):
    import great_expectations.expectations as gxe

    return Expectation(getattr(gxe, kind)(**arguments), action, min_rows)


def checked(text, *rules, **given):
    source = with_rules(*rules, **given)
    rows = read(file(text), source=source)
    return judge(file(text), source=source, outcomes=expectations.run_expectations(rows.table.take(rows.read), rules))


def many(*sizes):
    return HEAD + "".join(f"{n},2024-01-01T00:00:00Z,x,{size}\n" for n, size in enumerate(sizes))


def test_more_bad_rows_than_the_contract_allows_block_the_batch_and_the_first_is_named():
    between = rule("ExpectColumnValuesToBeBetween", column="size", min_value=0, max_value=9)
    assert checked(many(*[1] * 9, 99), between).problems == ()
    judged = checked(many(*[1] * 8, 99, 99), between)
    assert judged.problems == (
        "things: 2 of 10 rows break a rule and 10% may; most break size:be_between (2), the first in a.csv line 10",
    )


def test_a_mean_that_contradicts_the_quantity_blocks_only_where_there_are_rows_enough():
    mean = rule("ExpectColumnMeanToBeBetween", "block", 3, column="size", min_value=5, max_value=9)
    assert checked(many(1, 1), mean).problems == ()
    assert checked(many("", "", ""), mean).problems == ()
    (why,) = checked(many(1, 1, 1), mean).problems
    assert (
        why == "things: it is 1 over 3 rows, against size:mean_to_be_between (min_value 5.0, max_value 9.0), else block"
    )


def test_a_burst_of_missing_values_blocks():
    most = rule("ExpectColumnValuesToNotBeNull", "block", column="size", mostly=0.9)
    assert checked(many(*[1] * 9, ""), most).problems == ()
    assert "2 of 10 rows break size:not_be_null" in checked(many(*[1] * 8, "", ""), most).problems[0]


def test_a_warning_neither_blocks_nor_sets_aside():
    warn = rule("ExpectColumnValuesToBeBetween", "warn", column="size", min_value=0, max_value=9)
    judged = checked(many(99, 99), warn)
    assert (judged.problems, judged.bad, judged.outcomes[0].failed) == ((), 0, 2)


BATCH = pa.table(
    {
        "a": pa.array([1.0, 2.0, None, 4.0, 50.0]),
        "b": pa.array(["x", None, "yy", "x", ""]),
        "c": pa.array([1, 2, 3, 4, 5]),
        "t": pa.array([datetime(2024, 1, n, tzinfo=UTC) for n in range(1, 6)], pa.timestamp("us", "UTC")),
    }
)
FRAME = BATCH.to_pandas()
SINGLE_ROWS = [
    ("ExpectColumnValuesToNotBeNull", {"column": "a"}, FRAME.a.isna()),
    ("ExpectColumnValuesToBeNull", {"column": "a"}, FRAME.a.notna()),
    ("ExpectColumnValuesToBeBetween", {"column": "a", "min_value": 2, "max_value": 9}, (FRAME.a < 2) | (FRAME.a > 9)),
    ("ExpectColumnValuesToBeBetween", {"column": "a", "max_value": 9}, FRAME.a > 9),
    ("ExpectColumnValuesToBeInSet", {"column": "b", "value_set": ["x"]}, FRAME.b.notna() & (FRAME.b != "x")),
    ("ExpectColumnValuesToNotBeInSet", {"column": "b", "value_set": ["x"]}, FRAME.b == "x"),
    ("ExpectColumnValuesToMatchRegex", {"column": "b", "regex": "^[a-z]+$"}, FRAME.b == ""),
    ("ExpectColumnValuesToNotMatchRegex", {"column": "b", "regex": "^x$"}, FRAME.b == "x"),
    ("ExpectColumnValueLengthsToBeBetween", {"column": "b", "min_value": 1, "max_value": 1}, FRAME.b.isin(["yy", ""])),
    ("ExpectColumnValuesToBeUnique", {"column": "b"}, FRAME.b == "x"),
    ("ExpectColumnPairValuesAToBeGreaterThanB", {"column_A": "c", "column_B": "a"}, ~(FRAME.c > FRAME.a)),
    (
        "ExpectColumnPairValuesAToBeGreaterThanB",
        {"column_A": "c", "column_B": "a", "or_equal": True, "ignore_row_if": "either_value_is_missing"},
        FRAME.a > FRAME.c,
    ),
    ("ExpectCompoundColumnsToBeUnique", {"column_list": ["a", "b"]}, pd.Series([False] * 5)),
    (
        "ExpectColumnValuesToBeNull",
        {"column": "a", "row_condition": ConditionColumn("c") > 3},
        (FRAME.c > 3) & FRAME.a.notna(),
    ),
]


@pytest.mark.parametrize(("kind", "arguments", "breaks"), SINGLE_ROWS)
def test_rows_set_aside_are_those_that_great_expectations_counts_and_that_the_rule_means(kind, arguments, breaks):
    (outcome,) = expectations.run_expectations(BATCH, [rule(kind, **arguments)])
    assert list(outcome.positions) == list(np.flatnonzero(breaks.fillna(False)))
    assert outcome.failed == len(outcome.positions)
    assert outcome.held is (outcome.failed == 0)


def test_outcomes_come_in_the_order_of_their_expectations():
    rules = [rule(kind, **arguments) for kind, arguments, _ in SINGLE_ROWS]
    rules.insert(1, rule("ExpectColumnMeanToBeBetween", "warn", column="c", min_value=3, max_value=3))
    together = expectations.run_expectations(BATCH, rules)
    assert [outcome.rule for outcome in together] == [expectations.rule_name(each) for each in rules]
    alone = [outcome for each in rules for outcome in expectations.run_expectations(BATCH, [each])]
    assert [each for n, each in enumerate(together) if n != 1] == [each for n, each in enumerate(alone) if n != 1]
    assert (alone[1].observed, alone[1].rows) == (3, 5)


def test_a_rule_on_the_batch_judges_the_rows_that_stay():
    sizes = [1.0] * 880 + [1e6]
    between = rule("ExpectColumnValuesToBeBetween", column="size", min_value=0, max_value=9)
    mean = rule("ExpectColumnMeanToBeBetween", "block", 3, column="size", min_value=0, max_value=2)
    there = rule("ExpectColumnValuesToNotBeNull", "block", column="kind", mostly=1)
    for rules in ([between, mean, there], [mean, there, between]):
        judged = checked(many(*sizes), *rules)
        assert (judged.problems, judged.bad, judged.good.num_rows) == ((), 1, 880)
        assert [o.rows for o in judged.outcomes if o.action == "block"] == [880, 880]
    assert "it is 1136.07 over 881 rows" in checked(many(*sizes), mean).problems[0]


def test_a_share_of_all_rows_may_break_a_rule_that_blocks():
    low = rule("ExpectColumnValuesToBeBetween", "block", column="size", max_value=9)
    seldom = Expectation(low.rule, "block", 1, 0.2)
    assert checked(many(*[1] * 8, 99, 99), seldom).problems == ()
    assert "3 of 10 rows break size:be_between (max_value 9.0, max_share 0.2), else block" in str(
        checked(many(*[1] * 7, *[99] * 3), seldom).problems
    )


def test_quantiles_are_told_in_a_line():
    ranges = {"quantiles": [0.05, 0.99], "value_ranges": [[None, -3], [16, None]]}
    spread = rule("ExpectColumnQuantileValuesToBeBetween", "block", column="size", quantile_ranges=ranges)
    assert checked(many(-5, 1, 40), spread).problems == ()
    (why,) = checked(many(0, 1, 2), spread).problems
    assert why.startswith("things: it is 0, 2 over 3 rows, against size:quantile_values_to_be_between (quantile_ranges")
    assert "0.05 in [None, -3], 0.99 in [16, None]" in why


@pytest.mark.parametrize(
    ("kind", "action", "arguments", "why"),
    [
        ("ExpectColumnMeanToBeBetween", "quarantine", {"column": "a", "min_value": 0}, "mark it block or warn"),
        ("ExpectTableRowCountToBeBetween", "quarantine", {"min_value": 0}, "mark it block or warn"),
        ("ExpectColumnValuesToBeBetween", "warn", {"column": "z", "min_value": 0}, "z:be_between cannot run"),
    ],
)
def test_a_rule_that_cannot_do_what_it_is_marked_for_says_so(kind, action, arguments, why):
    with pytest.raises(ConfigError, match=why):
        expectations.run_expectations(BATCH, [rule(kind, action, **arguments)])


def test_the_catalog_and_people_read_the_rule_itself():
    between = rule("ExpectColumnValuesToBeBetween", column="size", min_value=0, max_value=9)
    assert expectations.column_comments([between]) == {
        "size": "size:be_between (min_value 0.0, max_value 9.0), else quarantine"
    }


def test_what_became_of_a_delivery_is_told():
    judged = judge(
        file(HEAD + GOOD + "2,2024-01-03T00:00:00Z,x,1.5\nthree,2024-01-03T00:00:00Z,x,1\n", "a.csv"), file(HEAD + GOOD)
    )
    assert judged.span == (datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 1, 3, tzinfo=UTC))
    assert list(judged.per_day.values()) == [1, 0, 1]
    assert [broken.column for broken in judged.broken] == ["id"]
    assert judged.summary == "things: 2 rows of 2 files, 1 to quarantine, 1 known better by another"
    nothing = judge(file("id,seen,kind,size,colour\n"))
    assert nothing.summary == "things: 0 rows of 1 files; columns colour are new and left out"
    assert (nothing.span, nothing.per_day) == ((None, None), {})
