import io
import re
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import pytest
from click.testing import CliRunner
from demo.replay import _make_quality_table, describe_retraining, find_days, print_champions
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from toy import TOY

from laptop.cli import main
from laptop.home import LaptopError
from mlops.contract import ConfigError, Replay

DAYS = {"first_file": date(2023, 12, 31), "trained": date(2024, 3, 1), "default_end": date(2024, 3, 31),
        "last_day": date(2024, 12, 31), "tested": (date(2024, 1, 5), date(2024, 1, 9))}  # fmt: skip


@given(st.dates(DAYS["trained"], DAYS["last_day"]), st.integers(1, 60))
def test_windows_cover_every_day_once_and_the_first_ends_with_the_default(until, length):
    window = timedelta(days=length)
    windows = list(Replay(**DAYS, window=window).list_windows(until))
    assert (windows[0][0], windows[-1][1]) == (DAYS["trained"], until)
    assert windows[0][1] == min(until, DAYS["default_end"])
    assert all(later[0] - earlier[1] == timedelta(days=1) for earlier, later in pairwise(windows))
    assert all(end - since < window for since, end in windows[1:])


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"trained": date(2023, 12, 31)}, "first_file 2023-12-31 < trained 2023-12-31"),
        ({"default_end": date(2025, 3, 1)}, "default_end 2025-03-01 <= last_day 2024-12-31"),
        ({"tested": (date(2024, 1, 5), date(2024, 1, 5))}, "tested is 2024-01-05 to 2024-01-05"),
        ({"window": timedelta(hours=36)}, "the window of the replay is 1 day, 12:00:00"),
    ],
)
def test_days_that_cannot_be_replayed_are_refused(changed, told):
    with pytest.raises(ConfigError, match=re.escape(told)):
        Replay(**DAYS | changed)


def test_a_use_case_without_days_says_what_to_write():
    with pytest.raises(LaptopError, match=re.escape("write `replay=Replay(...)`")):
        find_days(TOY)


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
    (tmp_path / "shows_arguments.py").write_text("def main(arguments):\n    print(*arguments)\n    return 3\n")
    monkeypatch.chdir(tmp_path)
    missing = CliRunner().invoke(main, ["demo"])
    assert (missing.exit_code, "names no demo" in missing.output) == (2, True)
    (tmp_path / "laptop.yml").write_text("demo: shows_arguments")
    given = ["--help", "-x", "word", "--until=1"]
    shown = CliRunner().invoke(main, ["demo", *given])
    assert (shown.exit_code, shown.output.split()) == (3, given)
    (tmp_path / "laptop.yml").write_text("demo: nowhere")
    wrong = CliRunner().invoke(main, ["demo"])
    assert (wrong.exit_code, "No module named 'nowhere'" in wrong.output) == (2, True)


@given(st.text("abc_", min_size=1, max_size=120), st.sampled_from([20, 80, 120]))
def test_names_of_champions_are_whole_on_any_screen(name, width):
    screen, model = io.StringIO(), f"dev.dev_{name}.dev_{name}"
    row = {"alias": "champion", "model": model, "version": 3, "digest": "d" * 64, "run": "e" * 32}
    print_champions(Console(file=screen, width=width), [row, row | {"alias": "challenger"}])
    assert screen.getvalue() == f"champion {model} version 3, artifact digest {'d' * 12}, run {'e' * 8}\n"


@pytest.mark.parametrize(("baseline", "said"), [(0.7, "AUC 0.7000, log-loss 0.7000"), (None, "not compared")])
def test_a_window_of_a_single_day_is_shown_without_the_comparison_that_it_lacks(baseline, said):
    moment, figures = datetime(2013, 3, 26, tzinfo=UTC), dict.fromkeys(("auc", "log_loss", "calibration_gap"), 0.5)
    row = {"slice": "", "state": "judged", "window_start": moment, "window_end": moment, "model_version": 1, "rows": 9}
    table = _make_quality_table([row | figures | {"baseline_auc": baseline, "baseline_log_loss": baseline}])
    assert list(table.columns[-1].cells) == [said]
