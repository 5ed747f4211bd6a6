"""The ingestion task on real Spark Connect, Delta Lake and MLflow: broken files, repeats, kills, overlaps."""

from __future__ import annotations

import gzip
import hashlib
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from brokenfeeds import FILES, HARMLESS, KINDS, STRICT_TOY, damaged
from pyspark.sql import functions as F
from test_jobs_loop import laptop_in
from things import NOW, make_things
from toy import TOY, frame_of

from mlops.context import Context
from mlops.contract import BatchBlocked, ConfigError, Conflict, DataError
from mlops.data import agreement, expectations, landing, large_agreement, large_batches, source_tables, table_schemas
from mlops.jobs import ingestion
from mlops.platform.tables import TableColumn, open_schema, rows_of

TABLES = ("orders", "results", "quarantine")
IN_WORKERS = replace(STRICT_TOY, policy=replace(STRICT_TOY.policy, max_read_bytes=1))
"""The same use case with files that workers read, whatever their size."""
ARCHIVING = replace(STRICT_TOY, policy=replace(STRICT_TOY.policy, archive_after=timedelta(0)))
"""The same use case, of which each run archives the files that earlier ones read."""


@pytest.fixture
def laptop(spark, tmp_path, monkeypatch):
    return laptop_in(tmp_path, monkeypatch)


def context_of(laptop, use_case=STRICT_TOY, **given):
    return Context(laptop.ingestion(**given).config, use_case)


def put(laptop, catalog, name, content):
    target = laptop.home / f"Volumes/{catalog}/toy/landing" / name
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content if isinstance(content, bytes) else content.encode())


def state(schema, tables=TABLES):
    """Content hash per table, of what was found rather than of when."""
    when = ["as_of", "file", "file_modified"]
    frames = {table: frame_of(schema, table).drop(columns=when, errors="ignore") for table in tables}
    lines = {table: sorted(frame.to_csv(index=False).splitlines()) for table, frame in frames.items()}
    return {table: hashlib.sha256("\n".join(lines[table]).encode()).hexdigest() for table in tables}


def days(since="2024-01-01", until="2024-01-06"):
    return dict(TOY.sample(date.fromisoformat(since), date.fromisoformat(until)))


def test_broken_rows_leave_for_quarantine_broken_files_stop_everything_and_the_page_is_kept(laptop, caplog):
    files = days()
    kinds = list(KINDS)
    clean = [name for name in files if name.startswith("orders")]
    for number, name in enumerate(clean):  # four kinds a file, one row each
        lines = [line.encode() for line in files[name].splitlines()]
        for row, kind in enumerate(kinds[4 * number : 4 * number + 4], start=10):
            lines[row] = KINDS[kind][1](lines[row].decode(), lines[0].decode())
        put(laptop, "prod", name, b"\n".join(lines) + b"\n")
    for name, content in files.items():
        if name.startswith("results"):
            put(laptop, "prod", name, HARMLESS["rows twice"](content.splitlines(), 1))
    odd = ("orders/._2024-01-01.csv", "orders/x.CSV", "orders/y.csv.zip", "orders/.sub/z.csv", "order/a.csv")
    for name in (*odd, os.fsdecode(b"orders/caf\xe9.csv")):
        put(laptop, "prod", name, files[clean[0]].splitlines()[0] + "\n")
    context = context_of(laptop, as_of="2024-01-08T00:00:00Z")
    laptop.task("ingestion", context)
    assert (
        "where files are <source>/<name> with the ending .csv or .csv.gz: order (no source's folder), "
        "orders/._2024-01-01.csv, orders/.sub (a folder), orders/x.CSV, orders/y.csv.zip" in caplog.text
    )
    assert r"caf\xe9.csv" in set(frame_of(context.own, "ledger")["file"])
    aside = frame_of(context.own, "quarantine")
    assert sorted(aside["rule"]) == sorted(KINDS[kind][0] for kind in kinds)
    assert set(aside["line"]) <= {11, 12, 13, 14}
    assert len(frame_of(context.own, "orders")) == 60 * 6 - len(kinds)
    size = next(c for c in context.own.read_table("orders").schema if c.name == "size")
    assert size.metadata["comment"].startswith("Size [kg]. Expected: size:be_between (min_value -50.0, max_value 50.0)")
    before = {**state(context.own), **state(context.own, ["ledger"])}
    put(laptop, "prod", "orders/z.csv", FILES["a column renamed"][1](files[clean[0]].splitlines()))
    put(laptop, "prod", "results/z.csv", "id,judged,failed\n1,2024-01-02T00:00:00Z,0\n")
    with pytest.raises(BatchBlocked, match=r"orders/z.csv lacks size \(renamed to sizes\?\)"):
        laptop.task("ingestion", context)
    put(laptop, "prod", "orders/z.csv", FILES["zeros after a power cut"][1]([]))
    with pytest.raises(BatchBlocked, match=r"orders/z.csv is no UTF-8 text: nothing of this batch was published"):
        laptop.task("ingestion", context)
    put(laptop, "prod", "orders/z.csv", FILES["a quantity that is another"][1](files[clean[0]].splitlines()))
    with pytest.raises(BatchBlocked, match="it is 37 over 60 rows, against size:median"):
        laptop.task("ingestion", context)
    assert {**state(context.own), **state(context.own, ["ledger"])} == before
    pages = sorted(laptop.home.glob("artifacts/**/data.html"), key=lambda path: path.stat().st_mtime)
    texts = [page.read_text() for page in pages]
    assert ["published" in text[:200] for text in texts] == [True, False, False, False]
    assert all("Blocked." in text for text in texts[1:])
    assert ["renamed to sizes?" in text for text in texts[1:]] == [True, False, False]
    assert ["orders/z.csv is no UTF-8 text" in text for text in texts[1:]] == [False, True, False]


