"""The task endpoint: whatever fails, the champion of the audit table answers, and a row explains it."""

from __future__ import annotations

from contextlib import nullcontext, suppress

import numpy as np
import pytest
from double import Refused, busy, denied, missing
from hypothesis import given, settings
from hypothesis import strategies as st
from inmemory import MODEL, Jobs
from memory_endpoint import MemoryPlatform

from mlops.contract import MlopsError, ModelError
from mlops.jobs import endpoint as task
from mlops.platform import endpoints, sdk
from mlops.release.version_record import AuditRow, champion_of
from mlops.serving import endpoint

REQUEST = {"dataframe_split": {"columns": ["size"], "data": [[1.0]]}}
RIGHT = {"1": [[0.25, 0.75]], "2": [[0.5, 0.5]]}


def right(version, body):
    return RIGHT[version]


class Clock:
    """In place of the module `time`: a busy machine is no slow version."""

    now = 0.0

    def monotonic(self):
        return self.now

    perf_counter = monotonic

    def sleep(self, seconds):
        self.now += seconds


def slow(version, body):
    if version == "2":
        endpoints.time.sleep(2)
    return RIGHT[version]


def wrong(*answer):
    return lambda version, body: list(answer) if version == "2" else RIGHT[version]


def refuses(version, body):
    if version == "2":
        raise Refused(400, "BAD_REQUEST", "Encountered an unexpected error while evaluating the model")
    return RIGHT[version]


def fails_to_start(double):
    double.endpoints.outcome = "UPDATE_FAILED"


def answers(predict):
    return lambda double: setattr(double.endpoints, "predict", predict)


def is_deleted(double):
    """Somebody deletes the endpoint while it is asked."""

    def vanish(version, body):
        double.endpoints.by_name.clear()
        raise missing("Endpoint")

    double.endpoints.predict = vanish


FAILURES = {
    "crash at start": fails_to_start,
    "slow": answers(slow),
    "wrong type": answers(wrong(["late", "early"])),
    "wrong scale": answers(wrong([25.0, 75.0])),
    "NaN": answers(wrong([float("nan"), 0.5])),
    "other shape": answers(wrong(0.5)),
    "raises": answers(refuses),
    "other version": answers(lambda version, body: RIGHT["1"]),
    "no right to change it": lambda double: double.fail("PUT", "/config", denied("CAN_MANAGE on endpoint late")),
    "no right to give rights": lambda double: double.fail("PATCH", "/permissions/", denied("CAN_MANAGE")),
    "no table": lambda double: double.fail("PUT", "/ai-gateway", denied("CREATE TABLE on Schema 'prod.toy'")),
    "token expired": lambda double: double.fail("GET", "/late", Refused(401, "UNAUTHENTICATED", "old")),
    "token expired later": lambda double: double.fail("POST", "/invocations", Refused(401, "UNAUTHENTICATED", "old")),
    "endpoint deleted": is_deleted,
    "429 storm": lambda double: double.fail("POST", "/invocations", busy(1), busy(1)),
}


@pytest.fixture
def jobs(double, monkeypatch):
    """Target prod with two versions, and an endpoint whose pauses take no time."""
    monkeypatch.setattr(endpoints, "time", Clock())
    monkeypatch.setattr(sdk, "_PATIENCE", 1)
    double.endpoints.predict = right
    return prepare(monkeypatch)


def prepare(patch):
    """Two versions of target prod, each of which answers its own example."""
    patch.setattr(endpoint, "load_example", lambda job, version: (REQUEST, np.array(RIGHT[str(version.number)])))
    jobs = Jobs(patch)
    for number in (1, 2):
        jobs.world.make({"trained_by": "trainer", "artifact_digest": f"files of {number}"})
    return jobs


def rows_of(jobs):
    return [AuditRow.parse(row) for row in jobs.world.rows]


def context_of(jobs, number, **given):
    named = {"endpoint": "late", "endpoint_inference_table": "on", "endpoint_users": "us"}
    return jobs.deployment(number, approval="automatic", **{"run_id": number, **named, **given})


def deploy(jobs, number, **given):
    """The job deployment with its endpoint."""
    context = context_of(jobs, number, **given)
    for name in ("validation", "deployment", "endpoint"):
        jobs.task(name, context)


def traffic(double):
    there = double.endpoints.by_name.get("late", {}).get("config")
    return (
        {}
        if there is None
        else {route["served_entity_name"]: route["traffic_percentage"] for route in there["traffic_config"]["routes"]}
    )


def test_the_endpoint_follows_the_champion(jobs, double):
    deploy(jobs, 1)
    assert traffic(double) == {"failing-1": 100}
    deploy(jobs, 2)
    assert traffic(double) == {"failing-2": 100}
    rows = [(row.move, row.to_version, row.verdict, row.reason) for row in rows_of(jobs) if row.move == "endpoint"]
    assert rows == [("endpoint", number, "serves", "endpoint late serves it") for number in (1, 2)]
    before = len(jobs.world.rows)
    jobs.task("endpoint", context_of(jobs, 2))
    assert len(jobs.world.rows) == before  # a repeat changes nothing
    context = jobs.job("rollback", run_id=9, reason="worse", endpoint="late", endpoint_users="us")
    for name in ("rollback", "endpoint"):
        jobs.task(name, context)
    assert traffic(double) == {"failing-1": 100}
    assert champion_of(rows_of(jobs)) == 1


