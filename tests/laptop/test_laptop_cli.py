"""The command `laptop` as a process: exit codes, interruption, homes, what stays behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from laptop.cli import run_args

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

BUNDLE = """\
bundle: {name: toy, engine: direct, databricks_cli_version: ">=1.13.0"}
artifacts: {wheel: {type: whl, build: uv build --wheel, path: .}}
targets: {dev: {mode: development, default: true}}
resources:
  jobs:
    main:
      name: main
      description: Runs one task, which asks for another job.
      max_concurrent_runs: 1
      queue: {enabled: true}
      timeout_seconds: 60
      email_notifications:
        on_failure: [nobody@example.com]
        on_duration_warning_threshold_exceeded: [nobody@example.com]
      health: {rules: [{metric: RUN_DURATION_SECONDS, op: GREATER_THAN, value: 30}]}
      parameters: [{name: does, default: nothing}]
      environments:
        - {environment_key: default, spec: {environment_version: "6", dependencies: [./dist/*.whl, mlflow==3.17.2]}}
      tasks:
        - task_key: first
          environment_key: default
          timeout_seconds: 60
          disable_auto_optimization: true
          python_wheel_task: {package_name: toy, entry_point: first, named_parameters: {job: main}}
        - task_key: second
          depends_on: [{task_key: first}]
          environment_key: default
          timeout_seconds: 60
          disable_auto_optimization: true
          python_wheel_task: {package_name: toy, entry_point: second, named_parameters: {job: main}}
"""
TASKS = """\
import os, pathlib, time


def first(argv):
    home = pathlib.Path(os.environ["LAPTOP_HOME"])
    does = dict(word.removeprefix("--").split("=", 1) for word in argv)["does"]
    if does == "fail":
        raise ValueError("broken")
    if does == "wait":
        (home / "waiting").touch()
        while True:
            time.sleep(0.01)
    if does == "spark":
        from pyspark.sql import SparkSession

        SparkSession.builder.getOrCreate().range(1).count()
        (home / "waiting").touch()
        SparkSession.builder.getOrCreate().range(10**13).selectExpr("sum(hash(id))").collect()
    if does == "ask":
        from zlib import crc32

        (home / "queue").mkdir()
        request = '{"job_id": "%d", "job_parameters": {"does": "fail"}}' % crc32(b"dev.main")
        (home / "queue" / "1.json").write_text(request)


def second(argv):
    pathlib.Path(os.environ["LAPTOP_HOME"], "second").touch()
"""


@pytest.fixture
def bundle(spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a bundle whose tasks are installed; commands started in it share the Spark of the tests."""
    site, root = tmp_path / "site", tmp_path / "bundle"
    (site / "toy-1.dist-info").mkdir(parents=True)
    (site / "toy-1.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: toy\nVersion: 1\n")
    points = "[console_scripts]\nfirst = toy_tasks:first\nsecond = toy_tasks:second\n"
    (site / "toy-1.dist-info" / "entry_points.txt").write_text(points)
    (site / "toy_tasks.py").write_text(TASKS)
    root.mkdir()
    (root / "databricks.yml").write_text(BUNDLE)
    monkeypatch.setenv("PYTHONPATH", str(site))
    monkeypatch.chdir(root)
    return root


def laptop(*arguments: str) -> subprocess.Popen[str]:
    """A command that Ctrl-C reaches, also where the test run itself was started in the background and ignores it."""
    command = [sys.executable, "-m", "laptop", *arguments]
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    finally:
        signal.signal(signal.SIGINT, before)


def done(*arguments: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a command that ends by itself."""
    with laptop(*arguments) as process:
        out, err = process.communicate(timeout=60)
    return process.returncode, out, err


def journal(home: Path, run: int = 1) -> dict[str, Any]:
    return json.loads((home / "runs" / f"{run}.json").read_text())  # type: ignore[no-any-return]


def until(condition: Any) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_job_that_succeeds_ends_with_0_and_everything_stays_in_its_home(bundle: Path) -> None:
    code, out, err = done("run", "main", "-t", "dev")
    assert (code, err) == (0, "")
    assert [line.split()[:2] for line in out.splitlines()[1:5]] == [
        ["first", "RUNNING"],
        ["first", "SUCCESS"],
        ["second", "RUNNING"],
        ["second", "SUCCESS"],
    ]
    assert sorted(path.name for path in bundle.iterdir()) == [".laptop", "databricks.yml"]
    assert journal(bundle / ".laptop")["parameters"] == {"does": "nothing"}
    summary = json.loads((bundle / ".laptop" / "summary" / "dev.json").read_text())
    assert summary["resources"]["jobs"]["main"]["id"].isdigit()
    assert done("clean")[0] == 0
    assert [path.name for path in bundle.iterdir()] == ["databricks.yml"]


def test_a_failed_task_ends_with_1_and_a_repair_mends_it(bundle: Path) -> None:
    code, out, _ = done("run", "main", "-t", "dev", "-p", "does=fail", "--home", "elsewhere")
    home = bundle / "elsewhere"
    assert code == 1
    assert "ValueError: broken (stack trace in" in out
    assert "Traceback" not in out
    assert [task["state"] for task in journal(home)["tasks"].values()] == ["FAILED", "UPSTREAM_FAILED"]
    tasks = bundle.parent / "site" / "toy_tasks.py"
    tasks.write_text(tasks.read_text().replace('"fail"', '"never"'))
    assert done("run", "main", "-t", "dev", "--repair", "--home", "elsewhere")[0] == 0
    repaired = journal(home)
    assert (repaired["state"], repaired["repair_count"], repaired["parameters"]) == ("SUCCESS", 1, {"does": "fail"})
    assert not (bundle / ".laptop").exists()


def test_what_a_task_asks_for_runs_too_and_its_failure_is_reported_only(bundle: Path) -> None:
    code, out, err = done("run", "main", "-t", "dev", "-p", "does=ask", "--output", "json")
    assert code == 0
    told = json.loads(out)
    assert (told["run"]["state"], [run["state"] for run in told["queued"]]) == ("SUCCESS", ["FAILED"])
    assert "main in dev, run 2: FAILED" in err
    assert list((bundle / ".laptop" / "queue").iterdir()) == []


@pytest.mark.parametrize(("number", "code", "does"), [(signal.SIGTERM, 143, "spark"), (signal.SIGINT, 130, "wait")])
def test_a_signal_stops_the_task_and_the_journal_says_so(bundle: Path, number: int, code: int, does: str) -> None:
    home = bundle / ".laptop"
    with laptop("run", "main", "-t", "dev", "-p", f"does={does}") as process:
        until((home / "waiting").exists)
        time.sleep(1)  # Spark does not interrupt an operation that it is still planning
        process.send_signal(number)
        _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (code, "")
    stopped = journal(home)
    assert (stopped["state"], stopped["tasks"]["first"]["state"]) == ("CANCELED", "CANCELED")
    assert not (home / "second").exists()
    assert done("run", "main", "-t", "dev")[0] == 0


def test_a_second_signal_ends_the_command_at_once(bundle: Path) -> None:
    tasks = bundle.parent / "site" / "toy_tasks.py"
    tasks.write_text(tasks.read_text().replace("time.sleep(0.01)", "time.sleep(600)"))
    with laptop("run", "main", "-t", "dev", "-p", "does=wait") as process:
        until((bundle / ".laptop" / "waiting").exists)
        process.send_signal(signal.SIGINT)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(1)
        process.send_signal(signal.SIGINT)
        assert process.wait(5) == 130


def test_two_commands_on_one_home_take_turns_and_two_homes_do_not(bundle: Path) -> None:
    first = laptop("run", "main", "-t", "dev", "-p", "does=wait")
    until((bundle / ".laptop" / "waiting").exists)
    second = laptop("run", "main", "-t", "dev")
    assert second.stdout is not None
    assert second.stdout.readline() == f"another command uses this home (pid {first.pid}), waiting\n"
    assert done("run", "main", "-t", "dev", "--home", "other")[0] == 0
    assert second.poll() is None
    first.terminate()
    first.communicate(timeout=30)
    second.communicate(timeout=30)
    assert (first.returncode, second.returncode) == (143, 0)
    assert (journal(bundle / ".laptop", 2)["state"], journal(bundle / "other")["run_id"]) == ("SUCCESS", "1")


def test_who_waits_for_a_home_can_be_interrupted(bundle: Path) -> None:
    first = laptop("run", "main", "-t", "dev", "-p", "does=wait")
    until((bundle / ".laptop" / "waiting").exists)
    second = laptop("run", "main", "-t", "dev")
    assert second.stdout is not None
    second.stdout.readline()
    second.send_signal(signal.SIGINT)
    second.communicate(timeout=30)
    assert second.returncode == 130
    first.terminate()
    first.communicate(timeout=30)


def test_docs_serves_the_site_that_laptop_yml_names(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started = []
    monkeypatch.setattr(subprocess, "call", lambda command: started.append(command) or 0)
    (bundle / "laptop.yml").write_text("docs: site.toml\n")
    assert run_args(["docs"]) == 2
    (bundle / "site.toml").write_text("")
    assert run_args(["docs", "--port", "8123"]) == 0
    assert [command[1:] for command in started] == [
        ["-m", "zensical", "serve", "--config-file", str(bundle / "site.toml"), "--dev-addr", "127.0.0.1:8123"]
    ]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run", "main", "-t", "prdo"], "there is no target 'prdo'"),
        (["run", "mian", "-t", "dev"], "there is no job 'mian': did you mean 'main'?"),
        (["run", "main", "-t", "dev", "-p", "deos=fail"], "job 'main' has no parameter 'deos': did you mean 'does'?"),
        (["run", "main", "-t", "dev", "-p", "does"], "parameter 'does' is not of the form KEY=VALUE"),
        (["run", "main", "-t", "dev", "--repair", "-p", "does=x"], "with does=x yet"),
        (["run", "main", "-t", "dev", "--repair"], "has not run in target 'dev' yet"),
        (["run", "main"], "Missing option '-t'"),
        (["validate", "-t", "prdo"], "there is no target 'prdo'"),
        (["ui"], "run a job first"),
        (["docs"], "laptop.yml names no docs; write `docs: zensical.toml`"),
        (["clean"], "is not a home of laptop"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(
    bundle: Path, capfd: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    assert run_args(arguments) == 2
    error = capfd.readouterr().err
    assert said in error
    assert "Traceback" not in error
    if "--repair" not in arguments:
        assert [path.name for path in bundle.iterdir()] == ["databricks.yml"], "nothing may change"


def test_a_broken_bundle_is_listed_with_lines_and_does_not_run(bundle: Path, capfd: pytest.CaptureFixture[str]) -> None:
    broken = BUNDLE.replace("depends_on: [{task_key: first}]", "depends_on: [{task_key: frist}]")
    (bundle / "databricks.yml").write_text(broken.replace("default: nothing", "default: '{{job.nmae}}'"))
    assert run_args(["run", "main", "-t", "dev"]) == 2
    error = capfd.readouterr().err
    assert "databricks.yml:16: " in error
    assert "databricks.yml:26: " in error
    assert run_args(["validate", "--output", "json"]) == 2
    assert {problem["location"]["line"] for problem in json.loads(capfd.readouterr().out)} >= {16, 26}
    assert [path.name for path in bundle.iterdir()] == ["databricks.yml"]


def test_a_folder_without_a_bundle_is_said_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    code, _, err = done("validate")
    assert (code, err) == (2, "Error: there is no databricks.yml here or above; go to the folder of the bundle\n")


def test_commands_can_be_called_one_after_another_in_one_process(
    bundle: Path, spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(bundle.parent / "site"))
    assert run_args(["run", "main", "-t", "dev"]) == 0
    assert run_args(["run", "main", "-t", "dev", "-p", "does=fail"]) == 1
    assert run_args(["run", "main", "-t", "dev"]) == 0
    assert journal(bundle / ".laptop", 3)["state"] == "SUCCESS"
    assert spark.range(1).count() == 1
    assert "LAPTOP_IDENTITY" not in os.environ


def test_help_is_quick_and_says_what_exit_codes_mean() -> None:
    begin = time.monotonic()
    code, out, _ = done("run", "--help")
    assert time.monotonic() - begin < 2, "0.1 s on a quiet machine"
    assert code == 0
    assert "Example: laptop run training" in out
    assert "Exit codes: 0 all went well; 1 a task failed" in out


def test_help_imports_nothing_heavy() -> None:
    code = "import laptop.cli, sys; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"pyspark", "mlflow", "pandas", "rich", "ruamel.yaml"} & set(loaded)
