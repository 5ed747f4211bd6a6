"""SIGKILL before every write of every task of a model's life: the next run ends as if nothing had happened."""

from __future__ import annotations

from itertools import count

import pytest
from kills import Killer
from life import AS_OF, Life
from toy import TOY

from mlops import config
from mlops.context import Context
from mlops.jobs import features, ingestion, sample
from mlops.platform import runtime
from mlops.release import aliases, audit_log
from mlops.release.version_record import newest_move

pytestmark = [pytest.mark.nightly, pytest.mark.timeout(1200)]
LANDING = "/Volumes/prod/toy/landing"


@pytest.fixture(scope="module")
def life(spark, tmp_path_factory):
    """A home with a month of data, and in target dev two accepted versions."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LAPTOP_HOME", str(tmp_path_factory.mktemp("kills")))
        patch.setenv("LAPTOP_IDENTITY", "release")
        patch.setattr(runtime, "set_task_value", lambda *_: None)
        life = Life()
        for module, job, given in (
            (sample, "sample", {"landing": LANDING, "since": "2024-01-25", "until": "2024-03-01"}),
            (ingestion, "ingestion", {"landing": LANDING, "experiment": "/toy"}),
            (features, "ingestion", {"landing": LANDING, "experiment": "/toy"}),
        ):
            words = {"job": job, "run_id": "1", "catalog": "prod", "schema": "toy", "as_of": AS_OF, **given}
            module.run(Context(config.parse_arguments([f"--{name}={value}" for name, value in words.items()]), TOY))
        life.trained("dev", seed=0)
        life.trained("dev", seed=1)
        yield life


@pytest.fixture(scope="module")
def killer(life):
    """Its processes know the home and the Spark of the tests."""
    return Killer()


def nothing(life, target):
    """The task finds a target that is empty."""


def copied(life, target):
    """A version that was approved on an older verdict, which a new one takes back."""
    life.copied(target, 1)
    life.accepted(target, 1)
    life.approved(target, 1)


def waits(life, target):
    """A version that waits for approval, with a report that can be read again."""
    life.copied(target, 1)
    life.run("validation", life.validation(target, 1))


def one_serves(life, target):
    for number in (1, 2):
        life.copied(target, number)
    made_champion(life, target, 1)
    life.accepted(target, 2)


def two_served(life, target):
    one_serves(life, target)
    made_champion(life, target, 2)


def made_champion(life, target, number):
    life.accepted(target, number)
    job, version = life.deployment(target, number), life.version(target, number)
    record, last = audit_log.record_of(job, number), newest_move(aliases.reconcile_aliases(job))
    aliases.move_champion(job, version, aliases.row_of_move(job, "deployment", version, record, "before"), last)


CASES = {
    "promotion": (nothing, {"number": 1}, 5),
    "deployment": (one_serves, {"number": 2}, 7),
    "rollback": (two_served, {}, 6),
    "validation": (copied, {"number": 1}, 10),
    "training": (nothing, {}, 10),
    "review": (waits, {"number": 1}, 2),
}


@pytest.mark.parametrize("task", CASES)
def test_a_task_that_was_killed_before_any_write_ends_the_same_when_it_is_run_again(life, killer, task):
    before, given, least = CASES[task]

    def rerun(target):
        life.run(task, getattr(life, task)(target, **given))
        return life.state(target)

    before(life, f"{task}0")
    whole = rerun(f"{task}0")
    for write in count(1):
        target = f"{task}{write}"
        before(life, target)
        if not killer.kills(write, task, target, given):
            assert life.state(target) == whole
            break
        assert rerun(target) == whole, f"killed before write {write}"
    assert write > least