@pytest.mark.parametrize("failure", FAILURES)
def test_a_champion_that_does_not_serve_is_put_back(jobs, double, failure):
    deploy(jobs, 1)
    context = context_of(jobs, 2)
    for name in ("validation", "deployment"):
        jobs.task(name, context)
    double.endpoints.by_name["late"].pop("ai_gateway")  # so that every call is needed
    FAILURES[failure](double)
    with pytest.raises(ModelError, match=r"version 2 does not serve at endpoint late: .*version 1 is champion again"):
        jobs.task("endpoint", context)
    rows = rows_of(jobs)
    assert champion_of(rows) == 1
    assert jobs.world.aliases["champion"] == 1
    failed, undone = rows[-2:]
    assert (failed.move, failed.to_version, failed.verdict) == ("endpoint", 2, "failed")
    assert (undone.move, undone.from_version, undone.to_version) == ("rollback", 2, 1)
    assert "endpoint late does not serve version 2: " in undone.reason
    if failure != "crash at start":  # the platform keeps the version before, and this change would fail, too
        assert traffic(double) == {"failing-1": 100}
    double.failures.clear()
    double.endpoints.outcome, double.endpoints.predict = "NOT_UPDATING", right
    with pytest.raises(ModelError, match="version 2 is not champion any more, so endpoint late serves version 1"):
        jobs.task("endpoint", context)
    assert traffic(double) == {"failing-1": 100}


def test_the_first_champion_stays_champion_and_its_endpoint_is_deleted(jobs, double):
    double.endpoints.predict = wrong([float("nan"), 1.0])
    jobs.task("validation", context_of(jobs, 2))
    with pytest.raises(ModelError, match=r"a prediction is not finite; it serves nothing: it is gone$"):
        deploy(jobs, 2)
    assert double.endpoints.by_name == {}
    assert champion_of(rows_of(jobs)) == 2
    assert rows_of(jobs)[-1].verdict == "failed"


def test_a_failure_of_a_later_run_moves_no_champion(jobs, double):
    """Only the run that made the version champion takes that back."""
    deploy(jobs, 1)
    deploy(jobs, 2)
    double.endpoints.predict = slow
    with pytest.raises(ModelError, match=r"a request takes \d+ ms"):
        jobs.task("endpoint", context_of(jobs, 2, run_id=77))
    assert champion_of(rows_of(jobs)) == 2


def test_a_rollback_whose_endpoint_fails_says_what_serves_and_stays(jobs, double):
    deploy(jobs, 1)
    deploy(jobs, 2)
    context = jobs.job("rollback", run_id=9, reason="worse", endpoint="late")
    jobs.task("rollback", context)
    double.endpoints.outcome = "UPDATE_FAILED"
    with pytest.raises(ModelError, match=r"version 1 does not serve at endpoint late: .*UPDATE_FAILED"):
        jobs.task("endpoint", context)
    assert (champion_of(rows_of(jobs)), traffic(double)) == (1, {"failing-2": 100})


def test_a_champion_that_another_run_moved_is_left(jobs, double):
    deploy(jobs, 1)
    context = context_of(jobs, 2)
    for name in ("validation", "deployment"):
        jobs.task(name, context)

    def move_and_fail(version, body):
        if champion_of(rows_of(jobs)) == 2:
            jobs.task("rollback", jobs.job("rollback", run_id=9, reason="worse"))
        return right(version, body) if version == "1" else [None]

    double.endpoints.predict = move_and_fail
    with pytest.raises(ModelError, match="the champion was not put back: another run moved the champion"):
        jobs.task("endpoint", context)
    assert champion_of(rows_of(jobs)) == 1


@settings(deadline=None, max_examples=60)
@given(
    kill=st.integers(0, 8),
    first=st.integers(0, 2),
    failure=st.sampled_from(["", "slow", "NaN", "crash at start", "no right", "raises"]),
    heals_first=st.booleans(),
    whom=st.sampled_from([{2}, {1, 2}]),
)
def test_a_killed_run_heals(kill, first, failure, heals_first, whom):
    """Killed at any write, with any failure: the next run of the job makes the champion answer."""
    platform = MemoryPlatform(lambda version, request: RIGHT[str(version)])
    with pytest.MonkeyPatch.context() as patch:
        jobs = prepare(patch)
        patch.setattr(endpoint, "open_endpoint", platform.open)
        for number in range(1, first):
            deploy(jobs, number)
        context = context_of(jobs, 2)
        for name in ("validation", "deployment"):
            jobs.task(name, context)
        break_platform(platform, failure, whom)
        for left in (kill, -1):
            with suppress(ModelError):
                jobs.task("endpoint", context, left)
            if heals_first:
                heal_platform(platform)
        heal_platform(platform)
        champion = champion_of(rows_of(jobs))
        gone = pytest.raises(ModelError, match="version 2 is not champion any more") if champion == 1 else nullcontext()
        with gone:
            jobs.task("endpoint", context)
        assert platform.traffic == {champion: 100}
        assert jobs.world.aliases["champion"] == champion
        newest = [row for row in rows_of(jobs) if row.move == "endpoint"][-1]
        assert (newest.to_version, newest.verdict) == (champion, "serves")
        assert [row.to_version for row in rows_of(jobs) if row.move == "rollback"] in ([], [1])


def break_platform(platform, failure, whom):
    """Make some versions, or every change, fail."""

    def predict(version, request):
        if version in whom and failure == "raises":
            raise MlopsError("status 500")
        return [[float("nan"), 1.0]] if version in whom and failure == "NaN" else RIGHT[str(version)]

    platform.predict = predict
    platform.broken = whom if failure == "crash at start" else set()
    platform.seconds = dict.fromkeys(whom, 2.0) if failure == "slow" else {}
    platform.refusal = "you lack CAN_MANAGE" if failure == "no right" else ""


def heal_platform(platform):
    break_platform(platform, "", set())


def test_without_a_champion_there_is_nothing_to_serve(jobs, double):
    with pytest.raises(ModelError, match=f"{MODEL} has no champion yet"):
        task.run(context_of(jobs, 1))
    assert double.endpoints.by_name == {}
