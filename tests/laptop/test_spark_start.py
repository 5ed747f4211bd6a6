"""The Spark server as a process: slow, dead at its start, dead later, and the jars that two first runs want."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from filelock import FileLock

from laptop import spark as server
from laptop import spark_command
from laptop.home import LaptopError
from laptop.task_thread import run_interruptible

LISTENS = (
    "import os, socket, time; assert 'SPARK_REMOTE' not in os.environ; time.sleep({}); "
    "s = socket.create_server(('127.0.0.1', {})); time.sleep(60)"
)
"""Like Spark, it does not start if it is given the address of another server."""
DIES = "import sys; print('WARN a hint'); print('java.net.BindException: Address already in use'); sys.exit(3)"
Start = Callable[..., list[str]]


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Start a server of the test's own: it dies so often, then takes so many seconds."""
    monkeypatch.delenv("SPARK_REMOTE", raising=False)
    monkeypatch.setattr(server, "_server", None)
    monkeypatch.setattr(server, "_downloading", None)
    monkeypatch.setattr(spark_command, "java_environment", lambda _: {})
    monkeypatch.setattr(spark_command, "IVY", tmp_path / "ivy")

    def begin(deaths: int = 0, seconds: float = 0.0) -> list[str]:
        scripts = iter([DIES] * deaths)

        def command(_: Path, port: int) -> list[str]:
            return [sys.executable, "-c", next(scripts, LISTENS.format(seconds, port))]

        monkeypatch.setattr(spark_command, "server_command", command)
        said: list[str] = []
        server.start_server(tmp_path, said.append)
        return said

    yield begin
    server.stop_server()
    monkeypatch.delenv("SPARK_REMOTE", raising=False)


def test_a_slow_server_is_waited_for(start: Start) -> None:
    said = start(seconds=1.5)
    server.wait_for_server()
    assert said == ["downloading Delta's jar and what it needs (once, 87 MB)"]


def test_a_server_that_dies_at_its_start_is_started_again_and_says_why(start: Start, tmp_path: Path) -> None:
    said = start(deaths=2)
    server.wait_for_server()
    why = f"exit code 3; java.net.BindException: Address already in use ({tmp_path / 'logs' / 'spark.log'})"
    assert said[1:] == [f"Spark did not start: {why}; it is started again"] * 2


def test_a_server_that_never_starts_is_an_error_that_says_why(start: Start) -> None:
    start(deaths=3)
    with pytest.raises(LaptopError, match=r"Spark did not start, 3 times: exit code 3; java\.net\.BindException"):
        server.wait_for_server()


def test_a_server_that_is_killed_later_is_started_again(start: Start) -> None:
    said = start()
    server.wait_for_server()
    assert server._server
    os.kill(server._server.process.pid, signal.SIGKILL)
    server._server.process.wait()
    server.wait_for_server()
    assert "Spark has ended: killed by signal 9, as when memory runs out; it said nothing" in said[1]
    assert server._server.starts == 1


def test_two_first_runs_fill_the_cache_of_jars_one_after_the_other(start: Start, tmp_path: Path) -> None:
    (tmp_path / "ivy").mkdir()
    other = FileLock(tmp_path / "ivy" / "laptop.lock", is_singleton=False)
    other.acquire()
    said: list[str] = []
    begun = threading.Thread(target=lambda: said.extend(start()))
    begun.start()
    time.sleep(0.3)
    assert server._server is None
    spark_command.complete_mark().touch()
    other.release()
    begun.join()
    server.wait_for_server()
    assert said == ["another command downloads Delta's jar, waiting"]
    assert server._downloading is None


def test_the_cache_is_complete_when_spark_has_answered(start: Start) -> None:
    start()
    assert not spark_command.complete_mark().exists()
    server.wait_for_server()
    assert spark_command.complete_mark().exists()


def test_the_port_is_none_that_a_connection_may_take() -> None:
    assert all(20_000 <= spark_command.free_port() < 32_000 for _ in range(20))


def test_a_task_waits_for_the_server_when_it_asks_for_a_session_and_no_sooner(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pyspark.sql import SparkSession

    tags: list[str] = []
    session = SimpleNamespace(addTag=tags.append, stop=lambda: None)
    monkeypatch.setattr(SparkSession.Builder, "getOrCreate", lambda _: session)
    start(seconds=2)
    joined: list[object] = []

    def body() -> None:
        begin = time.monotonic()
        server.offer_session("a tag", joined)
        assert server._server
        assert not server._server.answered
        assert SparkSession.builder.appName("a").getOrCreate() is session
        assert time.monotonic() - begin > 0.5
        assert server._server.session is session

    run_interruptible(body, lambda: False, lambda: None)
    assert (joined, tags) == ([session], ["a tag"])
    assert SparkSession.builder.getOrCreate() is session, "no task: as pyspark has it"
    assert tags == ["a tag"]