@pytest.mark.nightly
def test_repeats_retries_overlaps_and_backfills_end_in_the_same_tables(laptop, monkeypatch):
    files = days("2024-01-01", "2024-01-04")
    broken, _ = damaged(files["orders/2024-01-02.csv"].splitlines(), "out of range", 0.02, 1)
    older, _ = damaged(files["orders/2024-01-03.csv"].splitlines(), "unknown category", 0.02, 1)
    contents = {**files, "orders/2024-01-02.csv": broken, "orders/2024-01-03.csv": older}
    for name, content in contents.items():
        put(laptop, "once", name, content)
    once = context_of(laptop, catalog="once", landing="/Volumes/once/toy/landing")
    laptop.task("ingestion", once)

    many = context_of(laptop, catalog="many", landing="/Volumes/many/toy/landing")
    names = list(contents)
    for name in names[4:]:
        put(laptop, "many", name, contents[name])
    enter = ingestion._write_ledger

    def overtaken(job, *rest):
        """Between this run's tables and its ledger another run sees one more file and goes all the way."""
        monkeypatch.setattr(ingestion, "_write_ledger", enter)
        put(laptop, "many", names[0], contents[names[0]])
        laptop.task("ingestion", many)
        enter(job, *rest)

    monkeypatch.setattr(ingestion, "_write_ledger", overtaken)
    with pytest.raises(Conflict, match=r"another run wrote many\.toy\.ledger at the same moment"):
        laptop.task("ingestion", many)
    for name in names[:4]:  # backfill of older days, one of them again under another name
        put(laptop, "many", name, contents[name])
    put(laptop, "many", "orders/again.csv", contents["orders/2024-01-02.csv"])
    with monkeypatch.context() as killed:  # after the tables, before the ledger
        killed.setattr(ingestion, "_write_ledger", lambda *_: (_ for _ in ()).throw(RuntimeError("killed")))
        with pytest.raises(RuntimeError, match="killed"):
            laptop.task("ingestion", many)
    laptop.task("ingestion", many)
    versions = {table: many.own.newest_version(table) for table in ("orders", "ledger", "quarantine")}
    laptop.task("ingestion", many)
    assert state(many.own) == state(once.own)
    assert {table: many.own.newest_version(table) for table in versions} == versions
    ledger = frame_of(many.own, "ledger")
    assert sorted(ledger["sha256"]) == sorted(frame_of(once.own, "ledger")["sha256"])
    assert sorted(set(ledger["batch"])) == [1, 2]


@pytest.mark.nightly
def test_a_correction_stands_beside_what_it_corrects_wherever_it_arrives(laptop):
    head = "id,due,announced,kind,size\n"
    first, later = ("1,2024-01-05T00:00:00Z,2024-01-0{}T00:00:00Z,x,{}\n".format(*given) for given in ((1, 1), (2, 2)))
    ends = []
    for catalog, order in (("forth", (first, later)), ("back", (later, first))):
        context = context_of(laptop, TOY, catalog=catalog, landing=f"/Volumes/{catalog}/toy/landing")
        for row in order:  # the file is replaced under the same name
            put(laptop, catalog, "orders/a.csv", head + row)
            laptop.task("ingestion", context)
        ends.append(frame_of(context.own, "orders").drop(columns="file_modified").to_dict("records"))
    assert ends[0] == ends[1]
    assert [row["size"] for row in ends[0]] == [1.0, 2.0]


