"""What monitoring asks the registry does not grow with the age of the model."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from toy import TOY

from mlops.contract.model_version import VersionFacts
from mlops.monitoring import model_versions
from mlops.platform.registry import Registry

NOW = datetime(2024, 1, 1, tzinfo=UTC)
WEEK = timedelta(days=7)


class Client:
    """A registry of ten years with a version a week, none of them judged, that counts the calls."""

    def __init__(self, weeks=520):
        self.calls = 0
        self.versions = {
            str(number): SimpleNamespace(
                name="m", version=str(number), run_id=str(number), tags={}, aliases=[], description="", status="READY",
                creation_timestamp=(NOW - (weeks - number) * WEEK).timestamp() * 1000,
            )
            for number in range(1, weeks + 1)
        }  # fmt: skip

    def search_model_versions(self, _):
        return list(self.versions.values())

    def get_model_version(self, _, number):
        self.calls += 1
        return self.versions[number]


@pytest.mark.parametrize(("cool_down", "asked"), [(28, 58), (700, 101)])
def test_versions_from_before_the_horizon_cost_no_call(monkeypatch, cool_down, asked):
    registry, tags = Registry.__new__(Registry), []
    registry._client = Client()

    def read_run_tags(run):
        tags.append(run)
        return VersionFacts(trained_as_of=NOW - (520 - int(run)) * WEEK).to_tags()

    monkeypatch.setattr(registry, "read_run_tags", read_run_tags)
    use_case = replace(TOY, policy=replace(TOY.policy, cool_down=timedelta(days=cool_down)))
    job = SimpleNamespace(registry=registry, config=SimpleNamespace(model_name="a.b.m", as_of=NOW), use_case=use_case)
    trainings = model_versions.list_trainings(job, [])
    assert max(trainings.values()) == NOW
    assert len(trainings) == len(tags) == registry._client.calls == asked
