"""Which versions score in a batch: the champion, the one before it, and a challenger in the shadow."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from inmemory import AS_OF, Jobs
from test_version_record import made, served

from mlops.contract import ApprovalPending, ModelError
from mlops.data.table_schemas import SHADOW
from mlops.release import champion_scorer


@pytest.fixture
def jobs(monkeypatch):
    return Jobs(monkeypatch)


def inference(jobs):
    return jobs.job("inference", data_catalog="prod", data_schema="toy", champion_share=5)


def test_without_a_champion_nothing_scores(jobs):
    with pytest.raises(ModelError, match="has no champion yet"):
        champion_scorer.load_scorer(inference(jobs))


def test_the_version_before_answers_what_is_asked_after_the_training_of_the_champion(jobs):
    job, earlier = inference(jobs), (datetime.fromisoformat(AS_OF) - timedelta(days=7)).isoformat()
    served(jobs, made(jobs, trained_as_of=earlier))
    first = champion_scorer.load_scorer(job)
    assert champion_scorer.load_previous(job, first) is None
    served(jobs, made(jobs))
    champion = champion_scorer.load_scorer(job)
    previous = champion_scorer.load_previous(job, champion)
    assert (champion.version, previous.version, previous.table) == (2, 1, "predictions")
    assert previous.trained_as_of == champion.trained_as_of > first.trained_as_of
    del jobs.world.versions[1]
    assert champion_scorer.load_previous(job, champion) is None


def test_after_a_rollback_the_version_that_failed_answers_nothing(jobs):
    for _ in range(2):
        served(jobs, made(jobs))
    assert jobs.task("rollback", jobs.job("rollback", reason="worse"))
    champion = champion_scorer.load_scorer(inference(jobs))
    assert champion.version == 1
    assert champion_scorer.load_previous(inference(jobs), champion) is None


def test_only_a_challenger_that_the_gate_accepted_scores_in_the_shadow(jobs):
    job = inference(jobs)
    served(jobs, made(jobs))
    assert champion_scorer.load_challenger(job) is None
    with pytest.raises(ApprovalPending):
        jobs.deploy(made(jobs))
    challenger = champion_scorer.load_challenger(job)
    assert (challenger.version, challenger.table) == (2, SHADOW)
    jobs.world.aliases["challenger"] = made(jobs)  # somebody points the alias at a version that nobody judged
    assert champion_scorer.load_challenger(job) is None
    jobs.world.aliases["challenger"] = 2
    jobs.task("review", jobs.job("review", model_version=2, decision="rejected", reason="no", run_id=50))
    jobs.world.aliases["challenger"] = 2
    assert champion_scorer.load_challenger(job) is None
