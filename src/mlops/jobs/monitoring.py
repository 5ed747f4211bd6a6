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
from mlops.contract import DataError, Decision
from mlops.jobs import _layout, _watch
from mlops.jobs._launch import task
from mlops.jobs._watch import Job, naive
from mlops.lifecycle import alerts, estimates, history, retraining, splits
from mlops.lifecycle.alerts import Alert
from mlops.lifecycle.drift import JUDGED, WEEK
from mlops.lifecycle.estimates import Quality
from mlops.lifecycle.report import Life, page
from mlops.lifecycle.splits import Span

_TABLES = ("counts", "metrics", "drift", "decisions", "alerts")


def run(job: Job) -> None:
    """Write metrics, counts, drift, decisions and alerts of the newest window, publish task value `retraining_due`.

    A run as of a moment in the past sees what was there then, judges the version that served then, and starts nothing.
    """
    champion, first = _watch.find_champions(job)
    _layout.create(job.own, *_TABLES)
    policy, as_of = job.use_case.policy, naive(job.config.as_of)
    window = splits.matured_window(job.config.as_of, policy)
    weeks = _watch.weeks(job, window.start)
    weeks_end = naive(weeks[-1] + WEEK)
    stored = _watch.past(job)
    past = history.select_past(stored, as_of, weeks_end)
    # Read once: every version costs a call, and nothing here adds one.
    versions = job.registry.versions(job.config.model_name)
    since = window.start - timedelta(days=window.start.weekday())
    predicted = _watch.predictions(job, since, _watch.load_first(job, champion, first))
    found, rows = _quality(job, predicted, window)
    usual = alerts.find_usual(past["metrics"], window.start, policy)
    wrong = found[0].state != "judged" or alerts.of_labels(found[0], usual, policy).firing
    decision = _decide(job, champion, versions, None if wrong else found[0].calibration_gap)
    _watch.count(job, weeks, stored["counts"]["week"], predicted)
    judged = _watch.judged(job, weeks, past["drift"])
    findings = [
        *alerts.of_drift(_of_window(past["drift"], judged, window), policy),
        *alerts.of_feeds(_watch.newest(job, past["ledger"]), job.config.as_of, policy),
        *alerts.of_quality(found, usual, decision, policy),
    ]
    next_run = _watch.aware(history.find_next_run(stored, as_of))
    changed = alerts.update(_watch.known_alerts(stored["alerts"]), findings, job.config.as_of, next_run)
    written = {
        "metrics": rows,
        "decisions": _rules(champion, decision),
        "alerts": [{"model_name": champion.model, **asdict(alert)} for alert in changed],
        "drift": judged.to_dict("records"),
    }
    fresh = _watch.keep(job, stored, written)
    _start(job, decision, versions, next_run)
    known = past | {name: history.replace_rows(name, past[name], fresh[name]) for name in fresh}
    known = history.select_past(known, as_of, weeks_end)
    with job.registry.run(job.config.experiment, f"monitoring until {window.end:%Y-%m-%d}", {"version": str(champion)}):
        job.registry.log({}, _finite(found[0]), {"report.html": _report(job, known, versions)})
    _tell(job, champion, found[0], decision, changed)
    if job.config.data_profiling == "on":
        _profile(job)


def _start(job: Job, decision: Decision, versions: Sequence[Version], next_run: datetime | None) -> None:
    """Say whether a training is to be started now, by the task value that the job's next task asks for."""
    answer = retraining.find_answer(job.config.as_of, _trainings(versions), next_run)
    if decision.due and answer:
        job.log.info("no training is started: %s", answer)
    platform.set_task_value("retraining_due", str(decision.due and not answer).lower())


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
    then = [v for v in versions if "trained_as_of" in v.tags and _trainings([v])[0] <= job.config.as_of]
    told = [*_watch.verdicts(job, then)]
    life = Life(job.config.model_name, job.use_case.question, now, verdicts=told, **frames)
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
    if found[0].state == "judged" and matured["day"].nunique() > 1 and matured["first"].notna().all():
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
    before = [moment for moment in _trainings(versions) if moment < job.config.as_of]
    return retraining.decide(
        calibration_gap=gap,
        trained_until=datetime.fromisoformat(champion.tags["trained_until"]),
        last_training=max(before, default=None),
        as_of=job.config.as_of,
        policy=job.use_case.policy,
    )


def _trainings(versions: Sequence[Version]) -> list[datetime]:
    """Moments as of which versions were trained."""
    told = [version.tags["trained_as_of"] for version in versions if "trained_as_of" in version.tags]
    return [datetime.fromisoformat(moment) for moment in told]


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
