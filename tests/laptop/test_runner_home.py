"""A home and the way a run reports: locks, cleaning, task values, screen and log."""

from __future__ import annotations

import getpass
import json
import logging
import os
import subprocess
import sys
import threading
import time
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from laptop import runtime
from laptop.bundle import load_bundle
from laptop.console import Console
from laptop.home import Home, LaptopError, set_environment
from laptop.run_store import Run, TaskRun
from laptop.runner import Runner

HOLD = """
import sys, time
from pathlib import Path
from laptop.home import Home
with Home(Path(sys.argv[1])).hold(print):
    print("held", flush=True)
    time.sleep(float(sys.argv[2]))
"""


def hold(home: Path, seconds: float) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", HOLD, str(home), str(seconds)]
    holder = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    return holder


def test_a_second_command_on_a_home_waits_and_says_for_whom(tmp_path: Path) -> None:
    with hold(tmp_path / "home", 0.5) as holder:
        said: list[str] = []
        begin = time.monotonic()
        with Home(tmp_path / "home").hold(said.append):
            assert time.monotonic() - begin > 0.2
        assert said == [f"another command uses this home (pid {holder.pid}), waiting"]


def test_two_homes_do_not_wait_for_each_other(tmp_path: Path) -> None:
    with hold(tmp_path / "one", 0.5):
        said: list[str] = []
        with Home(tmp_path / "two").hold(said.append):
            assert said == []


def test_a_home_may_be_opened_again_by_who_has_it(tmp_path: Path) -> None:
    said: list[str] = []
    with Home(tmp_path).hold(said.append), Home(tmp_path).hold(said.append):
        assert os.environ["LAPTOP_HOME"] == str(tmp_path)
    assert said == []
    assert os.environ.get("LAPTOP_HOME") != str(tmp_path)


def test_cleaning_removes_a_home_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(LaptopError, match="is not a home of laptop; nothing was removed"):
        Home(tmp_path / "mine").remove()
    with pytest.raises(LaptopError, match="is not empty and no home"), Home(tmp_path / "mine").hold(print):
        pass
    assert (tmp_path / "mine" / "thesis.txt").exists()
    home = Home(tmp_path / "home")
    with home.hold(print):
        (home.path / "warehouse").mkdir()
    home.remove()
    assert not home.path.exists()


def test_a_home_in_use_is_not_cleaned(tmp_path: Path) -> None:
    with hold(tmp_path / "home", 0.5) as holder:
        with pytest.raises(LaptopError, match=f"pid {holder.pid}"):
            Home(tmp_path / "home").remove()
        assert (tmp_path / "home").exists()


@pytest.mark.parametrize(
    ("run_as", "who"), [({"service_principal_name": "sp-prod"}, "sp-prod"), ({"user_name": "ann"}, "ann"), (None, None)]
)
def test_tasks_run_as_the_job_says_or_as_the_user(
    tmp_path: Path, run_as: dict[str, str] | None, who: str | None
) -> None:
    seen: list[str] = []
    reported(tmp_path, lambda _: seen.append(os.environ["LAPTOP_IDENTITY"]), **({"run_as": run_as} if run_as else {}))
    assert seen == [who or getpass.getuser()]


def test_environment_variables_come_back_as_they_were() -> None:
    with set_environment(LAPTOP_A="1"), set_environment(LAPTOP_A="2"):
        assert os.environ["LAPTOP_A"] == "2"
    assert "LAPTOP_A" not in os.environ


# --- task values -----------------------------------------------------------------------------------------------------


@pytest.fixture
def task() -> Any:
    """A task that runs in this thread, after another that has set a value."""
    run = Run("1", "j", "j", "1", "dev", "onetime", "me", "2026-01-01T00:00:00.000Z")
    run.tasks = {"before": TaskRun("before", "10"), "me": TaskRun("me", "11")}
    run.tasks["before"].values["k"] = {"deep": [1]}
    token = runtime.current.set(runtime.Current(run, run.tasks["me"], lambda: None))
    yield run.tasks["me"]
    runtime.current.reset(token)


values = runtime.dbutils.jobs.taskValues


def test_a_task_reads_what_an_earlier_one_has_set(task: TaskRun) -> None:
    assert values.get(taskKey="before", key="k") == {"deep": [1]}
    assert values.get(taskKey="before", key="other", default=3, debugValue=4) == 3


def test_a_task_value_that_nobody_set_and_that_has_no_default_is_an_error(task: TaskRun) -> None:
    with pytest.raises(ValueError, match="task 'before' has set no value 'x', and there is no default"):
        values.get(taskKey="before", key="x", debugValue=1)


def test_a_task_value_is_json_of_48_kib_at_most(task: TaskRun) -> None:
    values.set(key="most", value="x" * (48 * 1024 - 2))
    with pytest.raises(ValueError, match="49153 bytes of JSON; the limit is 49152"):
        values.set(key="more", value="x" * (48 * 1024 - 1))
    with pytest.raises(TypeError):
        values.set(key="odd", value=object())
    with pytest.raises(TypeError, match="must be a string"):
        values.set(key=1, value=1)
    assert list(task.values) == ["most"]


