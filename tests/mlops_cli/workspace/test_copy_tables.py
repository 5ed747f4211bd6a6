"""`mlops copy-tables`: the SQL that it shows and runs, and that a copy which lost anything is told; over HTTP."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
from double import Double, Refused
from pyspark.sql import SparkSession

from mlops_cli.cli import run_args
from mlops_cli.legacy_tables import (
    TableFacts,
    copy_statement,
    describe_difference,
    parse_facts,
    proof_statement,
    quote_name,
)

COLUMNS = [("id", "bigint"), ("o`dd", "map<string,int>")]
ARGUMENTS = ("copy-tables", "hive_metastore.flights", "prod.flights", "--prefix", "old_")


def described(columns: list[tuple[str, str]], **facts: str) -> list[dict[str, str]]:
    """The answer of DESCRIBE TABLE EXTENDED for a table with partitions."""
    rows = [*columns, ("# Partition Information", ""), ("# col_name", "data_type"), columns[0]]
    rows += [("", ""), ("# Detailed Table Information", ""), *facts.items()]
    return [{"col_name": name, "data_type": type_, "comment": ""} for name, type_ in rows]


@dataclass
class Warehouse:
    """Answers statements as a SQL warehouse does, over tables whose content is a list of values."""

    tables: dict[str, list[int]]
    providers: dict[str, str] = field(default_factory=dict)
    spoil: Callable[[list[int]], list[int]] = list
    """What a copy makes of the rows."""
    refused: str = ""
    """A statement that the login may not run."""
    ran: list[str] = field(default_factory=list)

    def query(self, text: str) -> list[dict[str, Any]]:
        self.ran.append(text)
        if text == self.refused:
            raise Refused(403, "PERMISSION_DENIED", "no right on it")
        names = [".".join(re.findall(r"`(\w+)`", name)) for name in re.findall(r"`\w+`(?:\.`\w+`)+", text)]
        if text.startswith("SHOW VIEWS"):
            return [{"namespace": "flights", "viewName": "late", "isTemporary": "false"}]
        if text.startswith("SHOW TABLES"):
            held = [name.split(".")[2] for name in self.tables if name.startswith(f"{names[0]}.")]
            return [{"database": "flights", "tableName": name, "isTemporary": "false"} for name in held]
        for name in names[text.startswith(("CREATE", "SYNC")) :]:
            if name not in self.tables:
                raise Refused(404, "TABLE_OR_VIEW_NOT_FOUND", f"no table {name}")
        if text.startswith("DESCRIBE"):
            return described(COLUMNS, Provider=self.providers.get(names[0], "delta"), Type="MANAGED")
        if text.startswith("SELECT"):
            rows = self.tables[names[-1]]
            return [{"row_count": str(len(rows)), "row_digest": str(sum(map(hash, rows)))}]
        assert text.startswith("CREATE TABLE "), text
        self.tables[names[0]] = self.spoil(self.tables[names[1]])
        return []


@pytest.fixture
def warehouse(double: Double, monkeypatch: pytest.MonkeyPatch) -> Warehouse:
    monkeypatch.setattr("time.sleep", lambda _: None)
    held = {f"hive_metastore.flights.{name}": rows for name, rows in {"a": [1, 2, 3], "b": [], "late": []}.items()}
    served = Warehouse({**held, "prod.flights.other": [7]}, {"hive_metastore.flights.b": "parquet"})
    double.warehouses, double.query, double.page = [{"id": "on", "state": "RUNNING"}], served.query, 3
    return served


def results(capsys: pytest.CaptureFixture[str], *more: str) -> tuple[int, dict[str, dict[str, Any]]]:
    code = run_args([*ARGUMENTS, "--output", "json", *more])
    return code, {one["source"].split(".")[2]: one for one in json.loads(capsys.readouterr().out)}


def test_without_run_the_statements_are_shown_and_nothing_is_changed(
    warehouse: Warehouse, capsys: pytest.CaptureFixture[str]
) -> None:
    before = dict(warehouse.tables)
    code, by_table = results(capsys)
    assert (code, warehouse.tables) == (0, before)
    assert {name: one["done"] for name, one in by_table.items()} == {
        "a": "would copy", "b": "would copy", "late": "left out",
    }  # fmt: skip
    assert by_table["a"]["statements"][0] == (
        "CREATE TABLE `prod`.`flights`.`old_a` DEEP CLONE `hive_metastore`.`flights`.`a`"
    )
    assert by_table["b"]["statements"][0].endswith("`old_b` AS SELECT * FROM `hive_metastore`.`flights`.`b`")
    assert run_args([*ARGUMENTS]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown[0] == "-- would copy hive_metastore.flights.a as prod.flights.old_a"
    assert shown[1] == f"{by_table['a']['statements'][0]};"


def test_tables_are_copied_and_proved_and_a_repeat_only_proves(
    warehouse: Warehouse, capsys: pytest.CaptureFixture[str]
) -> None:
    code, by_table = results(capsys, "--run")
    assert (code, warehouse.tables["prod.flights.old_a"]) == (0, [1, 2, 3])
    assert [(one["done"], one["rows"]) for one in by_table.values()] == [
        ("copied", "3"),
        ("copied", "0"),
        ("left out", None),
    ]
    warehouse.ran.clear()
    code, by_table = results(capsys, "--run")
    assert (code, by_table["a"]["done"]) == (0, "was there")
    assert [text for text in warehouse.ran if text.startswith("CREATE")] == []
    assert run_args([*ARGUMENTS, "--run"]) == 0
    assert capsys.readouterr().out.startswith(
        "was there  hive_metastore.flights.a as prod.flights.old_a: 3 rows proved"
    )


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda rows: rows[:-1], "it has 2 rows, and the source has 3"),
        (lambda rows: [*rows, 9], "it has 4 rows, and the source has 3"),
        (lambda rows: [*rows[:-1], 9], "it has as many rows as the source, 3, and some of them are others"),
    ],
)
def test_a_copy_that_lost_anything_is_told_and_ends_with_1(
    warehouse: Warehouse, capsys: pytest.CaptureFixture[str], spoil: Callable[[list[int]], list[int]], words: str
) -> None:
    warehouse.spoil = lambda rows: spoil(rows) if rows else rows
    code, by_table = results(capsys, "--run")
    assert (code, by_table["a"]["done"], by_table["b"]["done"]) == (1, "failed", "copied")
    assert words in by_table["a"]["problem"]
    assert "drop it and run this again" in by_table["a"]["problem"]


def test_what_cannot_be_read_is_told_and_the_other_tables_are_copied(
    warehouse: Warehouse, capsys: pytest.CaptureFixture[str]
) -> None:
    warehouse.refused = "DESCRIBE TABLE EXTENDED `hive_metastore`.`flights`.`a`"
    code, by_table = results(capsys, "--run")
    assert (code, by_table["a"]["done"], by_table["b"]["done"]) == (1, "failed", "copied")
    assert "reading the columns of hive_metastore.flights.a failed: no right on it" in by_table["a"]["problem"]


@pytest.mark.parametrize(
    "words",
    [
        ("hive_metastore", "prod.flights"),
        ("hive_metastore.flights", "prod.flights; DROP TABLE x"),
        ("hive_metastore.`a`", "prod.flights"),
        ("prod.flights", "hive_metastore.flights"),
        ("hive_metastore.flights", "prod.flights", "--prefix", "a`b"),
    ],
)
def test_names_that_are_none_are_refused_before_anything_is_asked(words: tuple[str, ...], double: Double) -> None:
    assert run_args(["copy-tables", *words]) == 2
    assert double.calls == []


def test_a_schema_without_tables_is_told(warehouse: Warehouse, capsys: pytest.CaptureFixture[str]) -> None:
    warehouse.tables.clear()
    assert run_args([*ARGUMENTS]) == 1
    assert "hive_metastore.flights has no table" in capsys.readouterr().err


def test_facts_of_a_table_are_read_with_its_partitions() -> None:
    facts = parse_facts(described(COLUMNS, Provider="DELTA", Type="EXTERNAL", Location="abfss://raw@a/f"))
    assert facts == TableFacts(tuple(COLUMNS), "delta", "EXTERNAL", "abfss://raw@a/f")
    assert copy_statement("s", "t", facts, in_place=True) == "SYNC TABLE t FROM s"
    assert copy_statement("s", "t", facts, in_place=False) == "CREATE TABLE t DEEP CLONE s"
    mounted = parse_facts(described(COLUMNS, Provider="csv", Type="EXTERNAL", Location="dbfs:/mnt/raw"))
    assert copy_statement("s", "t", mounted, in_place=True) == "CREATE TABLE t AS SELECT * FROM s"
    assert quote_name("a", "b`; DROP") == "`a`.`b``; DROP`"


def test_columns_that_differ_are_named() -> None:
    row = {"row_count": "1", "row_digest": "2"}
    old, new = TableFacts((("a", "int"), ("b", "date"))), TableFacts((("a", "bigint"), ("b", "date")))
    assert describe_difference((old, row), (new, row)) == "its columns differ: a bigint, a int"
    turned = TableFacts(old.columns[::-1])
    assert describe_difference((old, row), (turned, row)) == "its columns differ: they stand in another order"
    assert describe_difference((old, row), (old, row)) is None


ROWS = [
    (1, "x", 1.5, datetime(2024, 1, 1, 0, 0, 0, 1, UTC), [1, None], {"k": 1}, (1, None), True),
    (2, None, float("nan"), None, [], {}, (None, 1), None),
    (None, "x", None, datetime(2024, 1, 1, tzinfo=UTC), None, None, None, False),
]
TYPES = (
    "id int, `o``dd` string, size double, at timestamp, many array<int>, by map<string,int>, "
    "two struct<a:int,b:int>, yes boolean"
)


@pytest.mark.nightly
def test_the_proof_changes_with_every_value_and_not_with_the_order(spark: SparkSession) -> None:
    def proof(rows: list[tuple[Any, ...]]) -> tuple[int, Any]:
        frame = spark.createDataFrame(rows, TYPES)
        frame.createOrReplaceTempView("proved")
        row = spark.sql(proof_statement("proved", frame.dtypes)).collect()[0]
        return row["row_count"], row["row_digest"]

    whole = proof(ROWS)
    assert proof(ROWS[::-1]) == whole
    assert proof([]) == (0, None)
    others = [*ROWS, ROWS[0]], ROWS[:2], [ROWS[0], ROWS[0], ROWS[2]]
    # Each value of the first row becomes NULL, then the values of two columns of one type change places.
    changed = [[(*ROWS[0][:n], None, *ROWS[0][n + 1 :]), *ROWS[1:]] for n in range(len(ROWS[0]))]
    shifted = [(*ROWS[0][:3], ROWS[0][3].replace(microsecond=2), *ROWS[0][4:]), *ROWS[1:]]
    swapped = [(*ROWS[0][:6], (None, 1), True), *ROWS[1:]]
    proofs = [whole, *map(proof, (*others, *changed, shifted, swapped))]
    assert len(set(proofs)) == len(proofs)
