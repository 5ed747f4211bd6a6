"""What of a delivery is published, in rows and in words: handmade rows and outcomes, no expectation library."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from things import NOW, make_things

from mlops.contract import Outcome
from mlops.data import readers
from mlops.data.file_formats import File
from mlops.data.quarantine import BatchRows, BrokenRow, split_valid_rows

THINGS = replace(make_things(kind="string", id="long", seen="timestamp", part="long"), max_bad_share=0.25)


def file(*rows: str, name: str = "a.csv") -> File:
    """Rows as "id day kind part"; "-" is a missing value, and a day may have an hour."""
    lines = ["id,seen,kind,part"]
    for row in rows:
        key, day, kind, part = (value.replace("-", "") for value in row.split())
        at, _, hour = day.partition("T")
        lines.append(f"{key},2024-01-{at}T{hour or '00'}:00:00Z,{kind},{part}")
    content = "\n".join([*lines, ""]).encode()
    return File(name, name, len(content), NOW, content)


def judged(*files: File, outcomes: tuple[Outcome, ...] = (), unknown: tuple[str, ...] = ()) -> BatchRows:
    return split_valid_rows(THINGS, files, readers.read_files(THINGS, files), outcomes, unknown)


def kept(found: BatchRows) -> list[str]:
    return [f"{row['id']} {row['seen']:%d} {row['kind'] or '-'} {row['part'] or '-'}" for row in found.good.to_pylist()]


def outcome(rule: str, action: Any, *positions: int, **other: Any) -> Outcome:
    facts = {"rows": 4, "failed": len(positions), "held": not positions, "positions": positions, **other}
    return Outcome(rule, f"{rule} in words", action, **facts)


def test_a_row_that_breaks_rules_is_set_aside_with_each_of_them_and_its_own_place() -> None:
    first, second = file("1 01 x 1", "x 02 x 2"), file("y 03 x 3", "4 04 z 4", "5 05 z 5", name="b.csv")
    found = judged(
        first,
        second,
        outcomes=(outcome("kind:set", "quarantine", 1), outcome("part:odd", "warn", 2), outcome("id:x", "block", 0),
                  outcome("part:size", "quarantine", 1, 2)),
        unknown=("colour",),
    )  # fmt: skip
    assert (found.source, found.files, found.unknown, len(found.outcomes)) == (THINGS, (first, second), ("colour",), 4)
    assert found.broken == (
        BrokenRow(first, 3, "id:long", "x,2024-01-02T00:00:00Z,x,2"),
        BrokenRow(second, 2, "id:long", "y,2024-01-03T00:00:00Z,x,3"),
        BrokenRow(second, 3, "kind:set", "4,2024-01-04T00:00:00Z,z,4"),
        BrokenRow(second, 3, "part:size", "4,2024-01-04T00:00:00Z,z,4"),
        BrokenRow(second, 4, "part:size", "5,2024-01-05T00:00:00Z,z,5"),
    )
    assert (found.rows, found.bad, kept(found)) == (5, 4, ["1 01 x 1"])
    assert list(found.by_rule.items()) == [("id:long", 2), ("part:size", 2), ("kind:set", 1)]
    assert BrokenRow(first, 1, "size:be:odd", "").column == "size"


def test_a_version_of_a_key_has_one_row_and_the_others_are_counted_by_why() -> None:
    found = judged(
        file(
            "3 01 x 1", "1 01 x 1", "1 02 x 1", "1 02 x 1", "1 01 x 1", "2 03 - -", "2 03 x -", "2 03 x 9", "2 01 z 9",
        )
    )  # fmt: skip
    assert kept(found) == ["3 01 x 1", "1 02 x 1", "1 01 x 1", "2 03 x 9", "2 01 z 9"]
    assert (found.repeated, found.outdated, found.conflicting) == (2, 2, 0)
    assert (found.rows, found.by_rule) == (9, {"id:contradiction": 2})
    assert [broken.line for broken in found.broken] == [7, 8]
    assert found.summary == "things: 5 rows of 1 files, 2 to quarantine, 2 known better by another"


def test_of_rows_known_at_the_same_moment_the_one_of_the_later_file_stays_or_else_the_greater() -> None:
    assert kept(judged(file("1 02 a 1", "1 01 z 9"))) == ["1 02 a 1", "1 01 z 9"]
    found = judged(file("1 01 - 1", "1 01 a -", "2 05 x 1"))
    assert kept(found) == ["1 01 a -", "2 05 x 1"]
    assert (found.repeated, found.outdated, found.conflicting, found.bad) == (0, 0, 0, 1)
    found = judged(file("1 01 - 1"), file("1 01 a -", "2 05 x 1"))
    assert kept(found) == ["1 01 a -", "2 05 x 1"]
    assert (found.repeated, found.outdated, found.conflicting, found.bad) == (0, 0, 1, 0)


@pytest.mark.parametrize(
    ("ages", "stays", "equal"), [((1, 2, 3), "1 01 z 1", 1), ((3, 2, 1), "1 01 z 1", 1), ((1, 3, 2), "1 01 a 1", 0)]
)
def test_a_later_file_decides_whatever_its_place_in_the_delivery(ages: tuple[int, ...], stays: str, equal: int) -> None:
    rows = ("1 01 z 1", "1 01 a 1", "1 01 z 1")
    files = [replace(file(row), modified=NOW + timedelta(hours=age)) for row, age in zip(rows, ages, strict=True)]
    found = judged(*files)
    assert kept(found) == [stays]
    assert found.good["file_modified"].to_pylist() == [NOW + timedelta(hours=3)]
    assert (found.repeated, found.conflicting) == (equal, 2 - equal)


TWICE = replace(THINGS, key=("id", "seen"))


def test_a_source_whose_known_at_column_is_part_of_its_key_is_judged_like_the_others() -> None:
    one = file("1 01 x 1", "1 01 x 1", "1 02 x 1", "2 01 y 1")
    found = split_valid_rows(TWICE, (one, one), readers.read_files(TWICE, (one, one)), (), ())
    assert kept(found) == ["1 01 x 1", "1 02 x 1", "2 01 y 1"]
    assert (found.repeated, found.outdated, found.conflicting) == (5, 0, 0)


def test_a_row_known_more_than_a_day_after_its_file_was_written_is_wrong_about_a_clock() -> None:
    early = replace(file("1 01 x 1", "2 04 x 1"), modified=datetime(2024, 1, 2, tzinfo=UTC))
    found = judged(early, file("3 04 x 1"))
    assert [broken.rule for broken in found.broken] == ["seen:future"]
    assert kept(found) == ["1 01 x 1", "3 04 x 1"]


def test_big_numbers_stay_whole_where_others_are_missing() -> None:
    one, other = (f"9007199254740993 01 x {part}" for part in (9007199254740993, 9007199254740992))
    found = judged(file(one, other, "2 01 x -", "2 01 y -"))
    assert kept(found) == [one, "2 01 y -"]
    assert found.bad == 2


def test_days_are_utc_and_none_between_first_and_last_is_left_out() -> None:
    found = judged(file("1 03T23 x 1", "2 01 x 1", "3 03T00 x 1"))
    assert found.per_day == {date(2024, 1, 1): 1, date(2024, 1, 2): 0, date(2024, 1, 3): 2}
    assert found.span == (datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 1, 3, 23, tzinfo=UTC))
    assert (judged(file()).per_day, judged(file()).span) == ({}, (None, None))


def test_the_log_tells_of_new_columns_rows_set_aside_and_rows_known_better() -> None:
    found = judged(file("1 01 x 1", "x 01 x 1"), file("1 01 x 1", "1 02 x 1"), unknown=("colour", "weight"))
    assert found.summary == (
        "things: 2 rows of 2 files, 1 to quarantine, 1 known better by another; "
        "columns colour, weight are new and left out"
    )
    assert judged(file("1 01 x 1")).summary == "things: 1 rows of 1 files"


def test_a_batch_is_blocked_by_more_than_the_share_that_may_be_bad() -> None:
    one = file("1 01 x 1", "x 02 x 1", "3 03 x 1", "4 04 x 1")
    assert judged(one).problems == ()
    odd = (outcome("kind:set", "quarantine", 1, 2), outcome("part:size", "warn", 0))
    assert judged(one, outcomes=odd).problems == (
        "things: 3 of 4 rows break a rule and 25% may; most break kind:set (2), the first in a.csv line 4",
    )


@pytest.mark.parametrize(
    ("other", "why"),
    [
        ({"failed": 3}, "3 of 4 rows break mean in words"),
        ({"observed": 1 / 3}, "it is 0.333333 over 4 rows, against mean in words"),
        ({"observed": 12}, "it is 12 over 4 rows, against mean in words"),
        ({"observed": "x"}, "it is x over 4 rows, against mean in words"),
    ],
)
def test_a_rule_on_the_whole_batch_blocks_in_its_own_words(other: dict[str, Any], why: str) -> None:
    plain, batch = {"rows": 4, "failed": 0, "held": False, **other}, file("1 01 x 1")
    broken = [Outcome("mean", "mean in words", action, **plain) for action in ("warn", "quarantine", "block")]
    held = Outcome("mean", "mean in words", "block", **{**plain, "held": True})
    assert judged(batch, outcomes=(held, *broken)).problems == (f"things: {why}",)


def versions(*days: int, key: str = "1", more: int = 0) -> list[str]:
    """A row per day of one key, each with another part."""
    return [f"{key} {day:02} x {n + more}" for n, day in enumerate(days)]


def test_a_key_of_more_things_than_it_can_have_versions_is_named_and_none_of_its_rows_is_lost() -> None:
    others = [f"{n} 01 x 1" for n in range(100, 140)]
    found = judged(file(*versions(*range(1, 6)), *others))
    assert (found.bad, found.crowded, found.problems) == (0, 0, ())
    found = judged(file(*versions(*range(1, 7)), *others))
    assert (found.bad, found.good.num_rows, found.problems) == (0, 46, ())
    assert found.summary == (
        "things: 46 rows of 1 files; 6 rows have a key (id) that stands for more than 5 things in one file: 1 (6)"
    )


ROWS = st.tuples(st.integers(1, 3), st.integers(1, 9), st.integers(0, 23), st.integers(1, 9))


@settings(deadline=None, max_examples=25)
@given(st.lists(st.tuples(ROWS, st.sets(st.integers(0, 4), min_size=1)), max_size=60))
def test_which_rows_stay_does_not_depend_on_how_they_are_packed(drawn: list[tuple[Any, set[int]]]) -> None:
    told = {(key, day, hour): part for (key, day, hour, part), _ in drawn}
    lines = {name: f"{name[0]} {name[1]:02}T{name[2]:02} x {part}" for name, part in told.items()}
    places = {name: copies for (*name, _), copies in drawn for name in [tuple(name)]}
    files = [file(*(lines[name] for name in lines if number in places[name])) for number in range(5)]
    packings = [judged(file(*lines.values())), judged(*files), judged(*files[::-1])]
    everything = sorted(map(str, judged(*[file(line) for line in lines.values()]).good.to_pylist())) if lines else []
    for found in packings:
        assert sorted(map(str, found.good.to_pylist())) == everything
        assert found.bad == 0


def test_corrections_of_every_row_that_land_at_once_are_taken_in() -> None:
    hours = [file(*(f"{key} 05T{hour:02} x {hour}" for key in range(30))) for hour in range(24)]
    assert (judged(*hours).problems, judged(*hours).good.num_rows) == ((), 720)


def test_the_same_thing_told_again_is_no_other_version() -> None:
    daily = [f"{key} {day:02} x 1" for day in range(1, 10) for key in range(20)] * 2
    found = judged(file(*daily), file(*daily, name="b.csv"))
    assert (found.bad, found.problems) == (0, ())


@pytest.mark.parametrize("key", ["7", "{0}7", "{1}", "{2}"])
def test_a_batch_whose_keys_have_become_few_is_blocked(key: str) -> None:
    rows = [f"{key.format(n % 2, n // 20, n // 10)} {1 + n % 9:02} x {n}" for n in range(100)]
    why = "; ".join(judged(file(*rows)).problems)
    assert re.search(
        r"things: \d+ rows have a key \(id\) that stands for more than 5 things in one file: \d+ \(\d+\)"
        r"|most break id:contradiction", why
    )  # fmt: skip


def test_rows_of_one_file_that_contradict_each_other_are_set_aside_and_those_of_two_files_are_not() -> None:
    first, second = [f"{n} 01 x 1" for n in range(9)], [f"{n} 01 x 2" for n in range(9)]
    found = judged(file(*first), file(*second, name="b.csv"))
    assert (found.problems, found.bad) == ((), 0)
    found = judged(file(*first, *second[:3]))
    assert (found.problems, found.by_rule) == ((), {"id:contradiction": 3})
    (why,) = judged(file(*first, *second[:4])).problems
    assert why == (
        "things: 4 of 13 rows break a rule and 25% may; most break id:contradiction (4: another row of the same file "
        "has the same key and the same seen: either the key does not name one thing, or a correction does not say "
        "since when it is known), the first in a.csv line 2"
    )


def test_of_an_endless_line_the_start_is_kept() -> None:
    one = file("1 01 x 1")
    endless = File("a.csv", "0", 0, NOW, one.content + b"\0" * 50_000)
    (broken,) = judged(endless).broken
    assert broken.rule == "row:truncated"
    assert broken.row == "\\x00" * 2500 + "… (200,000 characters)"