@pytest.mark.nightly
@pytest.mark.timeout(900)
def test_files_that_workers_read_in_parts_end_in_the_same_tables(laptop, monkeypatch, caplog):
    monkeypatch.setattr(large_batches, "PART", 700)
    caplog.set_level("INFO", "mlops.ingestion")
    files = days("2024-01-01", "2024-01-04")
    kinds = iter(KINDS.values())
    for name in [name for name in files if name.startswith("orders")]:
        lines = [line.encode() for line in files[name].splitlines()]
        for row, (_, damage) in zip(range(10, 15), kinds, strict=False):
            lines[row] = damage(lines[row].decode(), lines[0].decode())
        files[name] = b"\n".join([*lines, lines[30], lines[31].replace(b"T", b" "), b""])
    results = files["results/2024-01-03.csv"].splitlines()
    files["results/2024-01-03.csv"] = "\n".join([*results, results[5][:-1] + "7", results[6]]) + "\n"
    later = {
        "orders/again.csv": files["orders/2024-01-01.csv"],
        "orders/z.csv": files["orders/2024-01-02.csv"].replace(b",x,", b",y,"),
        "results/z.csv.gz": gzip.compress(files["results/2024-01-02.csv"].replace(",1\n", ",0\n").encode()),
    }
    ends, lines = [], []
    for catalog, use_case in (("small", STRICT_TOY), ("large", IN_WORKERS)):
        context = context_of(laptop, use_case, catalog=catalog, landing=f"/Volumes/{catalog}/toy/landing")
        for number, batch in enumerate((files, later)):
            for name, content in batch.items():
                put(laptop, catalog, name, content)
                os.utime(laptop.home / f"Volumes/{catalog}/toy/landing" / name, (1.75e9 + number,) * 2)
            caplog.clear()
            laptop.task("ingestion", context)
            assert not [*(laptop.home / "warehouse" / catalog / "toy").glob("_staged_*")]
            lines.append([text for name, _, text in caplog.record_tuples if name == "mlops.ingestion"])
            ends.append({
                table: sorted(frame_of(context.own, table).drop(columns="as_of", errors="ignore").astype(str).to_csv(
                    index=False).splitlines()) for table in (*TABLES, "ledger")
            })  # fmt: skip
        other = FILES["a quantity that is another"][1](days()["orders/2024-01-05.csv"].splitlines())
        put(laptop, catalog, "orders/bad.csv", other)
        with pytest.raises(BatchBlocked, match="it is 37 over 60 rows, against size:median"):
            laptop.task("ingestion", context)
    assert ends[0] == ends[2]
    assert ends[1] == ends[3]
    assert len(ends[1]["quarantine"]) > 20
    for small, large in ((0, 2), (1, 3)):
        assert "are more than max_read_bytes, 1: workers read and judge the files" in lines[large][0]
        assert sorted(lines[small]) == sorted(lines[large][1:])


@pytest.mark.nightly
def test_disagreements_of_sources_are_counted_on_spark_as_here(laptop):
    context, generator = context_of(laptop), np.random.default_rng(1)
    source = replace(
        make_things(id="long", seen="timestamp", kind="string", size="double"),
        agrees_with={"others": ("kind", "size")},
    )
    schema = pa.schema({"id": pa.int64(), "seen": pa.timestamp("us", "UTC"), "kind": pa.string(), "size": pa.float64()})

    def rows(count, ids):
        seen = [NOW + timedelta(minutes=number) for number in range(count)]
        kinds, sizes = generator.choice(["x", "x", "y", ""], count).tolist(), generator.integers(0, 2, count).tolist()
        columns = [
            generator.choice(ids, count).tolist(),
            seen,
            [kind or None for kind in kinds],
            [n or None for n in sizes],
        ]
        return pa.table([pa.array(values, field.type) for values, field in zip(columns, schema, strict=True)], schema)

    told = []
    for ids in ([*range(60)], [None, None, None, *range(30)], [None], [2**53, 2**53 + 1, None]):
        mine, others = rows(80, ids), [rows(40, ids), rows(3, ids)]
        frames = [context.own.spark.createDataFrame(table) for table in (mine, *others)]
        for versions in (1, 2):
            here = agreement.find_disagreements(source, mine, "others", others[2 - versions :])
            there = large_agreement.find_disagreements(source, frames[0], "others", frames[3 - versions :])
            assert [text.partition("; of ")[0] for text in there] == [text.partition("; of ")[0] for text in here]
            told += here
    assert len({text.partition("; of ")[0] for text in told}) > 3
    assert large_agreement.find_disagreements(source, frames[0], "others", []) == []


