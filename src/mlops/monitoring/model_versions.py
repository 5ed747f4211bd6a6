"""Read what monitoring shows of the model's versions: when they were trained, and the verdicts on them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from mlops.config import MonitoringConfig
from mlops.context import Context
from mlops.contract.model_version import VersionFacts
from mlops.monitoring import history
from mlops.release.verdicts import DOCUMENT
from mlops.release.version_record import AuditRow, read_record

Job = Context[MonitoringConfig]


def list_trainings(job: Job, rows: Sequence[AuditRow]) -> dict[int, datetime]:
    """List the moments as of which the model's versions were trained, UTC, by version; an unknown one is left out.

    A version that nobody has judged yet counts by what its training run claims. Each version costs a call or two, so
    those from before the horizon of monitoring are not asked for: no decision and no page reaches as far back.
    """
    trainings, policy = {}, job.use_case.policy
    since = job.config.as_of - max(history.find_horizon(policy), policy.cool_down)
    for version in job.registry.list_versions(job.config.model_name, since):
        facts = read_record(rows, version.number).facts
        if facts is None:
            facts = VersionFacts.parse(job.registry.read_run_tags(version.run_id))
        if facts.trained_as_of is not None:
            trainings[version.number] = facts.trained_as_of
    return trainings


def load_verdicts(job: Job, rows: Sequence[AuditRow], numbers: Sequence[int]) -> Iterator[dict[str, Any]]:
    """Load the document of each version's newest verdict; one that cannot be read is logged and left out."""
    for record in (read_record(rows, number) for number in numbers):
        verdict = record.verdict
        if verdict is None or not verdict.validation_run:  # not judged, or its report could not be written
            continue
        try:
            document = json.loads(job.registry.read_document(verdict.validation_run, DOCUMENT))
        except Exception as error:  # noqa: BLE001 (one unreadable verdict must not cost the whole page)
            job.log.warning("the verdict on %s is missing on the page: %s", record, error)
            continue
        until = verdict.trained_until
        yield {**document, "version": record.number, "until": f"{until:%Y-%m-%d}" if until else "an unknown day"}
