"""Twelve failures at every step of a rollout: each ends with the champion answering, and a row that explains it."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from functools import cache

import inmemory
import life
import numpy as np
import pandas as pd
import pytest
from fastapi import FastAPI, Request
from fastapi.responses import Response
from hypothesis import example, given, settings
from hypothesis import strategies as st
from inmemory import Jobs
from memory_endpoint import MemoryPlatform
from toy import TOY

from mlops.contract import MlopsError, ModelError
from mlops.data.labels import LABEL
from mlops.platform.local_endpoint import LocalEndpoint
from mlops.platform.model_scan import OpenedModel
from mlops.release.version_record import AuditRow, champion_of
from mlops.serving import endpoint, rollout_evidence
from mlops.serving.rollout import SHARES
from mlops.serving.rollout_evidence import SampledRows

ENDPOINT = {"endpoint": "late", "endpoint_rollout": "on", "endpoint_latency_ms": 100}
DATA = {"data_catalog": "prod", "data_schema": "toy"}


@cache
def pipeline_of(version):
    """Versions 1 and 2 are as good as each other; 3 learned the opposite, and 4 does so for kind x alone."""
    features, label = life.rows(version)
    opposite = {3: np.full(len(label), True), 4: (features["kind"] == "x").to_numpy()}.get(version, False)
    return TOY.model.build({}).fit(features, np.where(opposite, 1 - label, label))


@cache
def sampled_rows():
    features, label = life.rows(9)
    moments = pd.Timestamp("2024-02-01") + pd.to_timedelta(np.arange(len(features)) // 40, "D")
    rows = features.assign(event_time=moments)
    return SampledRows(rows.head(100), rows.assign(**{LABEL: label.astype("float64")}))


def predict(version, request):
    split = request["dataframe_split"]
    return pipeline_of(version).predict_proba(pd.DataFrame(split["data"], columns=split["columns"])).tolist()


class World:
    """Target prod in which version 2 was deployed after version 1, and an endpoint in memory."""

    def __init__(self, patch, newest=2):
        self.platform = MemoryPlatform(predict)
        patch.setattr(rollout_evidence, "_SINGLES", 3)
        self.jobs = Jobs(patch)
        patch.setattr(inmemory.Registry, "open_version", lambda _, version, model: OpenedModel(
            pipeline_of(version.number), {}, "predict_proba", 1), raising=False)  # fmt: skip
        patch.setattr(endpoint, "open_endpoint", self.platform.open)
        patch.setattr(endpoint, "load_example", self.load_example)
        patch.setattr(rollout_evidence, "read_rows", lambda job, champion, previous: sampled_rows())
        until = "2024-01-01T00:00:00+00:00"
        for number in range(1, newest + 1):
            claims = {"trained_by": "trainer", "artifact_digest": f"files of {number}", "trained_until": until}
            self.jobs.world.make(claims)
        for number in (1, newest):
            self.deploy(number)

    def load_example(self, job, version):
        request = {"dataframe_split": {"columns": ["size", "kind", "due_around"], "data": [[1.5, "x", 1.0]]}}
        return request, predict(version.number, request)

    def deploy(self, number):
        context = self.jobs.deployment(number, approval="automatic", run_id=number, **ENDPOINT)
        for name in ("validation", "deployment", "endpoint"):
            self.jobs.task(name, context)

    def run(self, kill=-1):
        return self.jobs.task("rollout", self.jobs.job("rollout", run_id=50, **ENDPOINT, **DATA), kill)

    def roll_back(self):
        self.jobs.task("rollback", self.jobs.job("rollback", run_id=60, reason="a person saw that it is worse"))

    def lead_to(self, share):
        for _ in range(SHARES.index(share)):
            assert self.run()
        assert self.platform.traffic == {1: 100 - share, 2: share}

    @property
    def rows(self):
        return [AuditRow.parse(row) for row in self.jobs.world.rows]


@pytest.fixture
def world(monkeypatch):
    return World(monkeypatch)


def answers(change):
    """Version 2 answers what a function makes of its right answers."""

    def break_world(world):
        world.platform.predict = lambda version, request: (
            change(predict(version, request), request) if version == 2 else predict(version, request)
        )

    return break_world


def raises(message, every=1):
    def break_world(world):
        calls = iter(range(10**6))

        def refuse(version, request):
            if next(calls) % every == 0:
                raise MlopsError(message)
            return predict(version, request)

        world.platform.predict = refuse

    return break_world


def bias_slice(right, request):
    kinds = [row[1] for row in request["dataframe_split"]["data"]]
    return [[p - 0.1, q + 0.1] if kind == "x" else [p, q] for (p, q), kind in zip(right, kinds, strict=True)]


def move_alias(world):
    """A person rolls back while the new champion is asked."""

    def move(version, request):
        if champion_of(world.rows) == 2:
            world.roll_back()
        return predict(version, request)

    world.platform.predict = move


FAILURES = {
    "crash at start": (lambda world: world.platform.broken.add(2), "UPDATE_FAILED"),
    "slow": (lambda world: world.platform.seconds.update({2: 0.5}), "a request takes 500 ms"),
    "wrong type": (answers(lambda right, _: [["late", "early"]] * len(right)), "the predictions are no numbers"),
    "wrong scale": (answers(lambda right, _: [[100 * p, 100 * q] for p, q in right]), "a prediction differs by"),
    "NaN": (answers(lambda right, _: [[float("nan"), 1.0]] * len(right)), "a prediction is not finite"),
    "biased on one slice": (answers(bias_slice), "a prediction differs by 0.1"),
    "rows lost": (answers(lambda right, _: right[1:]), "the predictions have shape"),
    "alias moved meanwhile": (move_alias, "a person saw that it is worse"),
    "endpoint deleted": (lambda world: world.platform.traffic.clear(), "somebody changed or deleted it"),
    "429 storm": (raises("429 REQUEST_LIMIT_EXCEEDED"), "requests failed, at most 1% may: 429"),
    "token expired": (lambda world: setattr(world.platform, "outage", "401 token is expired"), "401 token is expired"),
    "half the traffic lost": (raises("timed out", every=2), "requests failed, at most 1% may: timed out"),
}


def heal(world):
    world.platform.predict, world.platform.outage = predict, ""
    world.platform.broken.clear()
    world.platform.seconds.clear()


def test_a_good_champion_gets_the_requests_step_by_step(world):
    assert world.platform.traffic == {1: 100, 2: 0}  # the job deployment has made it ready
    for traffic in ({1: 95, 2: 5}, {1: 75, 2: 25}, {2: 100}):
        assert world.run()
        assert world.platform.traffic == traffic
    rows = len(world.rows)
    assert world.run()
    assert (len(world.rows), world.platform.traffic, champion_of(world.rows)) == (rows, {2: 100}, 2)
    states = [row.verdict for row in world.rows if row.move == "endpoint" and row.to_version == 2]
    assert states == ["shadow", "canary", "canary", "serves"]
    assert "rules against version 1 passed" in world.rows[-1].reason


CASES = [(failure, share) for failure in FAILURES for share in SHARES[:-1]]
QUICK = {(failure, SHARES[number % 3]) for number, failure in enumerate(FAILURES)}
"""Every failure once, each at another step; the others are nightly."""


@pytest.mark.parametrize(
    ("failure", "share"),
    [case if case in QUICK else pytest.param(*case, marks=pytest.mark.nightly) for case in CASES],
)
def test_a_failure_ends_with_the_champion_answering_and_a_row_that_explains_it(world, failure, share):
    world.lead_to(share)
    break_world, reason = FAILURES[failure]
    break_world(world)
    with suppress(ModelError):  # where the endpoint takes no change, the run fails and the next one ends it
        world.run()
    assert champion_of(world.rows) == 1
    assert world.jobs.world.aliases["champion"] == 1
    assert any(reason in row.reason for row in world.rows[-3:])
    if failure != "token expired":
        assert world.platform.traffic == {1: 100}
    heal(world)
    assert world.run()
    assert (world.platform.traffic, champion_of(world.rows)) == ({1: 100}, 1)


@pytest.mark.parametrize(
    ("newest", "rule"),
    [
        (3, "not_worse_auc: with 95.0% confidence"),
        (4, "not_worse_by_kind: 2 of 2 groups are large enough; in the worst, x, with 97.5% confidence, AUC"),
    ],
    ids=["everywhere", "on one slice"],
)
def test_a_worse_version_is_taken_back_by_the_gates_statistics(monkeypatch, newest, rule):
    """Its answers are right, fast and complete; the labels say that it is worse, for all rows or for one slice."""
    world = World(monkeypatch, newest)
    world.run()
    assert (world.platform.traffic, champion_of(world.rows)) == ({1: 100}, 1)
    assert rule in world.rows[-1].reason


def test_too_few_rows_hold_the_step(world, monkeypatch):
    few = SampledRows(sampled_rows().recent.head(9), sampled_rows().matured.head(0))
    monkeypatch.setattr(rollout_evidence, "read_rows", lambda *_: few)
    rows = len(world.rows)
    world.run()
    assert (world.platform.traffic, len(world.rows)) == ({1: 100, 2: 0}, rows)


def test_without_matured_labels_the_other_figures_decide(world, monkeypatch):
    unlabelled = SampledRows(sampled_rows().recent, sampled_rows().matured.head(0))
    monkeypatch.setattr(rollout_evidence, "read_rows", lambda *_: unlabelled)
    world.run()
    assert world.platform.traffic == {1: 95, 2: 5}
    assert world.rows[-1].reason.endswith("too few labels matured")


@settings(deadline=None, max_examples=12)
@example(kills=[0, 0], share=5, failure="")  # killed after it gave all requests, before it wrote so
@given(
    kills=st.lists(st.integers(0, 7), min_size=1, max_size=3),
    share=st.sampled_from(SHARES[:-1]),
    failure=st.sampled_from(["", "NaN", "crash at start", "token expired"]),
)
def test_a_killed_driver_leaves_what_the_next_run_ends(kills, share, failure):
    with pytest.MonkeyPatch.context() as patch:
        world = World(patch)
        world.lead_to(share)
        if failure:
            FAILURES[failure][0](world)
        for kill in kills:
            with suppress(MlopsError):
                world.run(kill)
        heal(world)
        for _ in range(5):
            assert world.run()
        champion = champion_of(world.rows)
        assert world.platform.traffic == {champion: 100}
        assert world.jobs.world.aliases["champion"] == champion
        newest = [row for row in world.rows if row.move == "endpoint" and row.to_version == 2][-1]
        assert (newest.verdict, champion) in {("serves", 2), ("failed", 1)}
        if failure:  # where the first run that lived found it healed, the rollout went on
            assert newest.verdict == "serves" or FAILURES[failure][1] in newest.reason
        else:
            assert champion == 2


@pytest.mark.parametrize("failure", ["", "NaN"])
def test_an_endpoint_that_is_switched_on_later_is_checked_before_it_stays(world, failure):
    for _ in SHARES[1:]:
        assert world.run()
    world.platform.traffic.clear()
    if not failure:
        assert world.run()
        assert world.platform.traffic == {2: 100}
        assert world.rows[-1].reason == "endpoint late serves it"
        return
    FAILURES[failure][0](world)
    for _ in range(2):
        with pytest.raises(ModelError, match=r"version 2 does not serve at endpoint late: a prediction is not finite"):
            world.run()
        assert (world.platform.traffic, champion_of(world.rows)) == ({}, 2)
        assert world.rows[-1].verdict == "failed"


def make_server(behaves):
    """Make the application of one version, which a test makes slow, failing or wrong."""

    def make(version):
        app = FastAPI()

        @app.post("/invocations")
        async def answer(request: Request) -> Response:
            right, how = predict(version, await request.json()), behaves if version == 2 else ""
            if how == "slow" and len(right) == 1:
                time.sleep(0.8)
            shown = [[float("nan"), 1.0]] * len(right) if how == "wrong" else right
            return Response(json.dumps({"predictions": shown}), 500 if how == "failing" else 200)

        return app

    return make


@pytest.mark.parametrize(
    ("behaves", "reason"),
    [
        ("", "% of the requests after"),
        ("slow", "a request takes"),
        ("failing", "requests failed, at most 1% may: version 2 answered with status 500"),
        ("wrong", "a prediction is not finite"),
    ],
    ids=["well", "slow", "failing", "wrong"],
)
def test_two_real_servers_are_judged_as_the_platform_is(world, tmp_path, monkeypatch, behaves, reason):
    monkeypatch.setitem(ENDPOINT, "endpoint_latency_ms", 600)
    world.lead_to(5)
    file = tmp_path / "late.json"
    file.write_text(json.dumps({"traffic": {"1": 95, "2": 5}}))
    monkeypatch.setattr(endpoint, "open_endpoint", lambda job: LocalEndpoint(file, make_server(behaves)))
    assert world.run()
    expected = ({"1": 100}, 1) if behaves else ({"1": 75, "2": 25}, 2)
    assert (json.loads(file.read_text())["traffic"], champion_of(world.rows)) == expected
    assert any(reason in row.reason for row in world.rows[-2:])
