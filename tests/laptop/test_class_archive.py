"""The file of Spark's classes: when it is made and used, and that a server starts whatever it holds."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from laptop import class_archive, spark_command


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setattr(subprocess, "Popen", lambda *_, **__: pytest.fail("a process is started"))
    return spark_command.find_archive()


def test_a_server_gets_the_file_if_it_has_content(archive: Path) -> None:
    assert spark_command.class_options() == ""
    archive.touch()  # this Java could not write it
    assert spark_command.class_options() == ""
    archive.write_bytes(b"x")
    assert f'"-XX:SharedArchiveFile={archive}"' in spark_command.class_options()
    assert "-Xshare:auto" in spark_command.class_options()  # with which Java starts if the file does not fit


def test_the_file_depends_on_java_and_on_the_server(archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert archive == spark_command.find_archive()
    monkeypatch.setattr(spark_command, "DELTA", "io.delta:delta-spark:9")
    monkeypatch.setattr(spark_command, "IVY", Path("/nowhere"))
    assert archive != spark_command.find_archive()


def test_nothing_is_started_where_it_is_there_or_would_not_stay(archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive.touch()
    assert class_archive.make_in_background() == ""
    archive.unlink()
    monkeypatch.setenv("CI", "true")
    assert class_archive.make_in_background() == ""
    monkeypatch.delenv("CI")
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert class_archive.make_in_background() == ""


def test_the_demo_starts_it_and_says_so(archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started = []
    monkeypatch.setattr(subprocess, "Popen", lambda words, **given: started.append((words, given)))
    assert str(archive) in class_archive.make_in_background()
    ((words, given),) = started
    assert words[1:] == ["-m", "laptop.class_archive"]
    assert given["start_new_session"]  # it outlives the terminal
    assert not [name for name in given["env"] if name.startswith("SPARK_")]  # the address of a server would be used


SCRIPT = """
import sys
sys.prefix = sys.argv[1]
from pathlib import Path
from laptop import class_archive, spark, spark_command
archive = spark_command.find_archive()
if sys.argv[2] == "make":
    assert class_archive.make_archive() == archive
else:
    if sys.argv[2] == "half":
        content = archive.read_bytes()
        archive.unlink()
        archive.write_bytes(content[: len(content) // 2])
    home = Path(sys.argv[1])
    spark.start_server(home, print)
    assert spark.get_session().sql("SELECT 41 + 1 AS n").collect()[0]["n"] == 42
    print("mapped" if archive.name in Path(f"/proc/{spark.server_pid()}/maps").read_text() else "not mapped")
    print((home / "logs/spark.log").read_text())
"""


@pytest.mark.nightly
@pytest.mark.timeout(900)
def test_java_uses_the_file_that_it_wrote_and_a_broken_one_is_deleted(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SPARK_")}
    screens = [
        subprocess.run(
            [sys.executable, "-c", SCRIPT, str(tmp_path), step], env=environment, capture_output=True, text=True,
            check=True,
        ).stdout
        for step in ("make", "use", "half")
    ]  # fmt: skip
    assert screens[1].startswith("mapped")
    assert "cds" not in screens[1]  # Java's words about the file would be taken for errors of Spark
    crash, *words = screens[2].splitlines()
    assert crash.startswith("Spark did not start: killed by signal")
    assert "not mapped" in words
    assert not [*tmp_path.glob("laptop-classes-*.jsa")]  # it does not stop the next server, too