CHILD = """
import os, signal, sys
from pathlib import Path
sys.path[:0] = {paths}
from mlops.platform import tables
from mlops.jobs import ingestion
from mlops.platform.tables import TableColumn, open_schema, rows_of
from test_ingestion import ARCHIVING, IN_WORKERS, STRICT_TOY, context_of
from test_jobs_loop import Laptop
fatal, done = {number}, 0
def dying(write, after):
    def call(self, *arguments, **named):
        global done
        done += 1
        own = done  # other threads count on meanwhile
        if not after and own == fatal: os.kill(os.getpid(), signal.SIGKILL)
        write(self, *arguments, **named)
        if after and own == fatal: os.kill(os.getpid(), signal.SIGKILL)
    return call
for name in ("create_table", "_merge", "append_once"):
    setattr(tables.Schema, name, dying(getattr(tables.Schema, name), {after}))
ingestion.run(context_of(Laptop(Path(os.environ["LAPTOP_HOME"]), {{}}), {use_case}))
print("finished")
"""


@pytest.mark.nightly
@pytest.mark.timeout(1500)
@pytest.mark.parametrize(
    ("use_case", "after", "numbers"),
    [
        ("STRICT_TOY", False, range(1, 30)),
        ("STRICT_TOY", True, range(1, 30)),
        ("IN_WORKERS", False, range(5, 30, 2)),
        ("ARCHIVING", False, range(1, 30)),
        ("ARCHIVING", True, range(1, 30)),
    ],
)
def test_killed_at_any_write_the_next_run_ends_in_the_same_tables(laptop, use_case, after, numbers):
    files = days("2024-01-01", "2024-01-03")
    broken, _ = damaged(files["orders/2024-01-02.csv"].splitlines(), "out of range", 0.02, 1)
    for name, content in {**files, "orders/2024-01-02.csv": broken}.items():
        put(laptop, "prod", name, content)
    wanted = None
    for number in numbers:
        if use_case == "ARCHIVING":  # two tables were filled from files that are archived now, and then deleted
            for _ in range(2):
                ingestion.run(context_of(laptop, ARCHIVING))
            for name in ("orders", "results"):
                shutil.rmtree(laptop.home / "warehouse/prod/toy" / name)
        script = CHILD.format(
            paths=[str(Path(__file__).parent), str(Path(__file__).parents[2])],
            number=number,
            after=after,
            use_case=use_case,
        )
        child = subprocess.run([sys.executable, "-c", script], check=False, capture_output=True, text=True)
        finished = "finished" in child.stdout
        assert finished or child.returncode == -signal.SIGKILL, child.stderr[-2000:]
        context = context_of(laptop)
        laptop.task("ingestion", context)
        wanted = wanted or state(context.own)
        assert state(context.own) == wanted, number
        if finished:
            break
        shutil.rmtree(laptop.home / "warehouse")
    # Four tables are made, then orders, results, quarantine and the ledger are written; a kill after the last one, or
    # beside another write, counts less.
    assert number > 4, "there are more writes than that"


