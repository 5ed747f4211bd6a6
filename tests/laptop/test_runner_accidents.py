"""A runner that is killed, or whose disk is full, at each of its writes: the next command heals what it left."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from laptop.bundle import load_bundle
from laptop.console import Console
from laptop.home import Home, LaptopError
from laptop.resolution import job_id
from laptop.run_store import RunStore
from laptop.runner import Runner

FORK = multiprocessing.get_context("fork")
ASKED = job_id("dev", "asked")
WRITES = ((Path, "write_text"), (Path, "replace"), (Path, "unlink"), (Path, "touch"), (Path, "mkdir"), (Path, "open"))
"""Everything that the runner changes on the disk goes through one of these."""


def wheel(key: str, *on: str) -> dict[str, Any]:
    what = {"package_name": "toy", "entry_point": key, "parameters": ["{{job.parameters.n}}"]}
    return {"task_key": key, "python_wheel_task": what, "depends_on": [{"task_key": one} for one in on]}


JOBS = {
    "asking": {"parameters": [{"name": "n", "default": "0"}], "tasks": [wheel("ask"), wheel("after", "ask")]},
    "asked": {"parameters": [{"name": "n", "default": "0"}], "tasks": [wheel("a"), wheel("b", "a")]},
}
BUNDLE = {"bundle": {"name": "toy"}, "targets": {"dev": {}}, "resources": {"jobs": JOBS}}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "databricks.yml").write_text(json.dumps(BUNDLE))
    return tmp_path


def command(root: Path, home: Path, *, repair: bool) -> None:
    """What `laptop run asking [--repair]` does, with tasks of the test's own."""

    def task(name: str) -> Callable[[Any], None]:
        def main(argv: Any) -> None:
            with os.fdopen(os.open(root / "done", os.O_APPEND | os.O_CREAT | os.O_WRONLY), "w") as done:
                done.write(f"{name} {argv[0]}\n")
            if name == "ask":
                (home / "queue").mkdir(exist_ok=True)
                part = home / "queue" / f"{argv[0]}.tmp"
                part.write_text(json.dumps({"job_id": ASKED, "job_parameters": {"n": "7"}}))
                part.rename(part.with_suffix(".json"))

        return main

    runner = Runner(load_bundle(root, "dev"), Home(home), Console(StringIO()), resolve=lambda _, name: task(name))
    with runner.home.hold(lambda _: None):
        (runner.repair_job if repair else runner.run_job)("asking", {})
        list(runner.work_off_queue())


@contextmanager
def before_write(number: int, act: Callable[[], None]) -> Iterator[list[int]]:
    """Act right before the write with this number and each later one; the list holds how many there were."""
    seen, before = [0], {(owner, name): getattr(owner, name) for owner, name in WRITES}

    def counted(genuine: Callable[..., Any]) -> Callable[..., Any]:
        def call(path: Path, *given: Any, **named: Any) -> Any:
            reads = genuine is before[Path, "open"] and (given or ["r"])[0] in {"r", "rb"}
            if "home" in path.parts and not reads:
                seen[0] += 1
                if seen[0] >= number:
                    act()
            return genuine(path, *given, **named)

        return call

    for (owner, name), genuine in before.items():
        setattr(owner, name, counted(genuine))
    try:
        yield seen
    finally:
        for (owner, name), genuine in before.items():
            setattr(owner, name, genuine)


def killed(root: Path, home: Path, number: int, *, repair: bool = False) -> bool:
    """Whether the command came as far as its write with this number, before which it is killed."""

    def body() -> None:
        with before_write(number, lambda: os.kill(os.getpid(), signal.SIGKILL)):
            command(root, home, repair=repair)
        os._exit(0)

    process = FORK.Process(target=body)
    process.start()
    process.join()
    assert process.exitcode in {0, -signal.SIGKILL}
    return process.exitcode != 0


def heal(root: Path, home: Path) -> None:
    """What a person does after a crash: repair, and where there is nothing to repair yet, run."""
    try:
        command(root, home, repair=True)
    except LaptopError as error:
        if "has not run" in error.message:
            command(root, home, repair=False)
        elif "nothing to repair" not in error.message:
            raise


def check_healed(root: Path, home: Path) -> None:
    runs = list(RunStore(home / "runs").list_runs())
    assert {run.state for run in runs} == {"SUCCESS"}, [(run.job, run.state) for run in runs]
    assert next(run for run in runs if run.job == "asked").parameters == {"n": "7"}
    assert list((home / "queue").glob("*")) == []
    done = (root / "done").read_text().splitlines()
    assert {"ask 0", "after 0", "a 7", "b 7"} == set(done)
    for path in home.rglob("*.json"):
        json.loads(path.read_text())


EVERY = pytest.mark.parametrize("step", [pytest.param(1, marks=pytest.mark.nightly), 9])
"""Each write at night, some of them by day."""


@EVERY
def test_a_runner_killed_before_any_of_its_writes_is_healed_by_the_next_repair(root: Path, step: int) -> None:
    number = 1
    while killed(root, home := root / str(number) / "home", number):
        heal(root, home)
        check_healed(root, home)
        (root / "done").unlink()
        number += step
    assert number > 40


@pytest.mark.nightly
def test_a_repair_that_is_killed_too_is_healed_by_the_next_one(root: Path) -> None:
    for number in (3, 11, 19, 27, 35):
        second = 0
        while True:
            second += 1
            home = root / f"{number}-{second}" / "home"
            killed(root, home, number)
            begun = any((home / "runs").glob("*.json"))
            again = killed(root, home, second, repair=begun)
            if not again:
                break
            heal(root, home)
            check_healed(root, home)
            (root / "done").unlink()


@EVERY
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EFBIG])
def test_a_full_disk_at_any_write_is_a_sentence_and_the_next_repair_heals(root: Path, code: int, step: int) -> None:
    def full() -> None:
        raise OSError(code, os.strerror(code))

    number, sentences = 1, set()
    while True:
        home = root / str(number) / "home"
        with before_write(number, full) as seen:
            try:
                command(root, home, repair=False)
            except LaptopError as error:
                sentences.add(error.message)
        if seen[0] < number:
            break
        assert all(json.loads(path.read_text()) for path in home.rglob("*.json"))
        heal(root, home)
        check_healed(root, home)
        (root / "done").unlink()
        number += step
    assert sentences
    assert all(f"cannot be written: {os.strerror(code)}; make room and run the command again" in s for s in sentences)
