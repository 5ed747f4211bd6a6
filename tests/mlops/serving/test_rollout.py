"""The state machine of a rollout, over all of its transitions."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops.contract import Rule
from mlops.release.version_record import AuditRow
from mlops.serving import rollout
from mlops.serving.rollout import SHARES, Evidence, find_share, judge_step, make_traffic, plan_step

CLEAN = Evidence(rows=900, requests=50, failed=0, latency_ms=9.0, shift=0.02)
TRAFFICS = st.dictionaries(st.integers(1, 4), st.integers(0, 100), max_size=3) | st.sampled_from(
    [{1: 100}, {2: 100}, {1: 100, 2: 0}, {1: 95, 2: 5}, {1: 75, 2: 25}]
)
RULES = st.builds(
    Rule, st.just("non_inferior_loss"), passed=st.booleans(), value=st.none(), limit=st.none(), reason=st.just("why")
)
EVIDENCE = st.builds(
    Evidence,
    rows=st.integers(0, 300),
    requests=st.integers(0, 60),
    failed=st.integers(0, 60),
    error=st.just("status 500"),
    latency_ms=st.floats(0, 2000) | st.just(float("nan")),
    skew=st.sampled_from(["", "a prediction is not finite"]),
    shift=st.none() | st.floats(0, 1) | st.just(float("nan")),
    rules=st.lists(RULES, max_size=3).map(tuple),
)


def test_clean_evidence_leads_through_every_step_to_all_requests():
    traffic, seen = {1: 100}, []
    for _ in range(4):
        step = plan_step(2, 1, traffic, has_begun=bool(seen)) or judge_step(2, 1, traffic, CLEAN, 100)
        traffic = dict(step.traffic)
        seen.append((step.action, find_share(2, 1, traffic), step.state))
    assert seen == [
        ("start", 0, "shadow"), ("advance", 5, "canary"), ("advance", 25, "canary"), ("advance", 100, "serves")
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"failed": 1}, "1 of 50 requests failed, at most 1% may"),
        ({"skew": "a prediction is not finite"}, "^a prediction is not finite$"),
        ({"latency_ms": 101.0}, r"a request takes 101 ms \(median\), at most 100 are allowed"),
        ({"latency_ms": float("nan")}, "a request takes nan ms"),
        ({"shift": 0.8}, "its predictions are 0.80 standard deviations off those of the version before"),
        (
            {"rules": (Rule("slice_a", passed=False, value=None, limit=None, reason="worse"),)},
            "slice_a: worse",
        ),
    ],
)
@pytest.mark.parametrize("share", SHARES[:-1])
def test_each_fault_takes_the_version_back_at_each_step(change, reason, share):
    step = judge_step(2, 1, make_traffic(2, 1, share), replace(CLEAN, **change), 100)
    assert (step.action, step.traffic, step.state) == ("abort", {1: 100}, "failed")
    assert re.search(reason, step.reason)


@given(TRAFFICS, st.booleans(), EVIDENCE, st.sampled_from([None, 1, 2]))
def test_whatever_it_sees_it_takes_one_step_and_says_why(traffic, begun, evidence, previous):
    step = plan_step(2, previous, traffic, has_begun=begun)
    if step is None:
        step = judge_step(2, previous, traffic, evidence, 100)
    assert step.reason
    assert sum(step.traffic.values()) == 100
    share = find_share(2, previous, traffic)
    match step.action:
        case "advance":
            assert rollout.find_faults(evidence, 100) == []
            assert evidence.rows >= rollout.MIN_ROWS
            assert SHARES.index(find_share(2, previous, step.traffic)) == SHARES.index(share) + 1
        case "hold" | "done":
            assert step.traffic == traffic
        case "abort":
            assert step.traffic == {previous: 100}
            assert share is None or rollout.find_faults(evidence, 100)
        case "start":
            assert (share, step.traffic) == (None, {previous: 100, 2: 0})
        case "align":
            assert (previous in {None, 2}, step.traffic) == (True, {2: 100})
    assert step.action != "done" or traffic == {2: 100}


def row(sequence, move, to, verdict="", was=None):
    moment = datetime(2024, 3, 1, tzinfo=UTC)
    return AuditRow(
        model_name="m", sequence=sequence, move=move, from_version=was, to_version=to, verdict=verdict, reason=verdict,
        run_id="1", at=moment, as_of=moment,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("rows", "previous", "failure"),
    [
        ([], None, ""),
        ([row(1, "deployment", 1)], None, ""),
        ([row(1, "deployment", 1), row(2, "deployment", 2, was=1)], 1, ""),
        ([row(2, "deployment", 2, was=1), row(3, "endpoint", 2, "shadow")], 1, ""),
        ([row(2, "deployment", 2, was=1), row(3, "endpoint", 2, "failed")], 1, "failed"),
        ([row(2, "deployment", 2, was=1), row(3, "endpoint", 2, "canary"), row(4, "endpoint", 2, "serves")], None, ""),
        # An older time in which the version served does not count.
        ([row(1, "endpoint", 2, "serves"), row(2, "deployment", 2, was=1), row(3, "endpoint", 2, "canary")], 1, ""),
        ([row(2, "deployment", 2, was=1), row(3, "rollback", 1, was=2)], None, ""),
    ],
)
def test_the_audit_table_says_whether_a_rollout_is_under_way(rows, previous, failure):
    assert (rollout.find_previous(rows), rollout.find_failure(rows)) == (previous, failure)
