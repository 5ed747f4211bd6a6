"""The check of the code that laptop.yml names: its problems, and a check that does not end well, are problems."""

from __future__ import annotations

import pytest

from laptop.code_check import start_check

GOOD = [{"file": "src/x.py", "line": 3, "summary": "a name", "reason": "nothing", "fix": "mend it"}]
CASES = {
    "no problem": ("print([])", []),
    "one problem": (f"import json; print(json.dumps({GOOD!r}))", ["src/x.py:3: a name (nothing; mend it)"]),
    "control characters": (
        "import json; print(json.dumps([{'file': 'x', 'line': 1, 'summary': 'a\\rb', 'reason': '', 'fix': ''}]))",
        [r"x:1: a\rb (; )"],
    ),
    "fails": ("raise SystemExit('no such data')", ["the check the_check_of_a_test did not end well: no such data"]),
    "says nothing": ("", ["the check the_check_of_a_test did not end well"]),
    "says something else": ("print('fine')", ["the check the_check_of_a_test did not end well"]),
    "says half": ("print('[{}]')", ["the check the_check_of_a_test did not end well"]),
}


@pytest.mark.parametrize(("code", "expected"), CASES.values(), ids=CASES)
def test_what_the_check_prints_is_what_is_told(tmp_path, code, expected):
    (tmp_path / "the_check_of_a_test.py").write_text(code)
    (tmp_path / "laptop.yml").write_text("house_rules: true\ncheck: the_check_of_a_test\n")
    with start_check(tmp_path) as check:
        problems = [str(problem) for problem in check.find_problems()]
    assert len(problems) == len(expected)
    for problem, words in zip(problems, expected, strict=True):
        assert words in problem
    assert all(problem.startswith("laptop.yml:2: ") for problem in problems if "did not end well" in problem)


@pytest.mark.parametrize("text", ["", "house_rules: true\n", "check: [1]\n", "check:\n"])
def test_without_a_check_nothing_is_started(tmp_path, text):
    (tmp_path / "laptop.yml").write_text(text)
    with start_check(tmp_path) as check:
        assert check is None or list(check.find_problems())


def test_a_check_ends_with_the_command_that_started_it(tmp_path):
    (tmp_path / "the_check_of_a_test.py").write_text("import time; time.sleep(600)")
    (tmp_path / "laptop.yml").write_text("check: the_check_of_a_test\n")
    with pytest.raises(KeyboardInterrupt), start_check(tmp_path) as check:
        raise KeyboardInterrupt
    assert check.process.returncode is not None
