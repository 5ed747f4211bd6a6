"""What the gate looks at: the holdout, and what challenger and champion answer on the same rows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pandas as pd

from mlops.adapters.inspection import Opened
from mlops.adapters.registry import Version
from mlops.config import DeploymentConfig, ValidationConfig
from mlops.contract import UseCase
from mlops.jobs import _matured
from mlops.jobs._contract import contract_of
from mlops.jobs._launch import Context
from mlops.lifecycle import splits
from mlops.lifecycle.gates import Contract, Scored

Job = Context[ValidationConfig | DeploymentConfig]


@dataclass(frozen=True)
class Evidence:
    """Answers on one holdout, or why there are none."""

    challenger: Scored | Exception
    contract: Contract | Exception
    champion: Scored | Exception | None


def gather(job: Job, version: Version, champion: Version | Exception | None) -> Evidence:
    """Read the holdout once and have both versions answer it."""
    use_case = job.use_case
    windows = splits.windows(job.config.as_of, use_case.policy)
    rows = _matured.between(job.data.read("features"), windows.holdout_from, windows.holdout_until)
    holdout = _matured.fetch(_matured.labelled(rows, job.data, use_case, job.config.as_of), use_case)
    challenger, contract = _examined(job, version, holdout)
    if isinstance(champion, Version):
        champion_answers, _ = _examined(job, champion, holdout, with_contract=False)
        return Evidence(challenger, contract, champion_answers)
    return Evidence(challenger, contract, champion)


def _examined(
    job: Job, version: Version, holdout: pd.DataFrame, *, with_contract: bool = True
) -> tuple[Scored | Exception, Contract | Exception]:
    """Whatever goes wrong with a version is the gate's finding about it, and not this job's failure."""
    try:
        opened = job.registry.open(version, job.use_case.model)
        scored = scored_by(opened, holdout, job.use_case, datetime.fromisoformat(version.tags["trained_until"]))
    except Exception as error:  # noqa: BLE001
        return error, error
    try:
        inputs = _matured.features_of(holdout, job.use_case)
        return scored, contract_of(opened, inputs, job.use_case) if with_contract else ValueError("not asked for")
    except Exception as error:  # noqa: BLE001
        return scored, error


def scored_by(opened: Opened, holdout: pd.DataFrame, use_case: UseCase, trained_until: datetime) -> Scored:
    """A version's answers; `holdout` has key, event_time, features and label."""
    return Scored(
        y=holdout[_matured.LABEL].to_numpy(),
        p=_matured.answers(opened.pipeline, holdout, use_case),
        day=holdout["event_time"].to_numpy("datetime64[D]").astype(np.dtype("datetime64[D]")),
        slices=holdout[list(use_case.policy.slices)],
        trained_until=trained_until,
    )