def test_a_deleted_table_is_filled_from_archived_files_even_if_the_run_that_makes_it_is_blocked(laptop, caplog):
    files = days("2024-01-01", "2024-01-03")
    head, first, *_ = files["orders/2024-01-01.csv"].splitlines()
    # Two values of one row that were known at the same moment: the one of the later file counts.
    files["orders/later.csv"] = f"{head}\n{first.rsplit(',', 1)[0]},7.5\n"
    for number, (name, content) in enumerate(files.items()):
        put(laptop, "prod", name, content)
        path = laptop.home / f"Volumes/prod/toy/landing/{name}"
        os.utime(path, (1_710_000_000 + number,) * 2)
    context, folder = context_of(laptop, ARCHIVING), laptop.home / "Volumes/prod/toy/landing"
    laptop.task("ingestion", context)
    wanted = [frame_of(context.own, name) for name in ("orders", "results")]
    laptop.task("ingestion", context)  # nothing is new, and the files are archived
    assert [path.name for path in folder.iterdir() if any(path.rglob("*.csv"))] == ["_archived"]
    for number, path in enumerate(sorted(folder.rglob("*.csv"), reverse=True)):  # as a store that moves by copying does
        os.utime(path, (1_800_000_000 + number,) * 2)
    shutil.rmtree(laptop.home / "warehouse/prod/toy/orders")
    put(laptop, "prod", "orders/z.csv", FILES["zeros after a power cut"][1]([]))
    with pytest.raises(BatchBlocked, match=r"orders/z.csv is no UTF-8 text"):
        laptop.task("ingestion", context)
    assert "prod.toy.orders was deleted: the rows of 5 files fill it again" in caplog.text
    assert context.own.exists("orders")
    assert frame_of(context.own, "orders").empty
    (folder / "orders/z.csv").unlink()
    laptop.task("ingestion", context)
    for before, name in zip(wanted, ("orders", "results"), strict=True):
        pd.testing.assert_frame_equal(frame_of(context.own, name), before)
    ledger = read_ledger(context)
    laptop.task("ingestion", context)
    assert read_ledger(context) == ledger
    assert sorted(row["source"] for row in ledger) == ["orders"] * 9 + ["results"] * 3  # one says that it was deleted


def test_a_table_that_is_deleted_while_a_run_reads_is_not_made_anew_by_it(laptop, monkeypatch):
    for name, content in days("2024-01-01", "2024-01-02").items():
        put(laptop, "prod", name, content)
    context = context_of(laptop)
    laptop.task("ingestion", context)
    wanted = state(context.own)
    put(laptop, "prod", "orders/x.csv", days("2024-01-01", "2024-01-01")["orders/2024-01-01.csv"] + "\n")
    list_files = landing.list_files

    def delete(*given):
        shutil.rmtree(laptop.home / "warehouse/prod/toy/orders", ignore_errors=True)
        return list_files(*given)

    with monkeypatch.context() as patched:
        patched.setattr(landing, "list_files", delete)
        with pytest.raises(Conflict, match=r"prod\.toy\.orders was deleted during this run: run it again"):
            laptop.task("ingestion", context)
    laptop.task("ingestion", context)
    assert state(context.own) == wanted


@pytest.mark.nightly
@pytest.mark.parametrize("kind", [*HARMLESS])
def test_harmless_files_give_the_same_tables(laptop, kind):
    files = days("2024-01-01", "2024-01-02")
    ends = []
    for catalog, change in (("clean", HARMLESS["rows twice"]), ("odd", HARMLESS[kind])):
        for name, content in files.items():
            if name.startswith("orders"):
                put(laptop, catalog, name, change(content.splitlines(), 1))
        context = context_of(laptop, catalog=catalog, landing=f"/Volumes/{catalog}/toy/landing")
        laptop.task("ingestion", context)
        ends.append(state(context.own))
    assert ends[0] == ends[1]


def test_two_first_writers_of_one_table_leave_each_row_once(spark, laptop):
    context = context_of(laptop, TOY)
    source = TOY.sources[0]
    table_schemas.create_source(context.own, source, expectations.column_comments(source.expectations()))
    rows = "id bigint, due timestamp, announced timestamp, kind string, size double, file_modified timestamp"
    moment = context.config.as_of
    mine = spark.createDataFrame([(n, moment, moment, "x", 1.0, moment) for n in range(5)], rows)
    context.own.append_once("orders", mine, after=0)
    with pytest.raises(Conflict, match=r"prod\.toy\.orders"):
        context.own.append_once("orders", mine, after=0)
    context.own.merge_rows("orders", mine, ["id", "announced"], newer="file_modified", first=True)
    assert len(frame_of(context.own, "orders")) == 5


