"""`laptop watch`: each file that arrives starts its job, after the wait and the pause of the trigger."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from laptop import spark, watch
from laptop.bundle import load_bundle
from laptop.cli import run_args
from laptop.home import LaptopError
from laptop.runner import Runner
from laptop.watch import FileTrigger, find_file_triggers, wait_for_files

_BUNDLE = """\
bundle: {{name: b, uuid: 00000000-0000-4000-8000-000000000000}}
sync: {{paths: []}}
targets: {{dev: {{}}}}
resources:
  jobs:
    land:
      name: land
      trigger: {{{trigger}}}
      tasks: [{{task_key: a, condition_task: {{left: "1", op: EQUAL_TO, right: "1"}}}}]
"""


def write_bundle(folder: Path, trigger: str) -> Path:
    (folder / "databricks.yml").write_text(_BUNDLE.format(trigger=trigger))
    return folder


@given(
    st.lists(st.tuples(st.integers(0, 3), st.sets(st.sampled_from("abcdef"))), max_size=12),
    st.integers(0, 4), st.integers(0, 4),
)  # fmt: skip
def test_every_new_file_starts_one_run_that_waits_as_the_trigger_says(looks, wait, pause):
    trigger, now, starts, waiting, changed = FileTrigger("j", Path(), wait, pause), 0, [], set(), 0
    known: set[str] = set()
    for later, files in [*looks, *((1, looks[-1][1]) for _ in range(10) if looks)]:
        now += later
        if files - known:
            waiting, changed = waiting | (files - known), now
        known = files
        due = trigger.is_due(files, now)
        assert not due or (waiting and now - changed >= wait and (not starts or now - starts[-1] >= pause))
        if due:
            starts.append(now)
            waiting = set()
    assert waiting == set()


def test_a_file_that_arrives_while_a_job_runs_is_not_lost(tmp_path):
    folders = [tmp_path / name for name in ("a", "b")]
    triggers = [FileTrigger(folder.name, folder) for folder in folders]
    steps = iter([lambda: None, lambda: (folders[0].mkdir(), (folders[0] / "1").touch()), lambda: None, lambda: None])
    started = []

    def sleep(_):
        step = next(steps, None)
        return step is None or bool(step() and False)

    for job in wait_for_files(triggers, lambda: 0.0, sleep):
        started.append(job)
        if len(started) == 1:
            (folders[0] / "deep").mkdir()
            (folders[0] / "deep/2").touch()
            (folders[0] / ".being-written").touch()
    assert started == ["a", "a"]


@pytest.mark.parametrize(
    ("trigger", "said"),
    [
        ("periodic: {interval: 1, unit: DAYS}", "no job of target 'dev' starts when a file arrives"),
        ("table_update: {table_names: [a.b.c]}", "no job of target 'dev' starts when a file arrives"),
        ("file_arrival: {url: 's3://bucket/x/'}", "looks at 's3://bucket/x/', which a laptop does not have"),
        ("file_arrival: {url: /Volumes/a/b/}", "which a laptop does not have: let it look at a volume"),
    ],
)
def test_what_cannot_be_watched_is_said(tmp_path, trigger, said):
    bundle = load_bundle(write_bundle(tmp_path, trigger), "dev")
    with pytest.raises(LaptopError, match=said):
        find_file_triggers(bundle, tmp_path)


def test_files_that_are_there_before_start_nothing(tmp_path):
    bundle = load_bundle(write_bundle(tmp_path, "file_arrival: {url: /Volumes/a/b/c/}"), "dev")
    volume = tmp_path / "home/Volumes/a/b/c"
    volume.mkdir(parents=True)
    (volume / "old.csv").touch()
    (trigger,) = find_file_triggers(bundle, tmp_path / "home")
    assert not trigger.is_due(trigger.list_files(), 0)
    (volume / "new.csv").touch()
    assert trigger.is_due(trigger.list_files(), 1)


def test_the_command_runs_the_job_of_the_file_and_ends_with_ctrl_c(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(write_bundle(tmp_path, "file_arrival: {url: /Volumes/a/b/c/}"))
    monkeypatch.setattr(spark, "start_server", lambda *_: None)
    monkeypatch.setattr(watch, "_SECOND", 0.02)
    file = tmp_path / ".laptop/Volumes/a/b/c/1.csv"

    def find_then_land(bundle, home):
        triggers = find_file_triggers(bundle, home)
        file.parent.mkdir(parents=True)
        file.touch()
        return triggers

    def run_then_stop(runner, job, given):
        run = run_job(runner, job, given)
        signal.raise_signal(signal.SIGINT)
        return run

    run_job = Runner.run_job
    monkeypatch.setattr(watch, "find_file_triggers", find_then_land)
    monkeypatch.setattr(Runner, "run_job", run_then_stop)
    assert run_args(["watch", "-t", "dev"]) == 130
    assert f"job land starts when a file arrives in {file.parent}" in capsys.readouterr().out
    assert len(list((tmp_path / ".laptop").glob("runs/*.json"))) == 1
