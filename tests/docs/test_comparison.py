"""docs/explanation/comparison.md: every test that it names exists, and its sums are right."""

from __future__ import annotations

import re

import pytest
from named_tests import ROOT, find_missing_tests, list_named_tests

PAGE = (ROOT / "docs/explanation/comparison.md").read_text()
ROW = re.compile(r"^\| (\d+) \| ([^|]+) \| (yes|no) \| ([^|]+) \|(?: ([^|]+) \|)?$", re.MULTILINE)
GROUPS = re.findall(r"^### ([^\n]+)\n(.*?)(?=^##)", PAGE, re.MULTILINE | re.DOTALL)
POINTS = PAGE.split("## What none of the eleven has")[1]
SYSTEMS = set(re.findall(r"^\| ([A-Z]{3}) \|", PAGE, re.MULTILINE))


def test_every_test_that_the_page_names_is_collected():
    assert len(list_named_tests(PAGE)) >= 130
    assert find_missing_tests(PAGE) == []


def test_a_test_that_nobody_collects_is_named():
    text = "`tests/docs/test_comparison.py::test_no_such`, `tests/docs/none.py::test_a`, `tests/names.py::names`"
    assert len(find_missing_tests(text)) == 3


def test_yes_names_a_test_and_no_a_reason():
    rows = ROW.findall(PAGE)
    assert [what for _, what, here, evidence, _ in rows if here == "yes" and not list_named_tests(evidence)] == []
    reasons = {what: re.sub(r"`[^`]+`", "", evidence) for _, what, here, evidence, _ in rows if here == "no"}
    assert {what: reason for what, reason in reasons.items() if len(reason.split()) < 5} == {}


def test_rows_are_83_and_16_and_none_is_left_out():
    features = [int(row[0]) for _, body in GROUPS for row in ROW.findall(body)]
    assert features == list(range(1, 84))
    assert [int(row[0]) for row in ROW.findall(POINTS)] == list(range(1, 17))
    assert len([line for line in PAGE.splitlines() if re.match(r"\| \d+ \|", line)]) == 83 + 16


def test_the_sums_are_those_of_the_rows():
    stated = {
        name: (int(yes), int(rows))
        for name, yes, rows in re.findall(r"^\| (.+) \| (\d+) \| (\d+) \|$", PAGE, re.MULTILINE)
    }
    here = {name: [row[2] for row in ROW.findall(body)] for name, body in GROUPS}
    assert stated == {name: (answers.count("yes"), len(answers)) for name, answers in here.items()}
    all_yes = sum(answers.count("yes") for answers in here.values())
    assert f"| **all features** | **{all_yes}** | **83** |" in PAGE
    points = [row[2] for row in ROW.findall(POINTS)].count("yes")
    assert f"| **what none of the eleven has** | **{points}** | **16** |" in PAGE


@pytest.mark.parametrize("name", [name for name, _ in GROUPS])
def test_others_are_systems_of_the_first_table(name):
    rows = ROW.findall(dict(GROUPS)[name])
    assert rows
    for _, what, _, _, others in rows:
        assert others == "none" or set(others.split(", ")) <= SYSTEMS, what
