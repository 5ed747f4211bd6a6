"""A batch that is judged in parts and shards gives the rows and figures of a batch that is judged at once."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_file_parts import land, whole_of
from things import NOW, make_things

from mlops.contract import Expectation, FileFormat, Source
from mlops.data import batch_parts, expectations, file_parts, quarantine, readers
from mlops.data.batch_parts import PART_COUNTS, SHARD_FIGURES, PartCounts
from mlops.data.file_formats import File
from mlops.data.landing import LandedFile
from mlops.data.quarantine import BatchRows, Figures

THINGS = replace(make_things(id="long", seen="timestamp", kind="string", size="double"), max_versions=2)
HEAD = "id,seen,kind,size\n"
ROW = st.tuples(
    st.integers(1, 5), st.integers(1, 3), st.sampled_from(["", "x", '"y', "NULL"]), st.sampled_from(["", "1", "2", "-"])
)
FILES = st.lists(st.lists(ROW, max_size=6), min_size=1, max_size=2)


def judge_whole(source: Source, landed: Sequence[LandedFile]) -> BatchRows:
    files = [whole_of(file, source.files) for file in landed]
    rows = readers.read_files(source, files)
    outcomes = expectations.run_expectations(rows.table.take(rows.read), source.expectations())
    return quarantine.split_valid_rows(source, files, rows, outcomes, ())


def judge_parts(
    source: Source, landed: Sequence[LandedFile], size: int, shards: int
) -> tuple[PartCounts, Figures, list[object], pa.Table]:
    """Judge a batch in parts of `size` bytes, and its rows in shards of keys; returns also both kinds of rows."""
    surveys = {file: file_parts.survey_file(file, source.files, size) for file in landed}
    heads = [
        File(file.name, survey.sha256, file.size, file.modified, survey.head, source.files)
        for file, survey in surveys.items()
    ]
    tasks = batch_parts.pack_parts(source, landed, surveys, size)
    rows = pa.Table.from_batches(
        [batch for task in tasks for batch in batch_parts.read_task(source, heads, task, size)]
    )
    counts = [PART_COUNTS.validate_json(text) for text in rows["_counts"].drop_null().to_pylist()]
    rows = rows.filter(rows["_counts"].is_null()).drop_columns("_counts")
    places = [
        hash(tuple(row[name] for name in source.key)) % shards if row["_rules"] is None else row["_line"] % shards
        for row in rows.to_pylist()
    ]
    judged = [
        batch_parts.judge_shard(source, heads, rows.take([at for at, place in enumerate(places) if place == shard]))
        for shard in range(shards)
        if shard in places
    ]
    together = pa.concat_tables(judged) if judged else batch_parts.judge_shard(source, heads, rows)
    figures = [row for row in together.to_pylist() if row["_kind"] == "figures"]
    added, examples = batch_parts.add_shards([SHARD_FIGURES.validate_json(row["_row"]) for row in figures], heads)
    aside = [row for row in together.to_pylist() if row["_kind"] == "broken"]
    assert {(row.file.name, row.line, row.rule, row.row) for row in examples} <= {
        (row["_file"], row["_line"], row["_rule"], row["_row"]) for row in aside
    }
    good = together.filter(pa.compute.equal(together["_kind"], "good"))
    return sum(counts, PartCounts()), added, aside, good


def compare(source: Source, landed: Sequence[LandedFile], size: int, shards: int) -> PartCounts:
    whole = judge_whole(source, landed)
    counts, figures, aside, good = judge_parts(source, landed, size, shards)
    for name in Figures.__dataclass_fields__:
        if name not in {"crowded_keys", "by_rule"}:  # their order is open where counts are equal
            assert getattr(figures, name) == getattr(whole, name), name
    assert sorted(figures.by_rule.items()) == sorted(whole.by_rule.items())
    assert [count for _, count in figures.crowded_keys] == [count for _, count in whole.crowded_keys]
    order = [(name, "ascending") for name in whole.good.column_names]
    assert good.select(whole.good.column_names).sort_by(order).to_pylist() == whole.good.sort_by(order).to_pylist()
    names = ("_file", "_sha256", "_line", "_column", "_rule", "_row")
    expected = [(row.file.name, row.file.sha256, row.line, row.column, row.rule, row.row) for row in whole.broken]
    assert sorted(tuple(row[name] for name in names) for row in aside) == sorted(expected)
    return counts


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("batches")


@settings(deadline=None, max_examples=8)  # an example reads dozens of parts
@given(FILES, st.sampled_from([1, 60, 120]), st.integers(1, 3))
def test_versions_repeats_and_contradictions_are_found_across_parts(
    folder: Path, files: list[list[tuple[int, int, str, str]]], size: int, shards: int
) -> None:
    lines = [[f"{key},2024-01-0{day}T00:00:00Z,{kind},{size}\n" for key, day, kind, size in rows] for rows in files]
    contents = list(dict.fromkeys(HEAD + "".join(text) for text in lines))
    compare(THINGS, [land(folder, f"{n}.csv", text.encode()) for n, text in enumerate(contents)], size, shards)


def test_json_lines_whose_records_lack_columns_are_judged_in_parts(folder: Path) -> None:
    source = replace(THINGS, files=FileFormat(kind="jsonl"))
    names = [["id", "seen"], ["id", "seen", "kind"], ["seen", "kind", "size"]]
    record = {"id": 1, "seen": "2024-01-01T00:00:00Z", "kind": "x", "size": 2}
    lines = [json.dumps({name: record[name] for name in given}) for given in names]
    compare(source, [land(folder, "a.jsonl", "\n".join(lines).encode())], 10, 2)


def make_rule(
    kind: str, action: str = "quarantine", min_rows: int = 1, share: float = 0, **given: object
) -> Expectation:
    import great_expectations.expectations as gxe

    return Expectation(getattr(gxe, kind)(**given), action, min_rows, share)  # type: ignore[arg-type]


def make_condition(text: str) -> object:
    from great_expectations.expectations.row_conditions import PassThroughCondition

    return PassThroughCondition(pass_through_filter=text)


def single_row_rules() -> list[Expectation]:
    """Rules of every action that judge rows one by one, some of which hold and some of which do not."""
    between = {"column": "size", "min_value": 0, "max_value": 50}
    odd = make_condition("abs(size - floor(size)) > 0.4 and kind.str.len() == 1")
    return [
        make_rule("ExpectColumnValuesToBeInSet", column="kind", value_set=["x", "y"]),
        make_rule("ExpectColumnValuesToBeBetween", "block", **between),
        make_rule("ExpectColumnValuesToBeBetween", "block", mostly=0.9, **between),
        make_rule("ExpectColumnValuesToBeBetween", "warn", mostly=0.2, **between),
        make_rule("ExpectColumnValuesToBeBetween", "block", min_rows=1000, **between),
        make_rule("ExpectColumnValuesToNotBeNull", "block", column="size", mostly=0.7),
        make_rule("ExpectColumnValuesToNotBeNull", "block", column="size", mostly=0.95),
        make_rule("ExpectColumnValuesToBeNull", "block", share=0.05, column="id", row_condition=odd),
        make_rule("ExpectColumnValuesToBeNull", "block", share=0.5, column="id", row_condition=odd),
    ]


def test_rules_on_single_rows_come_to_the_same_outcomes_in_parts(folder: Path) -> None:
    source = replace(THINGS, expectations=single_row_rules)
    rows = [f"{n},2024-01-01T00:00:00Z,{'xyz'[n % 7 // 3]},{'' if n % 5 == 0 else n / 2}\n" for n in range(1, 90)]
    landed = [land(folder, f"rules{n}.csv", (HEAD + "".join(rows[n::2])).encode()) for n in range(2)]
    rules, whole = single_row_rules(), judge_whole(source, landed).outcomes
    assert all(map(expectations.judges_single_rows, rules))
    outcomes = compare(source, landed, 700, 2).outcomes(rules)
    assert outcomes == [replace(outcome, positions=()) for outcome in whole]
    assert {outcome.held for outcome in outcomes} == {True, False}


@pytest.mark.parametrize("rows", [9, 10, 11, 500])
def test_a_sample_is_judged_if_all_rows_are_enough_for_the_rule(rows: int) -> None:
    rule = make_rule("ExpectColumnMedianToBeBetween", "block", min_rows=10, column="size", min_value=0)
    (prepared,) = batch_parts.prepare_for_sample([rule], rows)
    sample = pa.table({"size": [-1.0] * min(rows, 3)})
    (outcome,) = expectations.run_expectations(sample, [prepared])
    assert outcome.held == (rows < 10)


def test_rules_that_compare_rows_are_known() -> None:
    compared = [
        make_rule("ExpectColumnValuesToBeUnique", column="id"),
        make_rule("ExpectColumnMedianToBeBetween", "block", column="size", min_value=0),
        make_rule("ExpectCompoundColumnsToBeUnique", column_list=["id", "kind"]),
        *(
            make_rule("ExpectColumnValuesToBeNull", column="id", row_condition=make_condition(text))
            for text in (
                "size == size.mode().max()",
                "id.duplicated()",
                "size > size . shift(1)",
                "size in id",
                "kind not in ['x', kind]",
                "size.isin(id)",
                "kind.isin(values=kind)",
                "index > 5",
                "size > size[0]",
                "`id` > 1",
                "size > size.mean()",
                "kind == kind.fillna(method='ffill')",
            )
        ),
    ]
    assert not any(map(expectations.judges_single_rows, compared))
    assert [expectations.judges_by_share(rule) for rule in compared] == [False, True, *[False] * (len(compared) - 2)]
    share = make_rule("ExpectColumnValuesToBeNull", "block", share=0.1, column="id",
                      row_condition=make_condition("size == size.mode().max()"))  # fmt: skip
    assert expectations.judges_by_share(share)
    assert expectations.columns_read(share, ["id", "size", "kind"]) == {"id", "size"}
    names = make_rule("ExpectTableColumnsToMatchOrderedList", "block", column_list=["id", "size", "kind"])
    assert expectations.columns_read(names, ["id", "size", "kind"]) == {"id", "size", "kind"}
    assert expectations.columns_read(make_rule("ExpectTableRowCountToEqual", "block", value=1), ["id"]) == set()


@pytest.mark.parametrize(
    "text", ["", " size > 1 ", "kind in ['x', 'y'] and size not in (1, -2)", "kind.isin(['x']) | (kind.str.len() > 3)"]
)
def test_a_condition_on_values_of_the_row_is_judged_in_parts(text: str) -> None:
    given = {"row_condition": make_condition(text)} if text else {}
    assert expectations.judges_single_rows(make_rule("ExpectColumnValuesToBeNull", column="id", **given))


CONDITIONS = [
    "n.astype('str') == '7'", "n.astype('str').str.len() == 1", "kind + n.astype('str') == 'x7'", "n != 7",
    "not (n > 8)", "n / 2 > 1", "n % 2 == 1", "n.isin([7, 90])", "n.isna()", "n.round(0) == 7", "n.between(3, 7)",
    "big.astype('str') == '9007199254740993'", "big == 9007199254740993",
    "kind.str.len() == 1", "kind.str.len().astype('str') == '1.0'", "kind.str.contains('x')", "kind != 'x'",
    "kind in ['x']", "kind not in ['x', 'yy']", "kind.str.startswith('x') or n > 3", "kind.isin(['x'])",
    "kind.fillna('x') == 'x'", "kind.str.slice(0, 1).str.upper() == 'X'", "kind > 'x'", "size * n > 7",
    "size.astype('str') == '2.0'", "size != 2", "abs(size - floor(size)) > 0.1", "size.isna() and n > 3",
    "due.dt.hour.astype('str') == '5.0'", "seen.dt.hour.astype('str') == '5'", "due.dt.hour == 5", "due > seen",
    "due.dt.strftime('%H') == '05'", "due.dt.date.astype('str') == '2024-01-10'",
    "kind + due.dt.strftime('%H') == 'x05'",
    "(due - seen).dt.total_seconds() > 0", "5 <= due.dt.hour <= 8", "id.astype('str').str.zfill(2) == '01'",
]  # fmt: skip
EARLY, LATE = NOW.replace(hour=5), NOW.replace(hour=6)
CELLS = {
    "id": ("long", [1, 2, 3]), "seen": ("timestamp", [EARLY, LATE]),
    "due": ("timestamp", [EARLY, None, LATE, None, EARLY]),
    "n": ("long", [7, 8, None, 90]), "big": ("long", [2**53 + 1, None, 2**53]),
    "kind": ("string", ["x", None, "yy", "", None, "x", "x"]), "size": ("double", [2.0, None, 0.5]),
}  # fmt: skip


@pytest.mark.parametrize("condition", CONDITIONS)
def test_where_a_batch_is_cut_does_not_change_what_a_condition_on_single_rows_selects(condition: str) -> None:
    rule = make_rule("ExpectColumnValuesToBeNull", column="id", row_condition=make_condition(condition))
    assert expectations.judges_single_rows(rule)
    table = pa.table({
        name: pa.array([values[n % len(values)] for n in range(16)], readers.ARROW_TYPES[kind])
        for name, (kind, values) in CELLS.items()
    })  # fmt: skip

    def select(part: pa.Table) -> list[bool]:
        return [bool(met) for met in expectations.select_rows(readers.to_pandas(part), condition, ("id", "seen"))]

    whole = select(table)
    assert True in whole
    for size in (1, 2, 7):
        assert [met for start in range(0, 16, size) for met in select(table[start : start + size])] == whole, size


def test_a_condition_on_a_missing_value_selects_no_row_and_raises_nothing() -> None:
    table = pa.table({"n": pa.array([7, None, 90]), "kind": pa.array(["x", None, "yy"])})
    selected = {
        text: [*expectations.select_rows(readers.to_pandas(table), text, ())]
        for text in ("n.astype('str') == '7'", "kind.str.contains('x')", "n != 90", "kind.str.len() == 1")
    }
    assert set(map(tuple, selected.values())) == {(True, False, False)}
    rule = make_rule("ExpectColumnValuesToBeNull", column="n", row_condition=make_condition("kind.str.contains('x')"))
    for batch in (table, table[1:]):
        (outcome,) = expectations.run_expectations(batch, [rule])
        assert outcome.positions == ((0,) if batch is table else ())
