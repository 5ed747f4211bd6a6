"""Make the endpoint serve the champion, check its answers, and restore endpoint and champion if that fails."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from mlops.config import EndpointConfig
from mlops.context import Context
from mlops.contract import MlopsError, ModelError, clean_text
from mlops.contract.model_version import Version
from mlops.platform import runtime, scoring_server
from mlops.platform.endpoints import Endpoint, EndpointSettings, WorkspaceEndpoint, describe_traffic
from mlops.platform.local_endpoint import LocalEndpoint
from mlops.release import aliases, audit_log
from mlops.release.version_record import AuditRow, newest_move, read_record
from mlops.serving import rollout
from mlops.serving.smoke_test import CALLS, find_faults

if TYPE_CHECKING:
    from fastapi import FastAPI

type Job = Context[EndpointConfig]
_LONGEST_REASON = 500


@contextmanager
def open_endpoint(job: Job) -> Iterator[Endpoint]:
    """Open the endpoint that the job names: of the workspace, or of the laptop's home."""
    config, home = job.config, runtime.home()
    if home is None:
        yield WorkspaceEndpoint(
            EndpointSettings(
                name=config.endpoint,
                model=config.model_name,
                size=config.endpoint_size,
                scale_to_zero=config.endpoint_scale_to_zero == "on",
                inference_table=config.endpoint_inference_table == "on",
                calls_per_minute=config.endpoint_calls_per_minute,
                users=config.endpoint_users,
            )
        )
        return
    job.log.info("this is a laptop: scoring servers of this machine stand for endpoint %s", config.endpoint)
    with LocalEndpoint(home / "endpoints" / f"{config.endpoint}.json", lambda number: _make_app(job, number)) as local:
        yield local


def load_champion(job: Job) -> tuple[Sequence[AuditRow], AuditRow, Version]:
    """Load the audit rows, oldest first, with the newest move and the champion that it made.

    Raises:
        ModelError: there is no champion.
    """
    rows, name = audit_log.load_rows(job), job.config.model_name
    last, champion = newest_move(rows), aliases.find_serving(job.registry, name, rows, job.config.target)
    if last is None or champion is None:
        raise ModelError(f"{name} has no champion yet: train, or promote a version, and deploy it")
    return rows, last, champion


def serve_champion(job: Job, endpoint: Endpoint, *, alone: bool = False) -> Version:
    """Give the champion of the audit table the whole traffic, and send it its own input example; returns it.

    Args:
        job: the job of the endpoint.
        endpoint: which serves it.
        alone: it gets all requests at once, also where a rollout is on.

    Raises:
        ModelError: it does not serve; the endpoint serves what it served before, and a move of this run is undone.
    """
    _, last, champion = load_champion(job)
    before: dict[int, int] = {}
    try:
        before = dict(endpoint.read_traffic())
        traffic = {champion.number: 100} if alone else _first_traffic(job, last, before)
        endpoint.set_traffic(traffic)
        check_version(job, endpoint, champion, None if traffic == {champion.number: 100} else champion.number)
    except Exception as error:  # whatever the error is, the previous version has to serve again
        put_back = _put_back(job, endpoint, last, before, str(error))
        raise ModelError(f"{champion} does not serve at endpoint {job.config.endpoint}: {error}; {put_back}") from error
    share = traffic[champion.number]
    answers = "serves it" if share == 100 else f"gives it {share} % of the requests, the job rollout more"
    state = {0: "shadow", 100: "serves"}.get(share, "canary")
    record_state(job, champion, state, f"endpoint {job.config.endpoint} {answers}")
    job.log.info("endpoint %s serves %s", job.config.endpoint, describe_traffic(traffic))
    return champion


def _first_traffic(job: Job, last: AuditRow, before: Mapping[int, int]) -> Mapping[int, int]:
    """Return a champion's first traffic: 100 %, or 0 % with a rollout; a rollout under way keeps its share."""
    previous, number = last.from_version, last.to_version
    if job.config.endpoint_rollout == "off" or last.move != "deployment" or previous is None:
        return {number: 100}
    if rollout.find_share(number, previous, before) is not None:
        return before
    return rollout.make_traffic(number, previous, 0) if before == {previous: 100} else {number: 100}


