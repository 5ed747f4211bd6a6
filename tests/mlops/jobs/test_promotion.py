"""Approval, deployment, promotion and rollback on real MLflow and Delta Lake; nothing is trained or judged here.

By default no Spark writes the audit table here: test_jobs_loop.py deploys and promotes with Spark.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest
from life import audit, living, write_without_spark

from mlops.contract import Conflict, ModelError, UntrustedModel
from mlops.release import aliases, audit_log
from mlops.release.version_record import newest_move


@pytest.fixture(params=["without Spark", pytest.param("on Spark", marks=pytest.mark.nightly)])
def either(request, monkeypatch):
    """The life of two versions, whose audit tables another library of Delta Lake keeps, or Spark."""
    if request.param == "without Spark":
        write_without_spark(monkeypatch)
    with living(request.getfixturevalue("quick_versions" if request.param == "without Spark" else "versions")) as life:
        yield life


def test_the_audit_table_answers_who_what_when_why_from_which_version_on_which_verdict(either):
    number = either.promoted("dev", "answers", 1)
    either.approved("answers", number)
    job = either.deployed("answers", number, approval="required")
    copied, judged, approved, deployed = audit(job)
    source = f"dev.toy.failing/1@{either.claims(either.version('dev', 1)).artifact_digest}"
    assert (copied["move"], copied["source"], copied["from_version"], copied["to_version"]) == (
        "promotion",
        source,
        None,
        1,
    )
    assert (deployed["move"], deployed["by"], deployed["approved_by"]) == ("deployment", "release", "ada")
    assert (deployed["source"], deployed["verdict_digest"]) == (source, "0" * 64)
    assert (deployed["trained_by"], deployed["artifact_digest"]) == ("trainer", judged["artifact_digest"])
    assert (approved["by"], approved["verdict_digest"]) == ("ada", "0" * 64)
    assert [row["sequence"] for row in (copied, judged, approved, deployed)] == [1, 2, 3, 4]
    assert either.version("answers", number).tags == {
        "verdict": "accepted", "trained_until": "2024-02-22", "approved_by": "ada", "promoted_from": source,
        "report": "runs:/none/verdict.html", "record": "4",
    }  # fmt: skip


def test_a_copy_has_its_own_bytes_and_none_of_the_laurels(either):
    source = either.version("dev", 2)
    either.registry.set_tags(source, {"approval": "Approved", "approved_by": "ada"})
    either.run("promotion", either.promotion("own", 2))
    copy = either.version("own", 1)
    assert not {name for name in copy.tags if name.startswith(("verdict", "approv", "champion", "judged"))}
    assert either.claims(copy).artifact_digest == either.claims(source).artifact_digest != ""
    assert copy.aliases == ()
    file = files_of(either, copy)
    original = file.read_bytes()
    file.write_bytes(original[:-1] + bytes([original[-1] ^ 1]))
    either.registry.load_model(either.recorded(source), either.job("rollback", "dev", reason="none").use_case.model)


def test_a_flipped_byte_at_the_destination_is_refused_and_the_next_promotion_is_clean(either, monkeypatch):
    genuine = type(either.registry).copy_version

    def flipping(self, source, model, tags):
        copy = genuine(self, source, model, tags)
        file = files_of(either, copy)
        data = bytearray(file.read_bytes())
        data[len(data) // 2] ^= 1
        file.write_bytes(data)
        return copy

    monkeypatch.setattr(type(either.registry), "copy_version", flipping)
    with pytest.raises(UntrustedModel, match=r"flipped\.toy\.failing version 1 had digest .* the copy was deleted"):
        either.run("promotion", either.promotion("flipped", 1))
    monkeypatch.setattr(type(either.registry), "copy_version", genuine)
    assert either.registry.list_versions("flipped.toy.failing") == ()
    assert audit(either.rollback("flipped")) == []
    either.run("promotion", either.promotion("flipped", 1))
    assert [row["by"] for row in audit(either.rollback("flipped"))] == ["release"]


def test_what_was_not_accepted_below_is_not_promoted(either):
    version = either.trained("dev", seed=2)
    either.accepted("dev", version.number, verdict="refused")
    either.registry.set_tags(version, {"verdict": "accepted"})
    with pytest.raises(ModelError, match=r"was not accepted where it comes from \(refused\)"):
        either.run("promotion", either.promotion("none", version.number))


@pytest.mark.nightly
def test_ten_promotions_and_deployments_at_one_moment_end_with_one_copy_and_one_row_of_each(life):
    together = Barrier(10)

    def promote(run):
        together.wait()
        life.run("promotion", life.promotion("ten", 1, run_id=run))

    def deploy(run):
        together.wait()
        try:
            life.deployed("ten", number, run_id=run)
        except Conflict as lost:
            return str(lost)
        return "done"

    with ThreadPoolExecutor(10) as pool:
        list(pool.map(promote, range(10)))
    (copy,) = life.registry.list_versions("ten.toy.failing")
    number = life.accepted("ten", copy.number).number
    with ThreadPoolExecutor(10) as pool:
        ends = list(pool.map(deploy, range(10)))
    assert "done" in ends
    assert [row["move"] for row in audit(life.rollback("ten"))] == ["promotion", "verdict", "deployment"]
    assert life.version("ten", number).aliases == ("champion",)


@pytest.mark.nightly
def test_the_loser_of_a_race_changes_nothing(life):
    life.promoted("dev", "race", 1)
    life.promoted("dev", "race", 2)
    job = life.deployment("race", 1)
    seen = newest_move(aliases.reconcile_aliases(job))
    life.deployed("race", 2)
    before = life.state("race")
    with pytest.raises(Conflict, match="another run moved the champion of race"):
        late(life, job, "race", seen)
    assert life.state("race") == before


@pytest.mark.nightly
def test_one_run_that_moves_twice_is_told_apart(life):
    """A repaired run has the same run id: its first row must not be taken for its second one."""
    for number in (1, 2):
        life.promoted("dev", "twice", number)
    job = life.deployed("twice", 1)
    seen = newest_move(aliases.reconcile_aliases(job))
    life.accepted("twice", 2)
    life.deployed("twice", 2)  # the same run id, another version, in between
    with pytest.raises(Conflict):
        late(life, job, "twice", seen)
    assert [row["to_version"] for row in audit(job) if row["move"] == "deployment"] == [1, 2]


@pytest.mark.nightly
def test_a_version_that_was_judged_against_another_champion_is_judged_anew(life):
    for number in (1, 2):
        life.promoted("dev", "stale", number)
    life.deployed("stale", 2)
    before = life.state("stale")
    with pytest.raises(Conflict, match=r"was judged against champion none, and champion is 2 now"):
        life.deployed("stale", 1)
    assert life.state("stale") == before


def test_an_interrupted_move_is_finished_by_the_next_run_down_to_the_last_alias(either):
    either.promoted("dev", "torn", 1)
    either.deployed("torn", 1)
    either.promoted("dev", "torn", 2)
    job = either.deployed("torn", 2)
    whole = either.state("torn")
    for alias in ("champion", "previous_champion"):
        either.registry.drop_alias("torn.toy.failing", alias)
    either.registry.set_alias(either.version("torn", 2), "challenger")
    either.run("deployment", job)
    assert either.state("torn") == whole


@pytest.mark.nightly
def test_a_champion_that_somebody_deleted_stops_nobody(life):
    for number in (1, 2):
        life.promoted("dev", "gone", number)
    life.deployed("gone", 1)
    life.registry.drop_alias("gone.toy.failing", "champion")
    life.registry.delete_version(life.version("gone", 1))
    life.accepted("gone", 2)  # it was judged against no champion before
    life.deployed("gone", 2)
    assert life.version("gone", 2).aliases == ("champion",)


def test_a_champion_cannot_be_deleted(either):
    with pytest.raises(ModelError, match="is champion and is not deleted"):
        either.registry.delete_version(either.version("dev", 1))


@pytest.mark.nightly
def test_rollback_puts_the_previous_champion_back_and_is_not_undone_by_a_second_one(life):
    for number in (1, 2):
        life.deployed("back", life.promoted("dev", "back", number))
    job = life.run("rollback", life.rollback("back"))
    assert life.version("back", 1).aliases == ("champion",)
    assert life.version("back", 2).aliases == ("previous_champion",)
    row = audit(job)[-1]
    assert (row["move"], row["from_version"], row["to_version"], row["reason"]) == (
        "rollback",
        2,
        1,
        "late rate doubled",
    )
    whole = life.state("back")
    life.run("rollback", life.rollback("back"))  # the same run, repaired
    with pytest.raises(ModelError, match="a second time would bring version 2 back"):
        life.run("rollback", life.rollback("back", run_id="10"))
    assert life.state("back") == whole


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("a.b", "x"), ("a-b", "x"), ("a:b", "x"), ("a=b", "x"), ("a/b", "x"), ("a,b", "x"), ("", "x"), ("k" * 256, "x"),
        (" a", "x"), ("a", "x" * 1001), ("a", " x"), ("a", "x\n"),
    ],
)  # fmt: skip
def test_a_tag_that_unity_catalog_would_refuse_is_refused_here(either, key, value):
    version = either.version("dev", 1)
    with pytest.raises(ModelError, match=r"^tag "):
        either.registry.set_tags(version, {"fine": "x", key: value})
    assert either.version("dev", 1).tags == version.tags


def late(life, job, target, seen):
    version = life.version(target, 1)
    row = aliases.row_of_move(job, "deployment", version, audit_log.record_of(job, 1), "late")
    aliases.move_champion(job, version, row, seen)


def files_of(life, version):
    source = life.registry._client.get_model_version(version.model, str(version.number)).source
    return Path(source.removeprefix("file://")) / "model.skops"
