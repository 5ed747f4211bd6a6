"""What stops a run: timeouts, cancelling, constructs that only the platform has, errors of tasks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import datetime
from io import StringIO
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, cast

import pytest

from laptop import runtime
from laptop.bundle import BundleError, load_bundle
from laptop.console import Console
from laptop.home import Home
from laptop.lint import lint_bundle
from laptop.parameters import InvalidRunError
from laptop.run_store import Run, TaskRun
from laptop.runner import Runner
from laptop.task_thread import Interrupted, run_interruptible


def for_ever(_: Any) -> None:
    while True:
        time.sleep(0.01)


def stubborn(_: Any) -> None:
    while True:
        try:
            time.sleep(0.01)
        except Exception:  # noqa: BLE001, S112
            continue


def quick(_: Any) -> None:
    pass


def wheel(key: str, *on: str, **more: Any) -> dict[str, Any]:
    what = {"package_name": "toy", "entry_point": key, "parameters": []}
    edges = [{"task_key": one} for one in on]
    return {"task_key": key, "python_wheel_task": what, "depends_on": edges, **more}


def runner(root: Path, jobs: dict[str, Any], **functions: Callable[[Any], None]) -> Runner:
    text = {"bundle": {"name": "toy"}, "targets": {"dev": {}}, "resources": {"jobs": jobs}}
    (root / "databricks.yml").write_text(json.dumps(text, indent=1))
    home = Home(root / "home")
    home.path.mkdir(exist_ok=True)
    return Runner(
        load_bundle(root, "dev"), home, Console(StringIO()), resolve=lambda _, name: functions.get(name, quick)
    )


def states(run: Run) -> list[str]:
    return [task.state for task in run.tasks.values()]


def test_a_task_over_its_timeout_is_stopped_and_its_dependents_fail(tmp_path: Path) -> None:
    job = {"name": "j", "tasks": [wheel("slow", timeout_seconds=1, max_retries=1), wheel("z", "slow")]}
    begin = time.monotonic()
    run = runner(tmp_path, {"main": job}, slow=for_ever).run_job("main", {})
    assert states(run) == ["TIMEDOUT", "UPSTREAM_FAILED"]
    assert run.state == "FAILED"
    assert run.tasks["slow"].attempts == 1, "a timeout is not retried unless retry_on_timeout says so"
    assert run.tasks["slow"].error == {"type": "TIMEDOUT", "message": "it took more than 1 s"}
    assert time.monotonic() - begin < 3


def test_a_timeout_is_retried_where_the_task_says_so(tmp_path: Path) -> None:
    task = wheel("slow", timeout_seconds=1, max_retries=1, retry_on_timeout=True)
    run = runner(tmp_path, {"main": {"name": "j", "tasks": [task]}}, slow=for_ever).run_job("main", {})
    assert (states(run), run.tasks["slow"].attempts) == (["TIMEDOUT"], 2)


def test_a_task_that_catches_every_exception_is_stopped_too(tmp_path: Path) -> None:
    task = wheel("slow", timeout_seconds=1)
    run = runner(tmp_path, {"main": {"name": "j", "tasks": [task]}}, slow=stubborn).run_job("main", {})
    assert states(run) == ["TIMEDOUT"]


def test_who_swallows_the_interruption_has_not_succeeded_for_that() -> None:
    stopping = threading.Event()

    def body() -> None:
        try:
            stopping.set()
            for_ever(None)
        except BaseException:  # noqa: BLE001, S110
            pass

    with pytest.raises(Interrupted):
        run_interruptible(body, stopping.is_set, lambda: None)


def test_a_job_over_its_timeout_cancels_what_runs(tmp_path: Path) -> None:
    job = {"name": "j", "timeout_seconds": 1, "tasks": [wheel("a"), wheel("slow", "a"), wheel("z", "slow")]}
    run = runner(tmp_path, {"main": job}, slow=for_ever).run_job("main", {})
    assert states(run) == ["SUCCESS", "CANCELED", "UPSTREAM_CANCELED"]
    assert run.state == "TIMEDOUT"


def test_a_timeout_reaches_the_job_that_the_task_runs(tmp_path: Path) -> None:
    call = {"task_key": "call", "timeout_seconds": 1, "run_job_task": {"job_id": "${resources.jobs.child.id}"}}
    jobs = {"main": {"name": "j", "tasks": [call]}, "child": {"name": "c", "tasks": [wheel("slow")]}}
    made = runner(tmp_path, jobs, slow=for_ever)
    run, child = made.run_job("main", {}), made.journal.latest_run("child", "dev", {})
    assert states(run) == ["TIMEDOUT"]
    assert child is not None
    assert (states(child), child.state) == (["CANCELED"], "CANCELED")


def test_one_slow_iteration_does_not_stop_the_others(tmp_path: Path) -> None:
    def sometimes(argv: Any) -> None:
        if argv == ["2"]:
            for_ever(argv)

    nested = wheel("each", timeout_seconds=1)
    nested["python_wheel_task"]["parameters"] = ["{{input}}"]
    task = {"task_key": "a", "for_each_task": {"inputs": "[1, 2, 3]", "concurrency": 3, "task": nested}}
    run = runner(tmp_path, {"main": {"name": "j", "tasks": [task]}}, each=sometimes).run_job("main", {})
    assert [each.state for each in run.tasks["a"].iterations] == ["SUCCESS", "TIMEDOUT", "SUCCESS"]


def test_a_retry_waits_for_the_interval_since_the_failed_start(tmp_path: Path) -> None:
    starts = []

    def failing(_: Any) -> None:
        current = runtime.current.get()
        assert current is not None
        starts.append(datetime.fromisoformat(current.task.start))  # as the runner recorded it
        time.sleep(0.6)
        raise ValueError

    task = wheel("failing", max_retries=1, min_retry_interval_millis=1000)
    runner(tmp_path, {"main": {"name": "j", "tasks": [task]}}, failing=failing).run_job("main", {})
    assert 0.9 <= (starts[1] - starts[0]).total_seconds() < 1.6  # 0.6 without a wait


def test_cancelling_stops_what_runs_and_starts_nothing_more(tmp_path: Path) -> None:
    job = {"name": "j", "tasks": [wheel("slow", max_retries=3), wheel("y"), wheel("z", "slow", run_if="ALL_DONE")]}
    made = runner(tmp_path, {"main": job}, slow=for_ever)
    threading.Timer(0.3, made.cancelled.set).start()
    run = made.run_job("main", {})
    assert sorted(states(run)) == ["CANCELED", "CANCELED", "SUCCESS"] or states(run) == ["CANCELED"] * 3
    assert run.tasks["slow"].attempts == 1
    assert run.state == "CANCELED"
    made.cancelled.clear()
    made.resolve = lambda *_: quick
    assert states(made.repair_job("main", {})) == ["SUCCESS"] * 3


def test_the_journal_tells_what_runs_while_it_runs(tmp_path: Path) -> None:
    seen = {}

    def look(_: Any) -> None:
        seen.update(json.loads((tmp_path / "home" / "runs" / "1.json").read_text()))

    job = {"name": "j", "tasks": [wheel("a"), wheel("look", "a"), wheel("z", "look")]}
    runner(tmp_path, {"main": job}, look=look).run_job("main", {})
    assert seen["state"] == "RUNNING"
    assert [task["state"] for task in seen["tasks"].values()] == ["SUCCESS", "RUNNING", "PENDING"]


def test_a_run_whose_process_was_killed_is_written_down_as_canceled_when_it_is_next_read(tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    made = runner(tmp_path, {"main": {"name": "j", "tasks": [wheel("a"), wheel("b", "a"), wheel("c", "b")]}})
    halves = {"a": TaskRun("a", "1", "SUCCESS"), "b": TaskRun("b", "2", "RUNNING"), "c": TaskRun("c", "3")}
    made.journal.save_run(Run("1", "main", "j", "0", "dev", "onetime", "me", "", tasks=halves, pid=ended.pid))
    (run,) = made.journal.list_runs()
    assert (run.state, states(run)) == ("CANCELED", ["SUCCESS", "CANCELED", "UPSTREAM_CANCELED"])
    assert json.loads((tmp_path / "home/runs/1.json").read_text())["state"] == "CANCELED"
    assert states(made.repair_job("main", {})) == ["SUCCESS"] * 3
    assert next(made.journal.list_runs()).pid == os.getpid()


def test_a_reader_of_the_journal_never_sees_half_a_file(tmp_path: Path) -> None:
    made = runner(tmp_path, {"main": {"name": "j", "tasks": [wheel("a")]}})
    run = made.run_job("main", {})
    run.parameters["long"] = "x" * 100_000
    made.journal.save_run(run)
    stop, broken = threading.Event(), []

    def read() -> None:
        while not stop.is_set():
            try:
                json.loads((tmp_path / "home" / "runs" / "1.json").read_text())
            except ValueError as error:
                broken.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    for _ in range(200):
        made.journal.save_run(run)
    stop.set()
    reader.join()
    assert broken == []


def test_an_error_that_nobody_can_mend_leaves_its_stack_trace_in_the_log(tmp_path: Path) -> None:
    def broken(_: Any) -> None:
        raise ZeroDivisionError("by zero")

    run = runner(tmp_path, {"main": {"name": "j", "tasks": [wheel("broken")]}}, broken=broken).run_job("main", {})
    log = tmp_path / "home" / "runs" / "1.log"
    assert run.tasks["broken"].error == {"type": "ZeroDivisionError", "message": f"by zero (stack trace in {log})"}
    assert "in broken" in log.read_text()


def test_an_error_that_a_user_can_mend_is_one_sentence(tmp_path: Path) -> None:
    class MlopsError(Exception):
        pass

    class ConfigError(MlopsError):
        pass

    def refusing(_: Any) -> None:
        raise ConfigError("parameter 'x' is missing")

    run = runner(tmp_path, {"main": {"name": "j", "tasks": [wheel("refusing")]}}, refusing=refusing).run_job("main", {})
    assert run.tasks["refusing"].error == {"type": "ConfigError", "message": "parameter 'x' is missing"}
    assert (tmp_path / "home" / "runs" / "1.log").read_text() == ""


def test_a_package_or_entry_point_that_does_not_exist_fails_the_task_with_its_name(tmp_path: Path) -> None:
    from laptop.task_thread import entry_point

    tasks = [wheel("a"), wheel("tranining")]
    tasks[1]["python_wheel_task"]["package_name"] = "mlops-template"
    made = runner(tmp_path, {"main": {"name": "j", "tasks": tasks}})
    made.resolve, made.find_check = entry_point, lambda _: None
    run = made.run_job("main", {})
    assert run.tasks["a"].error is not None
    assert "package 'toy' is not installed" in run.tasks["a"].error["message"]
    assert run.tasks["tranining"].error is not None
    assert "did you mean 'training'?" in run.tasks["tranining"].error["message"]


CONDITION = {"task_key": "c", "condition_task": {"op": "EQUAL_TO", "left": "1", "right": "1"}}
NESTED = {"task_key": "t", "for_each_task": {"inputs": "[]", "task": {"task_key": "u"}}}
UNSUPPORTED = {
    "task_key": {"tasks": [{"task_key": "t", "python_wheel_task": None}]},
    "notebook_path": {"tasks": [{"task_key": "t", "notebook_task": {"notebook_path": "/n"}}]},
    "dashboard": {"tasks": [{"task_key": "t", "sql_task": {"dashboard": {"dashboard_id": "x"}}}]},
    "pipeline_task": {"tasks": [{"task_key": "t", "pipeline_task": {"pipeline_id": "x"}}]},
    "new_cluster": {"tasks": [wheel("t", new_cluster={"num_workers": 1})]},
    "libraries": {"tasks": [wheel("t", libraries=[])]},
    "job_clusters": {"job_clusters": [], "tasks": [wheel("t")]},
    "git_source": {"git_source": {}, "tasks": [wheel("t")]},
    "continuous": {"continuous": {}, "tasks": [wheel("t")]},
    "for_each_task": {"tasks": [{"task_key": "t", "for_each_task": {"inputs": "[]", "task": NESTED}}]},
    "dbt_task": {
        "tasks": [{"task_key": "t", "for_each_task": {"inputs": "[]", "task": {"task_key": "u", "dbt_task": {}}}}]
    },
    "notebook_params": {"tasks": [{"task_key": "t", "run_job_task": {"job_id": "1", "notebook_params": {}}}]},
    "python_wheel_task": {
        "parameters": [{"name": "p", "default": "x"}],
        "tasks": [{"task_key": "t", "python_wheel_task": {"package_name": "p", "entry_point": "e"}}],
    },
}


@pytest.mark.parametrize("key", UNSUPPORTED)
@pytest.mark.parametrize("through", ["itself", "a job it runs"])
def test_what_only_the_platform_can_do_is_refused_with_its_line_before_anything_runs(
    tmp_path: Path, key: str, through: str
) -> None:
    call = {
        "task_key": "call",
        "depends_on": [{"task_key": "a"}],
        "run_job_task": {"job_id": "${resources.jobs.bad.id}"},
    }
    jobs = {"main": {"name": "j", "tasks": [wheel("a"), call]}, "bad": {"name": "b", **UNSUPPORTED[key]}}
    made = runner(tmp_path, jobs)
    with pytest.raises(BundleError) as refused:
        made.run_job("bad" if through == "itself" else "main", {})
    places = [problem.location for problem in refused.value.problems]
    lines = (tmp_path / "databricks.yml").read_text().splitlines()
    assert any(f'"{key}"' in lines[place.line - 1] for place in places), refused.value
    assert list((tmp_path / "home").iterdir()) == []


IMPOSSIBLE = {
    "outcome": [CONDITION, wheel("t", depends_on=[{"task_key": "c", "outcome": "True"}])],
    "outcome of no condition": [wheel("c"), wheel("t", depends_on=[{"task_key": "c", "outcome": "true"}])],
    "run_if": [wheel("t", run_if="ALL_GOOD")],
    "op": [{"task_key": "c", "condition_task": {"op": "EQUALS", "left": "1", "right": "1"}}],
    "concurrency": [{"task_key": "t", "for_each_task": {"inputs": "[]", "concurrency": 0, "task": wheel("u")}}],
    "timeout_seconds": [{"task_key": "t", "for_each_task": {"inputs": "[]", "task": wheel("u", timeout_seconds=-1)}}],
    "max_retries": [wheel("t", max_retries=-2)],
}


@pytest.mark.parametrize("key", IMPOSSIBLE)
def test_a_value_that_the_platform_does_not_have_skips_no_branch_but_is_refused(tmp_path: Path, key: str) -> None:
    made = runner(tmp_path, {"main": {"name": "j", "tasks": IMPOSSIBLE[key]}})
    with pytest.raises(
        BundleError, match=f"{key.split(maxsplit=1)[0]} of job 'main' is .*the platform does not take it"
    ):
        made.run_job("main", {})
    told = {problem.rule for problem in lint_bundle(tmp_path, house=False)}
    assert told, "the runner refuses what the linter lets pass"
    assert ("limit" in told) == (key in {"concurrency", "timeout_seconds", "max_retries"})


def test_a_wheel_task_without_arguments_runs_in_a_job_without_parameters(tmp_path: Path) -> None:
    task = {"task_key": "t", "python_wheel_task": {"package_name": "p", "entry_point": "e"}}
    assert runner(tmp_path, {"main": {"tasks": [task]}}).run_job("main", {}).state == "SUCCESS"


@pytest.mark.parametrize("argument", ["{{job.parameters.n}}", "{{input}}", "{{tasks.before.values.n}}"])
def test_a_malformed_parameter_is_refused_before_anything_starts_where_it_is_known(
    tmp_path: Path, argument: str
) -> None:
    def check(argv: Any) -> None:
        if argv != ["1"]:
            raise ValueError("n is no number")

    task = wheel("late") | {"depends_on": []}
    task["python_wheel_task"]["parameters"] = [argument]
    loop = {"task_key": "loop", "for_each_task": {"inputs": '["x"]', "task": task}}
    job = {
        "parameters": [{"name": "n", "default": "1"}],
        "tasks": [wheel("before"), loop if "input" in argument else task],
    }
    job["tasks"][0]["python_wheel_task"]["package_name"] = "other"
    made = runner(tmp_path, {"main": job})
    made.find_check = lambda package: check if package == "toy" else None
    if "job." in argument:
        with pytest.raises(InvalidRunError, match="task 'late' of job 'main': n is no number"):
            made.run_job("main", {"n": "x"})
        assert list(made.journal.list_runs()) == []
        assert made.run_job("main", {}).state == "SUCCESS"
    else:
        assert made.run_job("main", {}).tasks["before"].state == "SUCCESS"


# --- queue -----------------------------------------------------------------------------------------------------------


def ask(home: Path, name: str, job: str, parameters: dict[str, str], target: str = "dev") -> Path:
    from laptop.resolution import job_id

    (home / "queue").mkdir(exist_ok=True)
    request = home / "queue" / f"{name}.json"
    request.write_text(json.dumps({"job_id": job_id(target, job) if job else "1", "job_parameters": parameters}))
    return request


def test_what_tasks_asked_for_runs_afterwards_oldest_first(tmp_path: Path) -> None:
    made: Runner

    def first(_: Any) -> None:
        ask(made.home.path, "2", "other", {"p": "second"})
        ask(made.home.path, "1", "other", {"p": "first"})

    def other(argv: Any) -> None:
        left = ["1.json", "2.json"] if argv == ["first"] else ["2.json"]
        assert sorted(path.name for path in (made.home.path / "queue").iterdir()) == left

    task = wheel("other")
    task["python_wheel_task"]["parameters"] = ["{{job.parameters.p}}"]
    jobs = {
        "main": {"name": "j", "tasks": [wheel("first")]},
        "other": {"name": "o", "parameters": [{"name": "p", "default": ""}], "tasks": [task]},
    }
    made = runner(tmp_path, jobs, first=first, other=other)
    assert made.run_job("main", {}).state == "SUCCESS"
    queued = list(made.work_off_queue())
    assert [(run.run_id, run.parameters, run.state) for run in queued] == [
        ("2", {"p": "first"}, "SUCCESS"),
        ("3", {"p": "second"}, "SUCCESS"),
    ]


def test_a_request_for_a_job_that_the_target_lacks_stays_and_holds_nothing_up(tmp_path: Path) -> None:
    made = runner(tmp_path, {"main": {"name": "j", "tasks": [wheel("a")]}})
    text = json.loads((tmp_path / "databricks.yml").read_text())
    text["targets"]["prod"] = {"resources": {"jobs": {"theirs": {"tasks": [wheel("b")]}}}}
    (tmp_path / "databricks.yml").write_text(json.dumps(text))
    foreign = ask(made.home.path, "1", "theirs", {}, "prod")
    ask(made.home.path, "2", "main", {})
    assert [run.job for run in made.work_off_queue()] == ["main"]
    assert list((made.home.path / "queue").iterdir()) == [foreign]
    told = made.show._out.getvalue()
    assert "job 'theirs' of target 'prod' was asked for, and this command runs target 'dev'" in told
    assert "the next command with -t prod runs it" in told


@pytest.mark.parametrize("content", ['{"job_id": "1", "job_parameters": {}}', "{", '{"job_id": "1"}', "[]"])
def test_a_request_that_no_target_can_run_is_set_aside_with_a_sentence(tmp_path: Path, content: str) -> None:
    made = runner(tmp_path, {"main": {"name": "j", "tasks": [wheel("a")]}})
    lost = ask(made.home.path, "1", "", {})
    lost.write_text(content)
    ask(made.home.path, "2", "main", {})
    assert [run.job for run in made.work_off_queue()] == ["main"]
    assert [path.name for path in (made.home.path / "queue").iterdir()] == ["1.refused"]
    assert isinstance(made.show._out, StringIO)
    assert "it is set aside as" in made.show._out.getvalue()


def test_a_request_whose_run_always_ends_the_process_is_set_aside(tmp_path: Path) -> None:
    made = runner(tmp_path, {"main": {"name": "j", "tasks": [wheel("a")]}})
    request = ask(made.home.path, "1", "main", {})
    run = made._new_run("main", {}, "onetime", request.name)
    run.state, run.repair_count = "CANCELED", 3
    made.journal.save_run(run)
    assert list(made.work_off_queue()) == []
    assert [path.name for path in (made.home.path / "queue").iterdir()] == ["1.refused"]
    assert made.repair_job("main", {}).state == "SUCCESS"


@pytest.mark.parametrize("code", [True, False])
def test_a_job_of_conditions_alone_starts_no_spark(tmp_path: Path, code: bool) -> None:
    started = []
    condition = {"op": "EQUAL_TO", "left": "1", "right": "1"}
    tasks = [{"task_key": "c", "condition_task": condition}, *([wheel("a", "c")] if code else [])]
    calling = {"task_key": "r", "run_job_task": {"job_id": "${resources.jobs.main.id}"}}
    loop = {"task_key": "l", "for_each_task": {"inputs": "[1]", "task": calling}}
    made = runner(tmp_path, {"main": {"name": "j", "tasks": tasks}, "outer": {"name": "o", "tasks": [loop]}})
    spark = SimpleNamespace(start_server=lambda *_: started.append(1), offer_session=lambda *_: None, get_session=None)
    made.spark = cast("ModuleType", spark)
    assert made.run_job("outer", {}).state == "SUCCESS"
    assert bool(started) is code


def test_run_ids_rise_and_belong_to_their_home(tmp_path: Path) -> None:
    made = runner(tmp_path, {"main": {"name": "j", "tasks": [wheel("a")]}})
    assert [made.run_job("main", {}).run_id for _ in range(11)] == [str(number) for number in range(1, 12)]
    latest = made.journal.latest_run("main", "dev", {})
    assert latest is not None
    assert latest.run_id == "11"
    (tmp_path / "other").mkdir()
    assert runner(tmp_path / "other", {"main": {"name": "j", "tasks": [wheel("a")]}}).run_job("main", {}).run_id == "1"
