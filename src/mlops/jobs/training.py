"""Fit the use case's model on matured labels before the holdout, log it and register one version."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping
from datetime import datetime

import joblib
import pandas as pd
from sklearn.pipeline import Pipeline
from threadpoolctl import threadpool_limits

from mlops.adapters import platform
from mlops.config import TrainingConfig
from mlops.contract import DataError
from mlops.jobs import _matured
from mlops.jobs._launch import Context, task
from mlops.lifecycle import splits
from mlops.lifecycle.evaluation import measure

_PACKAGES = ("mlflow", "numpy", "pandas", "scikit-learn", "skops")


def run(job: Context[TrainingConfig]) -> None:
    """Train, register, and publish the number of the very version that the registry returned; once in a job run."""
    for before in job.registry.versions(job.config.model_name):
        if before.tags.get("trained_in") == job.config.run_id:
            platform.set_task_value("model_version", str(before.number))
            job.log.info("%s was registered by this run before", before)
            return
    as_of, policy = job.config.as_of, job.use_case.policy
    train_until = splits.windows(as_of, policy).train_until
    rows = _rows(job, train_until)
    pipeline = fit(job, rows)
    digest = joblib.hash(pipeline)
    tags = _tags(job, train_until, digest)
    with job.registry.run(job.config.experiment, f"training {as_of:%Y-%m-%d}", tags):
        inputs = _matured.features_of(rows, job.use_case)
        metrics = measure(rows[_matured.LABEL], pipeline.predict_proba(inputs)[:, 1])
        job.registry.log(job.config.model_dump(mode="json"), {"rows": len(rows), "train_auc": metrics.auc}, {})
        version = job.registry.register(
            job.config.model_name,
            pipeline,
            inputs.head(5),
            trusted_types=job.use_case.model.trusted_types,
            requirements=[f"{name}=={importlib.metadata.version(name)}" for name in _PACKAGES],
            tags=tags,
        )
    platform.set_task_value("model_version", str(version.number))
    job.log.info("%s registered: %d rows, model digest %s", version, len(rows), digest[:12])


def fit(job: Context[TrainingConfig], rows: pd.DataFrame) -> Pipeline:
    """Fit on one thread: with another number of threads the same data gives another fitted state."""
    pipeline = job.use_case.model.build({})
    with threadpool_limits(limits=1):
        return pipeline.fit(_matured.features_of(rows, job.use_case), rows[_matured.LABEL].astype("int64"))


def _rows(job: Context[TrainingConfig], train_until: datetime) -> pd.DataFrame:
    early = _matured.between(job.data.read("features"), None, train_until)
    rows = _matured.fetch(_matured.labelled(early, job.data, job.use_case, job.config.as_of), job.use_case)
    classes = rows[_matured.LABEL].nunique()
    if classes != 2:
        what = "no matured label" if classes == 0 else f"only the label {rows[_matured.LABEL].iloc[0]:.0f}"
        raise DataError(
            f"{what} among {len(rows)} rows before {train_until:%Y-%m-%d}: land more days, or train with a later as_of"
        )
    return rows


def _tags(job: Context[TrainingConfig], train_until: datetime, digest: str) -> Mapping[str, str]:
    return {
        "model_digest": digest,
        "trained_until": train_until.isoformat(),
        "trained_as_of": job.config.as_of.isoformat(),
        "trained_by": platform.identity(),
        "trained_in": job.config.run_id,
        "features_version": str(job.data.version("features")),
    }


main = task(run)
