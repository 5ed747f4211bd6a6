"""The engine of `laptop up`: who may use it, and when it ends. Its server listens and does nothing else."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from laptop import cli, spark_command, warm_up
from laptop import engine as engine_module
from laptop import spark as server
from laptop.engine import Engine, EngineState
from laptop.home import Home, LaptopError

LISTENS = """
import os, socket, subprocess, sys, time
worker = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(120)", "pyspark.daemon"])
open("worker", "w").write(str(worker.pid))
open("pid", "w").write(str(os.getpid()))
s = socket.create_server(("127.0.0.1", int(sys.argv[1])))
time.sleep(120)
"""
PATCH = f"""
import sys
from laptop import spark_command
spark_command.server_command = lambda folder, port: [sys.executable, "-c", {LISTENS!r}, str(port)]
spark_command.java_environment = lambda folder: {{}}
"""
KEEPER = f"""{PATCH}
import runpy
sys.argv[0] = "keeper"
runpy.run_module("laptop.keeper", run_name="__main__")
"""
CLIENT = f"""{PATCH}
import time
from pathlib import Path
from laptop import spark
spark.start_server(Path(sys.argv[1]), print)
spark.wait_for_server()
print("joined" if spark._server.seat else "own", flush=True)
time.sleep(120)
"""


@pytest.fixture
def homes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Engine]]:
    """Make homes; their engines end with the test."""
    monkeypatch.delenv("SPARK_REMOTE", raising=False)
    monkeypatch.setattr(server, "_server", None)
    monkeypatch.setattr(server, "_downloading", None)
    monkeypatch.setattr(spark_command, "java_environment", lambda _: {})
    monkeypatch.setattr(spark_command, "server_command", lambda _, port: [sys.executable, "-c", LISTENS, str(port)])
    monkeypatch.setattr(engine_module, "_KEEPER", (sys.executable, "-c", KEEPER))
    made: list[Engine] = []

    def make(name: str) -> Engine:
        with Home(tmp_path / name).hold(print):
            made.append(Engine(tmp_path / name))
        return made[-1]

    yield make
    server.stop_server()
    for engine in made:
        engine.stop()
    monkeypatch.delenv("SPARK_REMOTE", raising=False)


@pytest.fixture
def engine(homes: Callable[[str], Engine]) -> Engine:
    """The engine of a home, started."""
    made = homes("home")
    start(made)
    return made


def start(engine: Engine, idle_limit: float = 60) -> EngineState:
    return engine.start(idle_limit)[0]


def server_pid(engine: Engine) -> int:
    return int((engine.folder / "spark" / "pid").read_text())


def wait_until(condition: Callable[[], bool], seconds: float = 20) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.02)


def is_running(pid: int) -> bool:
    """Whether a process that is not ours to wait for still runs."""
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout
    return bool(state.strip()) and not state.startswith("Z")


def run_command(engine: Engine) -> tuple[str, list[str]]:
    """Do what a command does with Spark; returns the address that it used and what it said."""
    said: list[str] = []
    server.start_server(engine.home, said.append)
    server.wait_for_server()
    address = os.environ["SPARK_REMOTE"]
    server.stop_server()
    return address, said


def test_commands_use_the_engine_one_after_another_and_leave_nothing(engine: Engine) -> None:
    state = engine.read_state()
    assert state
    assert [run_command(engine), run_command(engine)] == [(state.address, []), (state.address, [])]
    assert "SPARK_REMOTE" not in os.environ
    assert list((engine.folder / "clients").iterdir()) == []
    assert engine.read_state() == state
    assert not (engine.home / "spark").exists()


def test_python_workers_end_with_the_last_command_that_had_some(engine: Engine) -> None:
    worker = int((engine.folder / "spark" / "worker").read_text())
    server.start_server(engine.home, print)
    wait_until(lambda: engine.list_clients()[0] != [])
    time.sleep(0.5)
    assert is_running(worker)
    server.stop_server()
    wait_until(lambda: not is_running(worker))
    assert engine.is_kept()


def test_only_its_owner_can_read_the_token(engine: Engine) -> None:
    assert engine.folder.stat().st_mode & 0o777 == 0o700
    assert (engine.folder / "engine.json").stat().st_mode & 0o777 == 0o600
    state = engine.read_state()
    assert state
    token = state.address.rpartition("=")[2]
    assert len(token) == 32
    assert token not in state.describe()


def test_the_engine_of_another_user_is_not_used(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    state = engine.read_state()
    assert state
    with monkeypatch.context() as patch:
        patch.setattr(os, "geteuid", lambda: os.getuid() + 1)
        assert engine.read_state() is None
        assert run_command(engine)[0] != state.address
    assert engine.read_state() == state, "what the other command wrote left the engine alone"


def test_a_home_uses_no_engine_of_another_home(engine: Engine, homes: Callable[[str], Engine]) -> None:
    state = engine.read_state()
    assert state
    assert run_command(homes("other"))[0] != state.address
    copy = Engine(engine.home.with_name("copy"))
    shutil.copytree(engine.home, copy.home)
    assert copy.read_state() is None
    assert run_command(copy)[0] != state.address


def test_an_engine_that_was_started_in_another_way_is_told_and_not_used(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = engine.read_state()
    assert state
    with monkeypatch.context() as patch:
        patch.setattr(spark_command, "server_command", lambda _, port: [sys.executable, "-c", f"{LISTENS} ", str(port)])
        address, said = run_command(engine)
        assert address != state.address
        cure = f"replace it: laptop up --home {engine.home}"
        assert said == [f"the home's engine runs with other versions or settings and is not used; {cure}"]
        assert start(engine).pid != state.pid, "up starts one that serves"


def test_without_commands_it_ends_after_its_limit(homes: Callable[[str], Engine]) -> None:
    engine = homes("home")
    start(engine, idle_limit=1.5)
    pid = server_pid(engine)
    server.start_server(engine.home, print)
    begin = time.monotonic()
    while time.monotonic() - begin < 3:
        assert engine.is_kept(), "a command uses it"
        time.sleep(0.1)
    server.stop_server()
    wait_until(lambda: not engine.is_kept())
    assert not is_running(pid)
    assert "no command used it for 2 s" in (engine.home / "logs" / "keeper.log").read_text()


def test_a_killed_keeper_takes_its_server_along(engine: Engine) -> None:
    state, pid = engine.read_state(), server_pid(engine)
    assert state
    os.kill(state.pid, signal.SIGKILL)
    wait_until(lambda: not is_running(pid))
    assert (engine.folder / "engine.json").exists(), "stale"
    port = int(state.address.partition("/;")[0].rpartition(":")[2])
    with socket.create_server(("127.0.0.1", port)):  # a stranger takes its port
        assert run_command(engine)[0] != state.address


def test_a_killed_server_ends_the_keeper_and_a_command_goes_on_with_its_own(engine: Engine) -> None:
    said: list[str] = []
    server.start_server(engine.home, said.append)
    server.wait_for_server()
    address = os.environ["SPARK_REMOTE"]
    os.kill(server_pid(engine), signal.SIGKILL)
    wait_until(lambda: not engine.is_kept())
    server.wait_for_server()
    assert os.environ["SPARK_REMOTE"] != address
    assert said == [f"Spark has ended: the home's engine has gone ({engine.home}/logs/engine.log); it is started again"]


def test_what_a_killed_command_asked_for_has_ended_before_the_next_command(engine: Engine) -> None:
    state, pid = engine.read_state(), server_pid(engine)
    assert state
    client = subprocess.Popen([sys.executable, "-c", CLIENT, str(engine.home)], stdout=subprocess.PIPE, text=True)
    assert client.stdout is not None
    with client.stdout as out:
        assert out.readline() == "joined\n"
        client.kill()
        client.wait()
    server.start_server(engine.home, print)
    assert not is_running(pid)
    assert os.environ["SPARK_REMOTE"] != state.address


def test_an_engine_whose_home_is_removed_ends(engine: Engine) -> None:
    pid = server_pid(engine)
    shutil.rmtree(engine.home)
    wait_until(lambda: not is_running(pid))


def test_a_keeper_that_cannot_start_its_server_says_why(
    homes: Callable[[str], Engine], monkeypatch: pytest.MonkeyPatch
) -> None:
    dies = KEEPER.replace(repr(LISTENS), repr("import sys; print('java.net.BindException: in use'); sys.exit(3)"))
    monkeypatch.setattr(engine_module, "_KEEPER", (sys.executable, "-c", dies))
    with pytest.raises(LaptopError, match=r"the engine did not start: Spark did not start, 3 times: exit code 3"):
        start(homes("home"))


def test_two_keepers_never_hold_one_home(engine: Engine) -> None:
    command = [sys.executable, "-c", KEEPER, str(engine.home), "60"]
    second = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (second.returncode, second.stdout) == (2, f"another keeper holds the engine of {engine.home}\n")


def test_up_status_and_down(
    homes: Callable[[str], Engine], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    engine = homes("home")
    warmed = []
    monkeypatch.setattr(warm_up, "start_in_background", lambda *given: warmed.append((*given, engine.read_state())))
    home = ["--home", str(engine.home)]
    for words in (["status"], ["down"], ["up"], ["up"], ["status"], ["down"], ["status"]):
        assert cli.run_args([*words, *home]) == 0
    none, nothing, first, second, shown, ended, after = capsys.readouterr().out.splitlines()
    assert (
        none == after == f"no engine: each command starts Spark for itself; to keep it: laptop up --home {engine.home}"
    )
    assert nothing == f"there is no engine in {engine.home}"
    assert (first, second) == (f"started: {shown}", f"running already: {shown}")
    assert "it ends after 60 minutes without a command" in shown
    assert ended == f"ended the engine of {engine.home}"
    ((home, address, state),) = warmed
    assert state is not None
    assert (home, address) == (engine.home, state.address), "only by the first up"


def test_clean_ends_the_engine_first(engine: Engine) -> None:
    pid = server_pid(engine)
    assert cli.run_args(["clean", "--home", str(engine.home)]) == 0
    assert not is_running(pid)
    assert not engine.home.exists()


def test_a_damaged_file_of_state_is_no_engine(engine: Engine) -> None:
    file = engine.folder / "engine.json"
    whole = file.read_text()
    for text in ("", "{", "[]", json.dumps({**json.loads(whole), "more": 1}), "null"):
        file.write_text(text)
        assert engine.read_state() is None
    file.write_text(whole)
