"""Columns that two sources have: a batch that contradicts the other source is blocked, corrections are not."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime, timedelta

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from mlops.contract import Column, Source
from mlops.data.agreement import find_disagreements

START = datetime(2024, 1, 1, tzinfo=UTC)
ENDS = Source(
    name="ends",
    comment="Ends",
    columns=(
        Column(name="id", type="long", comment="Number"),
        Column(name="part", type="string", comment="Part"),
        Column(name="place", type="string", comment="Place", required=False),
        Column(name="due", type="timestamp", comment="When it was due, UTC"),
    ),
    key=("id", "part"),
    known_at="due",
    max_bad_share=0.25,
    agrees_with={"plans": ("place", "due")},
)
ROW = st.fixed_dictionaries(
    {
        "id": st.sampled_from([0, 1, 2, 2**53, 2**53 + 1, None]),
        "part": st.sampled_from(["a", "b", None]),
        "place": st.sampled_from(["x", "x", "y", None]),
        "due": st.sampled_from([START, START, START + timedelta(hours=1)]),
    }
)
ROWS, VERSIONS = st.lists(ROW, max_size=60), st.lists(ROW, max_size=12)
SCHEMA = pa.schema([("id", "int64"), ("part", "string"), ("place", "string"), ("due", pa.timestamp("us", "UTC"))])


def table(rows):
    return pa.Table.from_pylist(rows, SCHEMA)


def contradicted(rows, plans, column):
    """In plain Python: how many rows have a value that no version has, and how many can be compared."""
    known = defaultdict(set)
    for plan in plans:
        known[plan["id"], plan["part"]] |= {plan[column]} - {None}
    both = [row for row in rows if row[column] is not None and known[row["id"], row["part"]]]
    return sum(row[column] not in known[row["id"], row["part"]] for row in both), len(both)


@given(ROWS, VERSIONS, VERSIONS)
def test_a_column_is_named_if_more_rows_than_may_contradict_every_version(rows, plans, more):
    problems = find_disagreements(ENDS, table(rows), "plans", [table(plans), table(more)])
    expected = []
    for column in ("place", "due"):
        wrong, both = contradicted(rows, [*plans, *more], column)
        if both >= 20 and wrong > 0.25 * both:
            expected.append(
                f"ends: {column} differs from that of plans in {wrong} of {both} rows with the same id, part"
            )
    assert len(problems) == len(expected)
    assert all(problem.startswith(start) for problem, start in zip(problems, expected, strict=True))


def test_a_source_that_is_not_there_yet_contradicts_nothing():
    assert find_disagreements(ENDS, table([]), "plans", []) == []
    assert find_disagreements(ENDS, table([{"id": 1, "part": "a", "place": "x", "due": START}]), "plans", []) == []


def test_keys_that_are_missing_are_equal_and_large_ones_stay_apart():
    rows = [{"id": 2**53 + 1, "part": "a", "place": "x", "due": START}] * 20
    other = [
        {"id": 2**53, "part": "a", "place": "y", "due": START},
        {"id": None, "part": "a", "place": "y", "due": START},
    ]
    assert find_disagreements(ENDS, table([*rows, {**rows[0], "id": None}]), "plans", [table(other)]) == []
    missing = table([{**row, "id": None} for row in rows])
    (problem,) = find_disagreements(ENDS, missing, "plans", [table(other)])
    assert "place differs from that of plans in 20 of 20 rows" in problem
