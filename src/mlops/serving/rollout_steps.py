"""Take one step of a rollout: read its state, gather evidence, change the endpoint, and record the step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from mlops.config import RolloutConfig
from mlops.context import Context
from mlops.contract import ModelError
from mlops.contract.model_version import Version
from mlops.platform.endpoints import Endpoint
from mlops.release import aliases, audit_log
from mlops.release.version_record import AuditRow, newest_move, read_record
from mlops.serving import endpoint as serving
from mlops.serving import rollout, rollout_evidence
from mlops.serving.rollout import Step

type Job = Context[RolloutConfig]


def take_step(job: Job, endpoint: Endpoint) -> Step:
    """Take one step, and return it.

    Raises:
        ModelError: there is no champion, or the endpoint could not be changed; a row of the audit table says so where
            a rollout is under way.
    """
    rows, last, champion = serving.load_champion(job)
    previous = rollout.find_previous(rows)
    if previous is None:
        step = _align(job, endpoint, champion)
    else:
        try:
            step = _decide_step(job, endpoint, rows, last, previous)
            if step.action != "abort":
                endpoint.set_traffic(step.traffic)
        except Exception as error:  # noqa: BLE001 (whatever happened, the version that answered before has to answer)
            step = Step("abort", {previous: 100}, f"the step failed: {error}")
        if step.action == "abort":
            _abort(job, endpoint, champion, last, step)
    # At the end of a rollout its row is missing only if the run that gave the champion all requests was killed.
    state = "serves" if step.action == "done" and previous is not None else step.state
    if state in {"shadow", "canary", "serves"}:
        serving.record_state(job, champion, state, f"endpoint {job.config.endpoint}: {step.reason}")
    _follow_move(job, endpoint, last)
    job.log.info("%s: %s", step.action, step.reason)
    return step


def _align(job: Job, endpoint: Endpoint, champion: Version) -> Step:
    """Without a rollout, give the champion all requests; it is checked only where there was no endpoint.

    A check that fails would give the requests back to what was served before, which may be a version that was aborted.
    """
    traffic = endpoint.read_traffic()
    step = rollout.plan_step(champion.number, None, traffic, has_begun=True)
    if step is None:
        raise ModelError(f"the traffic {dict(traffic)} of endpoint {job.config.endpoint} cannot be read")
    if step.action == "align" and not traffic:
        serving.serve_champion(job, endpoint, alone=True)
        return replace(step, action="done")
    if step.action == "align":
        endpoint.set_traffic(step.traffic)
    return step


def _decide_step(job: Job, endpoint: Endpoint, rows: Sequence[AuditRow], last: AuditRow, previous: int) -> Step:
    if failure := rollout.find_failure(rows):
        return Step("abort", {previous: 100}, failure)
    traffic, begun = endpoint.read_traffic(), rollout.has_begun(rows)
    if (step := rollout.plan_step(last.to_version, previous, traffic, has_begun=begun)) is not None:
        return step
    registry, model = job.registry, job.config.model_name
    record = read_record(rows, previous)
    known = record.move or record.verdict
    before = registry.get_version(model, previous)
    evidence = rollout_evidence.gather_evidence(
        job, endpoint, aliases.as_recorded(registry.get_version(model, last.to_version), last),
        before if known is None else aliases.as_recorded(before, known),
    )  # fmt: skip
    return rollout.judge_step(last.to_version, previous, traffic, evidence, job.config.endpoint_latency_ms)


def _abort(job: Job, endpoint: Endpoint, champion: Version, last: AuditRow, step: Step) -> None:
    """Give the previous version all requests and the alias. The row comes first, so that the next run can finish it.

    Raises:
        ModelError: the endpoint could not be changed; alias and audit table are.
    """
    (previous,) = step.traffic
    serving.record_state(job, champion, "failed", step.reason)
    problem = ""
    try:
        endpoint.set_traffic(step.traffic)
    except Exception as error:  # noqa: BLE001 (the alias goes back even if the endpoint refuses)
        problem = f"the endpoint could not be changed: {error}; the next run of the job rollout does so"
    done = serving.put_champion_back(job, last, previous, step.reason)
    job.log.warning("the rollout of %s was aborted: %s; %s", champion, step.reason, done)
    if problem:
        raise ModelError(f"the rollout of {champion} was aborted: {step.reason}; {done}, but {problem}")


def _follow_move(job: Job, endpoint: Endpoint, last: AuditRow) -> None:
    """Serve the new champion if another run moved it during this step, such as a rollback by a person."""
    newest = newest_move(audit_log.load_rows(job))
    if newest is not None and newest.move_id != last.move_id and newest.run_id != job.config.run_id:
        job.log.warning("version %d was made champion meanwhile (%s)", newest.to_version, newest.move)
        endpoint.set_traffic({newest.to_version: 100})
