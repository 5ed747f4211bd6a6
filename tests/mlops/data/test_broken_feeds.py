"""Every kind of broken file, read and judged as the job does it."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime

import pytest
from brokenfeeds import FILES, HARMLESS, KINDS, STRICT, damaged, with_older_versions
from toy import TOY

from mlops.data import expectations, quarantine, readers
from mlops.data.file_formats import File
from mlops.reports import pages

LINES = dict(TOY.sample(date(2024, 1, 1), date(2024, 1, 1)))["orders/2024-01-01.csv"].splitlines()
NOW = datetime(2024, 1, 3, tzinfo=UTC)


def judge(content, source=STRICT):
    file = File("2024-01-01.csv", "0", len(content), NOW, content)
    why = readers.header_error(file, source)
    if why:
        return None, (why,)
    rows = readers.read_files(source, [file])
    outcomes = expectations.run_expectations(rows.table.take(rows.read), source.expectations())
    judged = quarantine.split_valid_rows(source, [file], rows, outcomes, readers.unknown_columns([file], source))
    return judged, judged.problems


CLEAN, _ = judge("\n".join([*LINES, ""]).encode())


@pytest.mark.parametrize("rate", [0.0, 0.06, 0.5])
@pytest.mark.parametrize("kind", KINDS)
def test_damaged_rows_and_no_others_are_set_aside_with_their_rule(kind, rate):
    content, numbers = damaged(LINES, kind, rate, seed=rate)
    judged, problems = judge(content)
    expected, _ = KINDS[kind]
    assert sorted({each.line for each in judged.broken if each.rule == expected}) == numbers
    assert judged.bad == len(numbers)
    hurt = {LINES[number - 1].split(",")[0] for number in numbers}
    assert judged.good.to_pylist() == [row for row in CLEAN.good.to_pylist() if str(row["id"]) not in hurt]
    assert bool(problems) is (judged.bad > STRICT.max_bad_share * judged.rows)
    as_it_came = {each.line: each.row for each in judged.broken if each.rule not in {"row:encoding", "row:control"}}
    assert all(row.encode() == content.split(b"\n")[line - 1] for line, row in as_it_came.items())


def test_a_line_that_cannot_be_read_moves_no_other_line_s_rule():
    lines = [line.encode() for line in LINES]
    lines[3] += b",1"
    lines[9] = KINDS["out of range"][1](LINES[9], LINES[0])
    judged, _ = judge(b"\n".join(lines) + b"\n")
    assert [(each.line, each.rule) for each in judged.broken] == [(4, "row:fields"), (10, "size:be_between")]


@pytest.mark.parametrize("kind", HARMLESS)
def test_what_only_looks_like_damage_gives_the_same_rows(kind):
    judged, problems = judge(HARMLESS[kind](LINES, 1))
    assert problems == ()
    assert judged.broken == ()
    assert judged.good.sort_by("id").equals(CLEAN.good.sort_by("id"))


def test_older_versions_behind_newer_ones_are_kept_beside_them():
    judged, problems = judge(with_older_versions(LINES))
    assert problems == ()
    assert (judged.outdated, judged.repeated, judged.conflicting) == (len(LINES) - 1, 0, 0)
    newest = judged.good.sort_by("announced").to_pandas().drop_duplicates("id", keep="last").sort_values("id")
    assert newest.to_dict("records") == CLEAN.good.sort_by("id").to_pandas().to_dict("records")


@pytest.mark.parametrize("kind", FILES)
def test_a_file_that_is_wrong_as_a_whole_blocks_and_says_why(kind):
    expected, damage = FILES[kind]
    _, problems = judge(damage(LINES))
    assert re.search(expected, "; ".join(problems)), problems


@pytest.mark.parametrize("cut", [1, 5, 30])
def test_of_a_truncated_file_the_cut_line_is_set_aside_even_where_it_reads_well(cut):
    content = "\n".join([*LINES, ""]).encode()[: -cut - 1]
    judged, _ = judge(content)
    assert [(each.line, each.rule) for each in judged.broken] == [(len(LINES), "row:truncated")]


def test_the_page_shows_what_was_found_and_nothing_of_a_file_becomes_markup():
    content, _ = damaged(LINES, "unknown category", 0.01, 1)
    content = content.replace(b",z,", b",<script>alert(1)</script>,")
    judged, problems = judge(content)
    page = pages.render_batch("Delivery <1>", "today & here", [judged], [*problems, "<b>"])
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "Delivery &lt;1&gt;" in page
    assert "kind:be_in_set (value_set x, y), else quarantine" in page
    assert not re.findall(r"(?:src|href)=\"(?!#)", page)
    assert page.count(" rows</tspan>") == len(judged.per_day) == 1
