"""docs/explanation/ml-test-score.md: every test that it names exists, and its points add up."""

from __future__ import annotations

import re

from named_tests import ROOT, find_missing_tests, list_named_tests

PAGE = (ROOT / "docs/explanation/ml-test-score.md").read_text()
SECTIONS = dict(
    re.findall(r"^## (Data|Model|Infrastructure|Monitoring)\n(.*?)(?=^## )", PAGE, re.MULTILINE | re.DOTALL)
)


def rows(section: str) -> list[list[str]]:
    lines = [line for line in SECTIONS[section].splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[1:]]


def test_every_test_that_the_page_names_is_collected():
    assert len(list_named_tests(PAGE)) >= 25
    assert find_missing_tests(PAGE) == []


def test_a_whole_point_names_a_test():
    assert [row for section in SECTIONS for row in rows(section) if row[1] == "1" and "::" not in row[2]] == []


def test_each_section_has_seven_tests_and_its_points_add_up():
    assert {section: len(rows(section)) for section in SECTIONS} == dict.fromkeys(SECTIONS, 7)
    points = {section: sum(float(row[1]) for row in rows(section)) for section in SECTIONS}
    stated = dict(re.findall(r"^\| (Data|Model|Infrastructure|Monitoring) \| ([\d.]+) \|$", PAGE, re.MULTILINE))
    assert points == {section: float(text) for section, text in stated.items()}
    assert min(points.values()) >= 5
