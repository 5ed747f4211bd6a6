from datetime import date, timedelta
from itertools import pairwise

import pytest
from click.testing import CliRunner
from demo.replay import YEAR_END, describe_retraining, list_windows, month_end

from laptop.cli import main


def test_the_year_is_replayed_without_gap_in_ten_windows_of_at_most_four_weeks():
    year = list(list_windows(YEAR_END))
    assert len(year) == 10
    assert (year[0], year[-1][1]) == ((date(2013, 4, 1), date(2013, 4, 30)), YEAR_END)
    assert all(later[0] - earlier[1] == timedelta(days=1) for earlier, later in pairwise(year))
    assert all(end - since < timedelta(days=28) for since, end in year[1:])


@pytest.mark.parametrize(("months", "last"), [(4, date(2013, 4, 30)), (6, date(2013, 6, 30)), (12, YEAR_END)])
def test_months_are_counted_from_january(months, last):
    assert month_end(months) == last
    assert list(list_windows(last))[-1][1] == last


@pytest.mark.parametrize(
    ("trained", "champion", "said"),
    [
        ({2: "accepted"}, 2, "retrained (age), version 2 serves"),
        ({2: "refused"}, 1, "retrained (age), version 2 was refused, version 1 serves"),
        ({2: "accepted"}, 1, "retrained (age), version 2 was accepted but not deployed, version 1 serves"),
        ({2: None}, 1, "retrained (age), version 2 was not judged, version 1 serves"),
        ({}, 1, "retraining is due (age) and made no version, version 1 serves"),
    ],
)
def test_a_retraining_says_what_became_of_its_version(trained, champion, said):
    status = [{"alias": "previous_champion", "version": 7}, {"alias": "champion", "version": champion}]
    assert describe_retraining(["age"], trained, status) == said


def test_laptop_hands_its_arguments_to_the_script_that_laptop_yml_names(tmp_path, monkeypatch):
    (tmp_path / "databricks.yml").write_text("bundle: {name: x}")
    (tmp_path / "shown.py").write_text("def main(arguments):\n    print(*arguments)\n    return 3\n")
    monkeypatch.chdir(tmp_path)
    missing = CliRunner().invoke(main, ["demo"])
    assert (missing.exit_code, "names no demo" in missing.output) == (2, True)
    (tmp_path / "laptop.yml").write_text("demo: shown")
    given = ["--help", "-x", "word", "--until=1"]
    shown = CliRunner().invoke(main, ["demo", *given])
    assert (shown.exit_code, shown.output.split()) == (3, given)
    (tmp_path / "laptop.yml").write_text("demo: nowhere")
    wrong = CliRunner().invoke(main, ["demo"])
    assert (wrong.exit_code, "No module named 'nowhere'" in wrong.output) == (2, True)
