"""The file of Spark's classes: when it is made and used, and that a server starts whatever it holds."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from laptop import class_archive, spark_command


@pytest.fixture
def java(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Java 17 with an archive of its own classes, the only one of the machine."""
    program = tmp_path / "java/bin/java"
    (tmp_path / "java/lib/server").mkdir(parents=True)
    (tmp_path / "java/lib/server/classes.jsa").touch()
    _write_java(program, "17.0.1")
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "java"))
    return program


def _write_java(program: Path, version: str) -> None:
    program.parent.mkdir(exist_ok=True)
    program.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\"' >&2\n")
    program.chmod(0o755)
    spark_command._ask_version.cache_clear()


@pytest.fixture
def archive(tmp_path: Path, java: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setattr(subprocess, "Popen", lambda *_, **__: pytest.fail("a process is started"))
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: SimpleNamespace(stderr=java.read_text()))
    found = spark_command.find_archive()
    assert found
    return found


def test_a_server_gets_the_file_if_there_is_one(archive: Path) -> None:
    assert spark_command.class_options() == ""
    archive.write_bytes(b"x")
    assert f'"-XX:SharedArchiveFile={archive}"' in spark_command.class_options()
    assert "-Xshare:auto" in spark_command.class_options()  # with which Java starts if the file does not fit


@pytest.mark.parametrize("changed", ["Delta", "jars", "Java"])
def test_the_file_depends_on_java_and_on_the_jars(
    archive: Path, java: Path, monkeypatch: pytest.MonkeyPatch, changed: str
) -> None:
    assert archive == spark_command.find_archive()
    if changed == "Delta":
        monkeypatch.setattr(spark_command, "DELTA", "io.delta:delta-spark:9")
    elif changed == "jars":
        monkeypatch.setattr(spark_command, "IVY", Path("/nowhere"))
    else:
        _write_java(java, "21.0.1")
    assert archive != spark_command.find_archive()


@pytest.mark.parametrize("lacks", ["archive", "version", "java"])
def test_a_java_that_cannot_keep_classes_starts_nothing(archive: Path, java: Path, lacks: str) -> None:
    if lacks == "archive":
        (java.parents[1] / "lib/server/classes.jsa").unlink()
    elif lacks == "version":
        _write_java(java, "11.0.2")
    else:
        java.unlink()
    assert spark_command.find_archive() is None
    assert class_archive.make_in_background() == ""
    assert spark_command.class_options() == ""


def test_nothing_is_started_where_it_is_there_or_would_not_stay(archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive.touch()
    assert class_archive.make_in_background() == ""
    archive.unlink()
    monkeypatch.setenv("CI", "true")
    assert class_archive.make_in_background() == ""
    monkeypatch.delenv("CI")
    archive.with_suffix(".log").mkdir()  # the log cannot be written
    assert class_archive.make_in_background() == ""


def test_the_demo_starts_it_and_says_so(archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started = []
    monkeypatch.setattr(subprocess, "Popen", lambda words, **given: started.append((words, given)))
    assert str(archive) in class_archive.make_in_background()
    ((words, given),) = started
    assert words[1:] == ["-m", "laptop.class_archive"]
    assert given["start_new_session"]  # it outlives the terminal
    assert "SPARK_REMOTE" not in given["env"]  # that server would be used


SCRIPT = """
import sys
sys.prefix = sys.argv[1]
from pathlib import Path
from laptop import class_archive, spark, spark_command
archive = spark_command.find_archive()
if sys.argv[2] == "make":
    class_archive.make_archive(archive)
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