def test_a_batch_that_contradicts_another_source_is_blocked_until_that_is_corrected(laptop):
    results = replace(TOY.sources[1], columns=(*TOY.sources[1].columns, *TOY.sources[0].columns[3:4]))
    results = replace(results, agrees_with={"orders": ("kind",)})
    use_case = replace(TOY, sources=(TOY.sources[0], results))
    head, ended = "id,due,announced,kind,size\n", "id,judged,failed,kind\n"
    rows = "".join(f"{n},2024-01-05T00:00:00Z,2024-01-01T00:00:00Z,{'xy'[n % 2]},1\n" for n in range(20))
    shifted = "".join(f"{n},2024-01-06T00:00:00Z,0,{'yx'[n % 2]}\n" for n in range(20))
    context = context_of(laptop, use_case, as_of="2024-01-08T00:00:00Z")
    put(laptop, "prod", "orders/a.csv", head + rows)
    laptop.task("ingestion", context)
    put(laptop, "prod", "results/a.csv", ended + shifted)
    with pytest.raises(
        BatchBlocked, match="results: kind differs from that of orders in 20 of 20 rows with the same id"
    ):
        laptop.task("ingestion", context)
    assert frame_of(context.own, "results").empty
    # Either file may be the wrong one: a corrected schedule lets the results in. Results that agree with the schedule
    # before the correction are let in, too: tests/mlops/data/test_agreement.py.
    corrected = rows.translate(str.maketrans("xy", "yx")).replace("2024-01-01", "2024-01-02")
    put(laptop, "prod", "orders/b.csv", head + corrected)
    laptop.task("ingestion", context)
    assert len(frame_of(context.own, "results")) == 20


# --- tables as sources ------------------------------------------------------------------------------------------------


@pytest.fixture
def raw(laptop, spark):
    """The table prod.raw.results, with the results of four days."""
    schema = open_schema("prod", "raw")
    lines = [line for name, text in days().items() if name.startswith("results") for line in text.splitlines()[1:]]
    rows = [(int(number), datetime.fromisoformat(judged), int(failed)) for number, judged, failed in
            (line.split(",") for line in lines)]  # fmt: skip
    columns = [TableColumn(c.name, c.type, c.comment) for c in TOY.source("results").columns]
    schema.create_table("results", [*columns, TableColumn("noise", "double", "")], "Results", ["id"])
    frame = spark.createDataFrame(rows, "id bigint, judged timestamp, failed bigint").withColumn("noise", F.lit(1.0))
    schema.append_rows("results", frame)
    return schema


def test_a_table_is_a_source_like_files_and_each_version_brings_what_is_new(laptop, raw):
    results = replace(TOY.source("results"), table="prod.raw.results")
    use_case = replace(TOY, sources=(TOY.source("orders"), results))
    for name, text in days().items():
        if name.startswith("orders"):
            put(laptop, "prod", name, text)
    from_table = context_of(laptop, use_case)
    ingestion.run(from_table)
    columns = ["id", "judged", "failed"]
    assert frame_of(from_table.own, "results")[columns].equals(frame_of(raw, "results")[columns])

    ingestion.run(from_table)  # nothing new
    assert len(read_ledger(from_table)) == len({row["sha256"] for row in read_ledger(from_table)})
    before, files = len(frame_of(from_table.own, "results")), len(read_ledger(from_table))
    corrected = raw.read_table("results").orderBy("id").limit(1)
    raw.append_rows("results", corrected.withColumn("judged", F.expr("judged + INTERVAL 1 HOUR")))
    raw.spark.sql("DELETE FROM " + raw.identifier("results") + " WHERE failed = 1")  # noqa: S608
    ingestion.run(from_table)
    assert len(frame_of(from_table.own, "results")) == before + 1  # the correction; what was deleted stays known
    (new,) = read_ledger(from_table)[files:]
    assert new["file"].startswith("version-")


def read_ledger(context):
    return sorted(rows_of(context.own.read_table("ledger")), key=lambda row: row["batch"])


def test_a_version_that_was_landed_in_part_is_landed_anew(laptop, raw):
    results = replace(TOY.source("results"), table="prod.raw.results")
    context = context_of(laptop, replace(TOY, sources=(TOY.source("orders"), results)))
    source_tables.land_tables(context)
    (folder,) = (laptop.home / "Volumes/prod/toy/landing/results").iterdir()
    parts = {file.name for file in folder.glob("*.parquet")}
    (folder / "_SUCCESS").unlink()
    source_tables.land_tables(context)
    assert (folder / "_SUCCESS").exists()
    assert not parts & {file.name for file in folder.glob("*.parquet")}


@pytest.mark.parametrize(
    ("table", "error", "words"),
    [
        ("raw.results", ConfigError, "write it as catalog.schema.table"),
        ("prod.raw.none", DataError, "there is no table prod.raw.none"),
        ("prod.raw.x; DROP", ConfigError, "letters, digits"),
    ],
)
def test_a_table_that_cannot_be_read_is_a_sentence(laptop, table, error, words):
    use_case = replace(TOY, sources=(TOY.source("orders"), replace(TOY.source("results"), table=table)))
    with pytest.raises(error, match=words):
        ingestion.run(context_of(laptop, use_case))
