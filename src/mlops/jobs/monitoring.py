"""Watch the model: quality where labels have come, drift, alerts, and whether retraining is due."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

import pandas as pd

from mlops.adapters import platform, profiling
from mlops.adapters.registry import Version
from mlops.contract import DataError, Decision, ModelError
from mlops.jobs import _layout, _watch
from mlops.jobs._champion import serving
from mlops.jobs._launch import task
from mlops.jobs._watch import Job, naive
from mlops.lifecycle import alerts, estimates, retraining, splits
from mlops.lifecycle.alerts import Alert
from mlops.lifecycle.drift import JUDGED, WEEK
from mlops.lifecycle.estimates import Quality
from mlops.lifecycle.report import Life, page
from mlops.lifecycle.splits import Span

_TABLES = ("counts", "metrics", "drift", "decisions", "alerts", "audit")


def run(job: Job) -> None:
    """Write metrics, counts, drift, decisions and alerts of the newest window, publish task value `retraining_due`."""
    champion = serving(job)
    if champion is None:
        raise ModelError(f"{job.config.model_name} has no champion yet: there is nothing to monitor")
    _layout.create(job.own, *_TABLES)
    policy = job.use_case.policy
    window = splits.matured_window(job.config.as_of, policy)
    weeks = _watch.weeks(job, window.start)
    # Read once: every version costs a call, and nothing here adds one.
    versions = job.registry.versions(job.config.model_name)
    first = _watch.first_champion(versions)
    past = _watch.past(job)
    since = window.start - timedelta(days=window.start.weekday())
    predicted = _watch.predictions(job, since, None if first == champion else first)
    found, rows = _quality(job, predicted, window)
    decision = _decide(job, champion, versions, found[0].calibration_gap if found[0].state == "judged" else None)
    _watch.count(job, weeks, past["counts"]["week"].iloc[0], predicted)
    judged = _watch.judged(job, weeks, past["drift"])
    findings = [
        *alerts.of_drift(_of_window(past["drift"], judged, window), policy),
        *alerts.of_feeds(_watch.newest(job, past["ledger"]), job.config.as_of, policy),
        *alerts.of_quality(found, _usual(past["metrics"], window.start), decision, policy),
    ]
    changed = alerts.update(_watch.open_alerts(past["alerts"]), findings, job.config.as_of)
    written: dict[str, list[dict[Any, Any]]] = {
        "metrics": rows,
        "decisions": _rules(champion, decision),
        "alerts": [{"model_name": champion.model, **asdict(alert)} for alert in changed],
        "drift": judged.to_dict("records"),
    }
    known = {**past, **_watch.keep(job, past, written)}
    platform.set_task_value("retraining_due", str(decision.due).lower())
    with job.registry.run(job.config.experiment, f"monitoring until {window.end:%Y-%m-%d}", {"version": str(champion)}):
        job.registry.log({}, _finite(found[0]), {"report.html": _report(job, known, versions)})
    _tell(job, champion, found[0], decision, changed)
    if job.config.data_profiling == "on":
        _profile(job)


def _profile(job: Job) -> None:
    if platform.home() is not None:
        job.log.info("data profiling is a service of the platform: there is none on a laptop")
    elif profiling.profile(f"{job.config.catalog}.{job.config.schema_name}.predictions", "event_time"):
        job.log.info("the platform profiles the table predictions from now on")


def _of_window(past: pd.DataFrame, judged: pd.DataFrame, window: Span) -> pd.DataFrame:
    """Judgements on the weeks that end in the window or since, old and new."""
    rows = [row for part in (past, judged) for row in part[list(JUDGED)].to_dict("records")]
    together = pd.DataFrame(rows, columns=list(JUDGED))
    return together[together["week"] > naive(window.start - WEEK)]


def _report(job: Job, known: dict[str, pd.DataFrame], versions: Sequence[Version]) -> str:
    frames = {name: known[name] for name in ("metrics", "decisions", "alerts", "drift", "moves", "quarantine")}
    now = naive(job.config.as_of).to_pydatetime()
    life = Life(job.config.model_name, job.use_case.question, now, verdicts=_watch.verdicts(job, versions), **frames)
    return page(life, job.use_case.policy)


def _finite(quality: Quality) -> dict[str, float]:
    figures = {name: getattr(quality, name) for name in ("auc", "log_loss", "calibration_gap", "unreported")}
    return {name: value for name, value in figures.items() if math.isfinite(value)}


def _quality(job: Job, predicted: pd.DataFrame, window: Span) -> tuple[list[Quality], list[dict[Any, Any]]]:
    """Quality of the matured window and its slices, then what is expected of the days since; and their rows."""
    policy = job.use_case.policy
    matured, since = (
        predicted[(predicted["event_time"] >= naive(a)) & (predicted["event_time"] < naive(b))]
        for a, b in ((window.start, window.end), (window.end, job.config.as_of))
    )
    if matured.empty:
        raise DataError(
            f"no prediction of {window.start:%Y-%m-%d}..{window.end:%Y-%m-%d} is there yet: run the job 'inference'"
        )
    found = list(estimates.qualities(matured, window.start, window.end, policy, due=True))
    rows = [_row(job, quality, matured) for quality in found]
    if found[0].state == "judged" and matured["day"].nunique() > 1:
        rows[0] |= _first(matured[matured["label"].notna()])
    if len(since):
        open_ = next(estimates.qualities(since, window.end, job.config.as_of, policy, due=False))
        rows.append(_row(job, open_, since))
    return found, rows


def _row(job: Job, quality: Quality, rows: pd.DataFrame) -> dict[Any, Any]:
    figures = asdict(quality)
    key = {"window_start": figures.pop("start"), "window_end": figures.pop("end")}
    version = int(rows["model_version"].mode().iloc[0])
    return {"model_name": job.config.model_name, **key, "model_version": version, **_NO_FIRST, **figures}


_NO_FIRST = dict.fromkeys(("first_auc", "first_log_loss", "saved", "saved_low", "saved_high"), estimates.NAN)


def _first(rows: pd.DataFrame) -> dict[str, float]:
    other = estimates.beside(rows["label"], rows["prediction"], rows["first"], rows["day"])
    saved = {"saved": other.log_loss_saved, "saved_low": other.low, "saved_high": other.high}
    return {"first_auc": other.auc, "first_log_loss": other.log_loss, **saved}


def _decide(job: Job, champion: Version, versions: Sequence[Version], gap: float | None) -> Decision:
    trainings = [v.tags["trained_as_of"] for v in versions if "trained_as_of" in v.tags]
    before = [moment for moment in map(datetime.fromisoformat, trainings) if moment < job.config.as_of]
    return retraining.decide(
        calibration_gap=gap,
        trained_until=datetime.fromisoformat(champion.tags["trained_until"]),
        last_training=max(before, default=None),
        as_of=job.config.as_of,
        policy=job.use_case.policy,
    )


def _usual(metrics: pd.DataFrame, start: datetime) -> dict[str, list[float]]:
    """How far each slice's gap lay from its window's, in the judged windows before."""
    judged = metrics[(metrics["state"] == "judged") & (metrics["window_end"] <= naive(start))]
    whole = judged[judged["slice"] == ""].set_index("window_start")["calibration_gap"]
    distances = judged["calibration_gap"] - judged["window_start"].map(whole)
    return {str(name): list(part) for name, part in distances.groupby(judged["slice"])}


def _rules(champion: Version, decision: Decision) -> list[dict[Any, Any]]:
    model = {"model_name": champion.model, "model_version": champion.number}
    return [
        {**model, "rule": r.name, "fired": not r.passed, "value": r.value, "limit": r.limit, "reason": r.reason}
        for r in decision.rules
    ]


def _tell(job: Job, champion: Version, whole: Quality, decision: Decision, changed: Sequence[Alert]) -> None:
    loss = f"log-loss {whole.log_loss:.4f} (expected {whole.expected_log_loss:.4f})"
    said = f"AUC {whole.auc:.4f}, {loss}, calibration gap {whole.calibration_gap:+.4f}"
    job.log.info("%s: %s on %d matured rows", champion, said if whole.state == "judged" else "on hold", whole.labelled)
    for alert in changed:
        state = "resolved" if alert.resolved else f"{alert.severity} to {alert.owner}"
        job.log.info("%s: %s %s: %s", state, alert.rule, alert.subject, alert.evidence)
    reasons = "; ".join(f"{rule.name}: {rule.reason}" for rule in decision.rules)
    job.log.info("retraining %s: %s", "due" if decision.due else "not due", reasons)


main = task(run)