def check_version(job: Job, endpoint: Endpoint, version: Version, asked: int | None) -> None:
    """Send a version's own input example and compare the answers with what its inspected files predict.

    Args:
        job: the job of the endpoint.
        endpoint: which serves the version.
        version: the version that has to answer.
        asked: the version's number, to bypass the traffic's shares; None: send the requests as any client does.

    Raises:
        ModelError: an answer is wrong or late; names everything that is.
    """
    request, expected = load_example(job, version)
    endpoint.ask(request, asked)
    answers = [endpoint.ask(request, asked) for _ in range(CALLS)]
    if faults := find_faults(expected, answers, version.number, job.config.endpoint_latency_ms):
        raise ModelError("; ".join(faults))


def load_example(job: Job, version: Version) -> tuple[dict[str, Any], Any]:
    """Load the first row of a version's input example as a request, and what its inspected files predict for it."""
    card = scoring_server.make_card(version, job.use_case.model)
    with job.registry.fetch_files(version) as folder:
        served = scoring_server.load_served(folder, card)
        request = scoring_server.read_example(folder)
    return request, served.predict(scoring_server.example_rows(request))


def record_state(job: Job, version: Version, state: str, reason: str) -> None:
    """Add a row with the version's state at the endpoint, unless its newest row has the same; show it as a tag."""
    row = audit_log.new_row(
        job, "endpoint", version, verdict=state, reason=clean_text(reason)[:_LONGEST_REASON].rstrip(),
        artifact_digest=version.facts.artifact_digest,
    )  # fmt: skip

    def is_overtaken(rows: Sequence[AuditRow]) -> bool:
        newest = next((known for known in reversed(rows) if known.move == "endpoint"), None)
        last = newest and (newest.to_version, newest.verdict, newest.reason)
        return last == (row.to_version, row.verdict, row.reason)

    if (rows := audit_log.add_row(job, row, is_overtaken)) is not None:
        aliases.show_record(job, version, rows)


def _put_back(job: Job, endpoint: Endpoint, last: AuditRow, before: dict[int, int], why: str) -> str:
    """Restore endpoint and champion and record the reason; returns a sentence on what was done, or failed."""
    # Only a move of this run is undone, not the move of an earlier run and not a rollback by a person.
    is_own = (last.move, last.run_id) == ("deployment", job.config.run_id)
    previous = last.from_version if is_own else None
    done = []
    try:
        # A run that was killed after it changed the endpoint has recorded nowhere what was served before.
        if before == {last.to_version: 100} and previous is not None:
            endpoint.set_traffic({previous: 100})
        else:
            endpoint.restore()
        done.append(f"it serves {describe_traffic(endpoint.read_traffic()) or 'nothing: it is gone'}")
    except MlopsError as error:
        done.append(f"it could not be put back: {error}")
    version = aliases.find_version(job, last.to_version)
    if version is not None:
        record_state(job, aliases.as_recorded(version, last), "failed", f"endpoint {job.config.endpoint}: {why}")
    if previous is not None:
        done.append(put_champion_back(job, last, previous, why))
    return " and ".join(done)


def put_champion_back(job: Job, last: AuditRow, previous: int, why: str) -> str:
    """Make the previous version champion again, by a row of the kind rollback."""
    version = aliases.find_version(job, previous)
    if version is None:
        return f"version {previous}, the champion before, is gone, so {last.to_version} stays champion of the batch"
    reason = clean_text(f"endpoint {job.config.endpoint} does not serve version {last.to_version}: {why}")
    row = aliases.row_of_move(
        job, "rollback", version, read_record(audit_log.load_rows(job), previous), reason[:_LONGEST_REASON].rstrip()
    )
    try:
        aliases.move_champion(job, version, row, last)
    except MlopsError as error:
        return f"the champion was not put back: {error}"
    return f"version {previous} is champion again"


def _make_app(job: Job, number: int) -> FastAPI:
    """Load a version of the audit table, inspect its files and make the server that answers for it."""
    record = audit_log.record_of(job, number)
    row = record.move or record.verdict
    version = job.registry.get_version(job.config.model_name, number)
    if row is None:
        raise ModelError(f"{version} was not judged: run the job 'deployment', which judges it first")
    card = scoring_server.make_card(aliases.as_recorded(version, row), job.use_case.model)
    with job.registry.fetch_files(version) as folder:
        return scoring_server.make_app(scoring_server.load_served(folder, card))
