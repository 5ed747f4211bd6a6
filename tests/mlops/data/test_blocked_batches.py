"""A delivery with a file that is wrong as a whole: the task names the file, writes the page, and touches no table."""

from __future__ import annotations

import hashlib
import logging
import os
from contextlib import nullcontext
from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
from brokenfeeds import FILES, STRICT_TOY
from toy import TOY, rule

from mlops.contract import BatchBlocked, DataError, Expectation
from mlops.data import landing
from mlops.data.ledger import KnownContent
from mlops.jobs import ingestion

DAY = datetime(2024, 1, 1, tzinfo=UTC).date()
LINES = dict(TOY.sample(DAY, DAY))["orders/2024-01-01.csv"].splitlines()
GOOD = "".join(f"{line}\n" for line in LINES).encode()
WHOLE = [name for name, (why, _) in FILES.items() if why.startswith(("lacks", "has", "is"))]


class Registry:
    """Keeps the pages that a task logs."""

    def __init__(self):
        self.pages = []

    def open_run(self, *_):
        return nullcontext()

    def log_to_run(self, _parameters, _metrics, files):
        self.pages.append(files["data.html"])


def judge(folder, known=()):
    """Read and judge all that lies in a folder, as the task does, without tables."""
    config = SimpleNamespace(
        as_of=datetime(2024, 1, 8, tzinfo=UTC), run_id="1", experiment="/x", model_dump=lambda **_: {}
    )
    job = SimpleNamespace(config=config, use_case=STRICT_TOY, registry=Registry(), log=logging.getLogger("test"))
    landed, _ = landing.list_files(str(folder), STRICT_TOY.sources)
    return job, lambda: list(ingestion._judge_sources(job, landed, KnownContent({*known}), 1))


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "orders").mkdir()
    (tmp_path / "orders" / "good.csv").write_bytes(GOOD)
    return tmp_path


@pytest.mark.parametrize("kind", WHOLE)
def test_the_file_is_named_in_the_error_and_on_the_page(folder, kind):
    (folder / "orders" / "bad.csv").write_bytes(FILES[kind][1](LINES))
    job, run = judge(folder)
    with pytest.raises(BatchBlocked, match=r"orders/bad\.csv .*: nothing of this batch was published"):
        run()
    (page,) = job.registry.pages
    assert "Blocked." in page
    assert "orders/bad.csv" in page


def test_a_file_that_cannot_be_opened_is_named_like_the_others(folder):
    for name in ("gone", "bad"):
        (folder / "orders" / f"{name}.csv").write_bytes(b"\0" * 9)
    job, run = judge(folder)
    (folder / "orders" / "gone.csv").unlink()
    with pytest.raises(
        BatchBlocked, match=r"gone\.csv was deleted or renamed after ingestion listed it: .*; orders/bad\.csv is no"
    ):
        run()
    assert len(job.registry.pages) == 1


def test_of_many_reasons_the_first_are_in_the_error_and_all_on_the_page(folder):
    for number in range(30):
        (folder / "orders" / f"bad{number:02}.csv").write_bytes(f"id{number}\n".encode())
    job, run = judge(folder)
    with pytest.raises(BatchBlocked, match=r"bad09\.csv lacks [^;]*; it has id9; and 20 more, on the batch's page"):
        run()
    assert all(f"bad{number:02}.csv" in job.registry.pages[0] for number in range(30))


def test_words_of_a_file_cannot_move_the_terminal_or_forge_a_line(folder):
    (folder / "orders" / "a\n##vso[x]\x1b[2J.csv").write_bytes(b"id\x1b[31m,##vso[task.complete]\x85x\n")
    job, run = judge(folder)
    with pytest.raises(BatchBlocked) as caught:
        run()
    assert str(caught.value).isprintable()
    assert r"a\n##vso[x]\x1b[2J.csv" in str(caught.value)
    assert "\x1b" not in job.registry.pages[0]


def test_whatever_is_right_is_judged(folder):
    _, run = judge(folder)
    (judged,) = run()
    assert (judged.problems, judged.good.num_rows) == ((), len(LINES) - 1)


@pytest.mark.parametrize("times", [(1, 2, 3), (3, 2, 1), (2, 3, 1)])
def test_of_files_with_one_content_the_later_one_counts_whatever_their_names(folder, times):
    (folder / "orders" / "good.csv").unlink()
    lines = {"a": 1, "b": 2, "c": 1}
    for (name, size), hour in zip(lines.items(), times, strict=True):
        file = folder / "orders" / f"{name}.csv"
        file.write_text(f"id,due,announced,kind,size\n1,2024-01-05T00:00:00Z,2024-01-01T00:00:00Z,x,{size}\n")
        os.utime(file, (1.71e9 + 3600 * hour,) * 2)
    (judged,) = judge(folder)[1]()
    assert judged.good["size"].to_pylist() == [lines["abc"[times.index(3)]]]


def test_a_file_whose_content_was_taken_in_before_is_named(folder, caplog):
    caplog.set_level(logging.INFO)
    content = hashlib.sha256(GOOD).hexdigest()
    assert judge(folder, {("orders", content)})[1]() == []
    assert "taken in before, and not again: orders/good.csv" in caplog.text


def compare_rows():
    return [Expectation(rule("ExpectColumnValuesToBeUnique", column="id"), "quarantine")]


@pytest.mark.parametrize(("source", "is_refused"), [("orders", True), ("results", False)])
def test_a_batch_that_is_too_large_for_a_rule_that_compares_rows_is_refused_whole(folder, source, is_refused):
    (folder / "orders" / "more.csv").write_bytes(GOOD.replace(b",x,", b",y,"))
    landed, _ = landing.list_files(str(folder), STRICT_TOY.sources)
    sources = tuple(replace(s, expectations=compare_rows) if s.name == source else s for s in STRICT_TOY.sources)
    size = sum(file.size for file in landed)
    for limit in (size, size - 1):
        use_case = replace(STRICT_TOY, sources=sources, policy=replace(STRICT_TOY.policy, max_read_bytes=limit))
        job = SimpleNamespace(use_case=use_case, log=logging.getLogger("test"))
        if limit == size:  # one batch, in which every row meets every other one
            assert ingestion._choose_way(job, landed, KnownContent()) == (ingestion._judge_sources, landed)
        elif is_refused:
            with pytest.raises(
                DataError, match=r"cannot do: orders: id:be_unique\. Land fewer files at once, raise max"
            ):
                ingestion._choose_way(job, landed, KnownContent())
            known = KnownContent({("orders", hashlib.sha256(GOOD).hexdigest())})  # a copy, listed again in each run
            copy, *others = landed
            assert ingestion._choose_way(job, landed, known) == (ingestion._judge_sources, others)
            assert known.copies == [copy]  # its content never comes to the driver
        else:  # the source with the rule has no new file
            assert ingestion._choose_way(job, landed, KnownContent()) == (ingestion._judge_staged, landed)