def test_a_thread_that_a_task_starts_is_told_that_it_is_not_the_task(task: TaskRun) -> None:
    errors: list[BaseException] = []

    def thread() -> None:
        try:
            values.set(key="lost", value=1)
        except RuntimeError as error:
            errors.append(error)

    started = threading.Thread(target=thread)
    started.start()
    started.join()
    assert "belong to the thread that the runner started the task in" in str(errors[0])


# --- screen and log --------------------------------------------------------------------------------------------------


def reported(root: Path, task: Any, **more: Any) -> tuple[str, str]:
    """What one task leaves on the screen and in the log of its run."""
    wheel = {"package_name": "toy", "entry_point": "a", "parameters": []}
    jobs = {"main": {"name": "j", "tasks": [{"task_key": "a", "python_wheel_task": wheel}], **more}}
    document = {"bundle": {"name": "toy"}, "targets": {"dev": {}}, "resources": {"jobs": jobs}}
    (root / "databricks.yml").write_text(json.dumps(document))
    screen = StringIO()
    show = Console(screen)
    with show.capture_output():
        Runner(load_bundle(root, "dev"), Home(root / "home"), show, resolve=lambda *_: task).run_job("main", {})
    return screen.getvalue(), (root / "home" / "runs" / "1.log").read_text()


def test_the_screen_shows_states_and_what_the_task_tells_and_the_log_has_everything(tmp_path: Path) -> None:
    def task(_: Any) -> None:
        logging.getLogger("mlops.training").info("fitted on %d rows", 7)
        logging.getLogger("somebody.else").info("Running upgrade")
        logging.getLogger("mlflow").debug("nobody wants this")
        sys.stdout.write("a progress bar\n")
        sys.stderr.write("an odd library\n")

    screen, log = reported(tmp_path, task)
    lines = [line.split() for line in screen.splitlines()]
    assert lines[0] == ["main", "in", "dev,", "run", "1"]
    assert lines[1][:2] == ["a", "RUNNING"]
    assert lines[2] == ["fitted", "on", "7", "rows"]
    assert lines[3][:2] == ["a", "SUCCESS"]
    assert lines[4][:6] == ["main", "in", "dev,", "run", "1:", "SUCCESS"]
    for text in (
        "INFO mlops.training: fitted on 7 rows",
        "INFO somebody.else: Running upgrade",
        "a progress bar",
        "an odd",
    ):
        assert text in log
    assert "nobody wants this" not in log


class ApprovalPending(Exception):
    """As the wheel's, by which the runner knows it: by name."""


@pytest.mark.parametrize("broken", [False, True], ids=["a version waits", "another task is broken"])
def test_a_task_that_waits_for_a_person_is_shown_as_waiting_and_recorded_as_the_platform_has_it(tmp_path, broken):
    wheel = {"package_name": "toy", "entry_point": "a", "parameters": []}
    tasks = [
        {"task_key": "approval", "python_wheel_task": wheel},
        {"task_key": "deployment", "depends_on": [{"task_key": "approval"}], "python_wheel_task": wheel},
        *([{"task_key": "other", "python_wheel_task": wheel}] if broken else []),
    ]

    def task(_: Any) -> None:
        if runtime.current.get().task.key == "other":
            raise ValueError("broken")
        raise ApprovalPending("version 2 waits for approval; have somebody else run: mlops approve 2")

    screen, _ = reported(tmp_path, task, tasks=tasks)
    words = {key: state for key, state, *_ in (line.split() for line in screen.splitlines()) if state != "RUNNING"}
    assert words["approval"] == "WAITING"
    assert "have somebody else run: mlops approve 2" in screen
    assert ("run 1: FAILED in" in screen, "run 1: WAITING in" in screen) == (broken, not broken)
    assert words["deployment"] == ("UPSTREAM_FAILED" if broken else "UPSTREAM_WAITING")
    record = json.loads((tmp_path / "home/runs/1.json").read_text())
    assert record["state"] == record["tasks"]["approval"]["state"] == "FAILED"
    assert record["tasks"]["deployment"]["state"] == "UPSTREAM_FAILED"


def test_streams_and_logging_are_as_before_afterwards(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    before = sys.stdout, sys.stderr, logging.getLogger().level, list(logging.getLogger().handlers)
    kept: list[Any] = []
    reported(tmp_path, lambda _: kept.append(sys.stderr))
    assert (sys.stdout, sys.stderr, logging.getLogger().level, list(logging.getLogger().handlers)) == before
    assert kept[0].write("said later") == 10
    if sys.__stderr__:
        sys.__stderr__.flush()
    assert "said later" in capfd.readouterr().err, "a library may keep the stream and go on writing"


def test_a_terminal_shows_a_tree_with_every_task(tmp_path: Path) -> None:
    class Terminal(StringIO):
        def isatty(self) -> bool:
            return True

    run = Run("7", "main", "j", "1", "dev", "onetime", "me", "2026-01-01T00:00:00.000Z")
    run.tasks = {"a": TaskRun("a", "70", state="SUCCESS", start=run.start, duration=3.2), "b": TaskRun("b", "71")}
    screen = Terminal()
    show = Console(screen)
    show.start_run(run, tmp_path / "7.log")
    show.end_run(run)
    text = screen.getvalue()
    assert "main in dev, run 7" in text
    assert "SUCCESS" in text
    assert "3.2 s" in text
    assert "PENDING" in text
