"""The job inference without Spark: what becomes of a run when a part of it fails."""

from __future__ import annotations

from unittest import mock

import pytest
from inmemory import Jobs

from mlops.contract import ModelError
from mlops.data import scoring, table_schemas
from mlops.jobs import inference
from mlops.release import champion_scorer


class SparkConnectGrpcException(Exception):
    """Stands for Spark's error of that name, which is none of ours."""


@pytest.fixture
def job(monkeypatch):
    job = Jobs(monkeypatch).job("inference", data_catalog="prod", data_schema="toy", shadow="on")
    job.__dict__.update(data=mock.MagicMock(), own=mock.MagicMock(), log=mock.MagicMock())
    for name in ("load_scorer", "load_challenger"):
        monkeypatch.setattr(champion_scorer, name, lambda *_, name=name: mock.Mock(table=name, version=1))
    monkeypatch.setattr(table_schemas, "create_predictions", lambda *_: None)
    functions = mock.MagicMock()
    functions.col.return_value.__le__.return_value = functions.col.return_value.__or__.return_value
    monkeypatch.setattr(inference, "F", functions)
    return job


@pytest.mark.parametrize(
    "error",
    [ModelError("the files differ"), SparkConnectGrpcException("executor lost"), MemoryError(), KeyError("size")],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.parametrize("where", ["load_challenger", "append_predictions"])
def test_whatever_the_shadow_raises_the_predictions_of_the_champion_stay(job, monkeypatch, error, where):
    appended = []

    def append(own, features, rows, scorer):
        if scorer.table == "load_challenger":
            raise error
        appended.append(scorer.table)
        return 0

    monkeypatch.setattr(scoring, "append_predictions", append)
    if where == "load_challenger":
        monkeypatch.setattr(champion_scorer, where, mock.Mock(side_effect=error))
    inference.run(job)
    assert appended == ["load_scorer"]
    (told,) = job.log.warning.call_args_list
    assert type(error).__name__ in told.args


def test_what_the_champion_raises_fails_the_run(job, monkeypatch):
    monkeypatch.setattr(scoring, "append_predictions", mock.Mock(side_effect=SparkConnectGrpcException("gone")))
    with pytest.raises(SparkConnectGrpcException):
        inference.run(job)
