"""Decide the next step of a rollout: no requests (shadow), 5, 25, then 100 per cent, or back to the version before.

The state consists of two facts: the newest move in the audit table, and the traffic of the endpoint. So the next run
sees the whole state, wherever the run before it was killed. One call decides one step.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from mlops.contract import Rule
from mlops.release.version_record import AuditRow, newest_move

SHARES = (0, 5, 25, 100)
"""Per cent of the requests that a new champion gets, step by step. At 0 only this job sends it requests."""
MIN_ROWS = 100
"""Smallest number of rows on which a step is judged."""
MAX_ERRORS = 0.01
"""Largest share of requests that may fail."""
MAX_SHIFT = 0.75
"""Largest Wasserstein distance between both versions' predictions for the same rows, in standard deviations.

A model trained anew every four weeks was at most .52 off one of the first quarter (`benchmarks rollout`). (Rejected:
PSI, which was 0.49 between two fits of one model on samples of 400 rows, above its usual limit of 0.25.)
"""


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """Measurements of the new champion at the endpoint."""

    rows: int
    """Number of rows that were sent to it."""
    requests: int
    failed: int
    error: str = ""
    """The first error."""
    latency_ms: float = 0.0
    """Median time of a request of one row."""
    skew: str = ""
    """Difference between the answers and the predictions of the version's inspected files; empty: none."""
    shift: float | None = None
    """Wasserstein distance of the predictions from those of the version before, in standard deviations of these; None:
    it was not computed, since answers are missing or wrong."""
    rules: tuple[Rule, ...] = ()
    """Whether it is worse than the version before, on rows with labels; empty: these are too few."""


@dataclass(frozen=True)
class Step:
    """The change of the endpoint that a run makes, and the reason."""

    action: Literal["align", "start", "hold", "advance", "abort", "done"]
    traffic: Mapping[int, int]
    reason: str

    @property
    def state(self) -> str:
        """State of the new champion after the step, for the audit table."""
        if self.action in {"abort", "hold", "done"}:
            return "failed" if self.action == "abort" else ""
        return "serves" if len(self.traffic) == 1 else "canary" if min(self.traffic.values()) else "shadow"


def find_previous(rows: Sequence[AuditRow]) -> int | None:
    """Find the version that answered before the champion; None: no rollout is under way.

    A rollout begins with a deployment and ends with the row that gives the new champion all requests.

    Args:
        rows: the audit rows of the model, oldest first.
    """
    last = newest_move(rows)
    if last is None or last.move != "deployment" or last.from_version in {None, last.to_version}:
        return None
    has_ended = any(row.verdict == "serves" for row in _rows_since(rows, last))
    return None if has_ended else last.from_version


def find_failure(rows: Sequence[AuditRow]) -> str:
    """Find the recorded failure of the rollout under way, for which it is aborted; empty: there is none."""
    last = newest_move(rows)
    states = [] if last is None else _rows_since(rows, last)
    return states[-1].reason if states and states[-1].verdict == "failed" else ""


def has_begun(rows: Sequence[AuditRow]) -> bool:
    """Whether the champion has a state at the endpoint since it was deployed."""
    last = newest_move(rows)
    return last is not None and bool(_rows_since(rows, last))


def _rows_since(rows: Sequence[AuditRow], last: AuditRow) -> list[AuditRow]:
    """The states of the champion at the endpoint since it was deployed, oldest first."""
    return [
        row
        for row in rows
        if row.move == "endpoint" and row.to_version == last.to_version and row.sequence > last.sequence
    ]


def make_traffic(champion: int, previous: int, share: int) -> dict[int, int]:
    """Split the requests between both versions; a version with all of them stands alone."""
    return {champion: 100} if share == 100 else {previous: 100 - share, champion: share}


