"""Measure the champion on the newest window of matured labels, and decide whether retraining is due."""

from __future__ import annotations

from datetime import datetime

from mlops.adapters import platform
from mlops.adapters.registry import Version
from mlops.config import MonitoringConfig
from mlops.contract import DataError, Decision, Metrics, ModelError
from mlops.jobs import _layout, _matured
from mlops.jobs._champion import CHAMPION
from mlops.jobs._launch import Context, task
from mlops.lifecycle import retraining, splits
from mlops.lifecycle.drift import drift
from mlops.lifecycle.evaluation import measure
from mlops.lifecycle.splits import Span


def run(job: Context[MonitoringConfig]) -> None:
    """Write the window's metrics and one drift figure per feature, publish task value `retraining_due`."""
    champion = job.registry.holder(job.config.model_name, CHAMPION)
    if champion is None:
        raise ModelError(f"{job.config.model_name} has no champion yet: there is nothing to monitor")
    _layout.create(job.own, "metrics", "drift")
    window = splits.matured_window(job.config.as_of, job.use_case.policy)
    metrics = _quality(job, window)
    decision = _decide(job, champion, metrics)
    _write(job, champion, window, metrics, decision)
    platform.set_task_value("retraining_due", str(decision.due).lower())
    job.log.info("%s: AUC %.4f, log-loss %.4f, calibration gap %+.4f on %d matured rows", champion, metrics.auc,
                 metrics.log_loss, metrics.calibration_gap, metrics.rows)  # fmt: skip
    job.log.info("retraining %s: %s", "due" if decision.due else "not due", _reason(decision))


def _quality(job: Context[MonitoringConfig], window: Span) -> Metrics:
    scored = _matured.between(job.own.read("predictions"), window.start, window.end)
    rows = _matured.fetch(_matured.labelled(scored, job.data, job.use_case, job.config.as_of), job.use_case)
    if rows.empty:
        raise DataError(
            f"no prediction of {window.start:%Y-%m-%d}..{window.end:%Y-%m-%d} has a label yet: score, land, wait"
        )
    newest = rows.drop_duplicates([*job.use_case.entity.key], keep="last")
    return measure(newest[_matured.LABEL], newest["prediction"])


def _decide(job: Context[MonitoringConfig], champion: Version, metrics: Metrics) -> Decision:
    trainings = [v.tags["trained_as_of"] for v in job.registry.versions(champion.model) if "trained_as_of" in v.tags]
    return retraining.decide(
        calibration_gap=metrics.calibration_gap,
        trained_until=datetime.fromisoformat(champion.tags["trained_until"]),
        last_training=datetime.fromisoformat(max(trainings)),
        as_of=job.config.as_of,
        policy=job.use_case.policy,
    )


def _drift(job: Context[MonitoringConfig], window: Span) -> dict[str, float]:
    names = [feature.name for feature in job.use_case.features]
    baseline = splits.baseline_window(job.config.as_of, job.use_case.policy)
    rows = job.data.read("features").select("event_time", *names)
    reference, current = (_matured.between(rows, s.start, s.end).toPandas()[names] for s in (baseline, window))
    return dict(drift(reference, current))


def _write(job: Context[MonitoringConfig], champion: Version, window: Span, m: Metrics, decision: Decision) -> None:
    key = (champion.model, window.start, window.end)
    figures = (m.rows, m.positives, m.auc, m.log_loss, m.skill, m.calibration_gap)
    row = (*key, champion.number, *figures, str(decision.due).lower(), _reason(decision), job.config.as_of)
    drifted = [(*key, column, psi, job.config.as_of) for column, psi in _drift(job, window).items()]
    grain = ("model_name", "window_start", "window_end")
    job.own.merge("metrics", _layout.frame(job.own, "metrics", [row]), grain)
    job.own.merge("drift", _layout.frame(job.own, "drift", drifted), (*grain, "column"))
    with job.registry.run(job.config.experiment, f"monitoring until {window.end:%Y-%m-%d}", {"version": str(champion)}):
        job.registry.log({}, {"auc": m.auc, "log_loss": m.log_loss, "calibration_gap": m.calibration_gap}, {})


def _reason(decision: Decision) -> str:
    return "; ".join(f"{rule.name}: {rule.reason}" for rule in decision.rules)


main = task(run)