def find_share(champion: int, previous: int | None, traffic: Mapping[int, int]) -> int | None:
    """Find the step that an endpoint's traffic is at; None: it is no step of this rollout."""
    if previous is None or previous == champion:
        return 100 if traffic == {champion: 100} else None
    return next((share for share in SHARES if traffic == make_traffic(champion, previous, share)), None)


def plan_step(champion: int, previous: int | None, traffic: Mapping[int, int], *, has_begun: bool) -> Step | None:
    """Decide the step that needs no evidence; None: the rollout goes on, and evidence decides.

    Args:
        champion: the champion of the audit table.
        previous: the version that answered before, as `find_previous`; None: no rollout is under way.
        traffic: per cent of the requests by version; empty: there is no endpoint.
        has_begun: whether the audit table has a state of the champion at the endpoint since it was deployed.
    """
    share = find_share(champion, previous, traffic)
    if share == 100:
        return Step("done", traffic, f"version {champion} answers all requests")
    if share is not None:
        return None
    if previous is None or previous == champion:
        return Step("align", {champion: 100}, f"version {champion}, the champion of the audit table, answers alone")
    if traffic == {previous: 100} or not (traffic or has_begun):
        reason = f"version {champion} is made ready beside version {previous}, which answers"
        return Step("start", make_traffic(champion, previous, 0), reason)
    shown = ", ".join(f"version {number} {percent} %" for number, percent in traffic.items()) or "nothing"
    reason = f"the endpoint serves {shown}, which is no step of this rollout: somebody changed or deleted it"
    return Step("abort", {previous: 100}, reason)


def judge_step(champion: int, previous: int, traffic: Mapping[int, int], evidence: Evidence, latency_ms: float) -> Step:
    """Decide the step of a rollout that is under way.

    Args:
        champion: the new champion.
        previous: the version that answers the other requests.
        traffic: per cent of the requests by version, a step of the rollout.
        evidence: the answers of the new champion.
        latency_ms: limit of the median time of a request.
    """
    if faults := find_faults(evidence, latency_ms):
        return Step("abort", {previous: 100}, "; ".join(faults))
    share = traffic[champion]
    if evidence.rows < MIN_ROWS:
        reason = f"{evidence.rows} rows could be asked for, at least {MIN_ROWS} are needed: it stays at {share} %"
        return Step("hold", traffic, reason)
    following = SHARES[SHARES.index(share) + 1]
    quality = (
        f"{len(evidence.rules)} rules against version {previous} passed" if evidence.rules else "too few labels matured"
    )
    reason = (
        f"{following} % of the requests after {evidence.requests - evidence.failed} of {evidence.requests} were "
        f"answered, {evidence.latency_ms:.0f} ms, shift {evidence.shift or 0:.2f}, {quality}"
    )
    return Step("advance", make_traffic(champion, previous, following), reason)


def find_faults(evidence: Evidence, latency_ms: float) -> Sequence[str]:
    """List the reasons to abort the rollout, one sentence each; empty: there are none."""
    faults = []
    if evidence.failed > MAX_ERRORS * evidence.requests:
        faults.append(
            f"{evidence.failed} of {evidence.requests} requests failed, at most {MAX_ERRORS:.0%} may: {evidence.error}"
        )
    if evidence.skew:
        faults.append(evidence.skew)
    faults += find_latency_fault(evidence.latency_ms, latency_ms)
    if evidence.shift is not None and not evidence.shift <= MAX_SHIFT:
        faults.append(
            f"its predictions are {evidence.shift:.2f} standard deviations off those of the version before, at most "
            f"{MAX_SHIFT} are allowed"
        )
    faults += [f"{rule.name}: {rule.reason}" for rule in evidence.rules if not rule.passed]
    return faults


def find_latency_fault(median_ms: float, limit_ms: float) -> list[str]:
    """Find whether the median time of a request is above its limit, or unknown (NaN)."""
    if median_ms <= limit_ms:
        return []
    return [f"a request takes {median_ms:.0f} ms (median), at most {limit_ms:.0f} are allowed"]
