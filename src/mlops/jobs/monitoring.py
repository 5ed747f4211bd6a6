"""Watch the model: quality where labels have come, drift, alerts, and whether retraining is due."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

import pandas as pd

from mlops.context import task
from mlops.contract import DataError, Decision
from mlops.data import table_schemas
from mlops.modeling import splits
from mlops.modeling.splits import Span
from mlops.monitoring import alerts, history, retraining, store
from mlops.monitoring import quality as estimates
from mlops.monitoring.alerts import Alert
from mlops.monitoring.drift import JUDGEMENT_COLUMNS, WEEK
from mlops.monitoring.quality import Quality
from mlops.monitoring.store import Job, to_naive
from mlops.platform import profiling, runtime
from mlops.platform.registry import Version
from mlops.reports.model_life import ModelLife, render_page

_TABLES = ("counts", "metrics", "drift", "decisions", "alerts")


def run(job: Job) -> None:
    """Write metrics, counts, drift, decisions and alerts of the newest window, publish task value `retraining_due`.

    A run as of a moment in the past sees what was there then, judges the version that served then, and starts nothing.
    """
    champion, first = store.find_champions(job)
    table_schemas.create_tables(job.own, *_TABLES)
    policy, as_of = job.use_case.policy, to_naive(job.config.as_of)
    window = splits.matured_window(job.config.as_of, policy)
    weeks = store.weeks_to_count(job, window.start)
    weeks_end = to_naive(weeks[-1] + WEEK)
    stored = store.load_history(job)
    past = history.select_past(stored, as_of, weeks_end)
    # Read once: every version costs a call, and nothing here adds one.
    versions = job.registry.list_versions(job.config.model_name)
    since = window.start - timedelta(days=window.start.weekday())
    predicted = store.load_predictions(job, since, store.load_first(job, champion, first))
    found, rows = _measure_quality(job, predicted, window)
    usual = alerts.find_usual(past["metrics"], window.start, policy)
    wrong = found[0].state != "judged" or alerts.of_labels(found[0], usual, policy).firing
    decision = _decide_retraining(job, champion, versions, None if wrong else found[0].calibration_gap)
    store.count_weeks(job, weeks, stored["counts"]["week"], predicted)
    judged = store.evaluate_weeks(job, weeks, past["drift"])
    findings = [
        *alerts.find_drift(_of_window(past["drift"], judged, window), policy),
        *alerts.find_late_sources(store.newest_per_source(job, past["ledger"]), job.config.as_of, policy),
        *alerts.find_quality(found, usual, decision, policy),
    ]
    next_run = store.to_utc(history.find_next_run(stored, as_of))
    changed = alerts.update_alerts(store.known_alerts(stored["alerts"]), findings, job.config.as_of, next_run)
    written = {
        "metrics": rows,
        "decisions": _decision_rows(champion, decision),
        "alerts": [{"model_name": champion.model, **asdict(alert)} for alert in changed],
        "drift": judged.to_dict("records"),
    }
    fresh = store.save(job, stored, written)
    _training_start(job, decision, versions, next_run)
    known = past | {name: history.replace_rows(name, past[name], fresh[name]) for name in fresh}
    known = history.select_past(known, as_of, weeks_end)
    with job.registry.open_run(
        job.config.experiment, f"monitoring until {window.end:%Y-%m-%d}", {"version": str(champion)}
    ):
        job.registry.log_to_run({}, _finite_figures(found[0]), {"report.html": _render_report(job, known, versions)})
    _log_outcome(job, champion, found[0], decision, changed)
    if job.config.data_profiling == "on":
        _profile_predictions(job)


def _training_start(job: Job, decision: Decision, versions: Sequence[Version], next_run: datetime | None) -> None:
    """Say whether a training is to be started now, by the task value that the job's next task asks for."""
    answer = retraining.find_answer(job.config.as_of, _trainings(versions), next_run)
    if decision.due and answer:
        job.log.info("no training is started: %s", answer)
    runtime.set_task_value("retraining_due", str(decision.due and not answer).lower())


def _profile_predictions(job: Job) -> None:
    if runtime.home() is not None:
        job.log.info("data profiling is a service of the platform: there is none on a laptop")
    elif profiling.profile_table(f"{job.config.catalog}.{job.config.schema_name}.predictions", "event_time"):
        job.log.info("the platform profiles the table predictions from now on")


def _of_window(past: pd.DataFrame, judged: pd.DataFrame, window: Span) -> pd.DataFrame:
    """Judgements on the weeks that end in the window or since, old and new."""
    rows = [row for part in (past, judged) for row in part[list(JUDGEMENT_COLUMNS)].to_dict("records")]
    together = pd.DataFrame(rows, columns=list(JUDGEMENT_COLUMNS))
    return together[together["week"] > to_naive(window.start - WEEK)]


def _render_report(job: Job, known: dict[str, pd.DataFrame], versions: Sequence[Version]) -> str:
    frames = {name: known[name] for name in ("metrics", "decisions", "alerts", "drift", "moves", "quarantine")}
    now = to_naive(job.config.as_of).to_pydatetime()
    then = [v for v in versions if "trained_as_of" in v.tags and _trainings([v])[0] <= job.config.as_of]
    told = [*store.load_verdicts(job, then)]
    life = ModelLife(job.config.model_name, job.use_case.question, now, verdicts=told, **frames)
    return render_page(life, job.use_case.policy)


def _finite_figures(quality: Quality) -> dict[str, float]:
    figures = {name: getattr(quality, name) for name in ("auc", "log_loss", "calibration_gap", "unreported")}
    return {name: value for name, value in figures.items() if math.isfinite(value)}


def _measure_quality(job: Job, predicted: pd.DataFrame, window: Span) -> tuple[list[Quality], list[dict[Any, Any]]]:
    """Quality of the matured window and its slices, then what is expected of the days since; and their rows."""
    policy = job.use_case.policy
    matured, since = (
        predicted[(predicted["event_time"] >= to_naive(a)) & (predicted["event_time"] < to_naive(b))]
        for a, b in ((window.start, window.end), (window.end, job.config.as_of))
    )
    if matured.empty:
        raise DataError(
            f"no prediction of {window.start:%Y-%m-%d}..{window.end:%Y-%m-%d} is there yet: run the job 'inference'"
        )
    found = list(estimates.measure_slices(matured, window.start, window.end, policy, due=True))
    rows = [_metrics_row(job, quality, matured) for quality in found]
    if found[0].state == "judged" and matured["day"].nunique() > 1 and matured["first"].notna().all():
        rows[0] |= _compare_with_first(matured[matured["label"].notna()])
    if len(since):
        open_ = next(estimates.measure_slices(since, window.end, job.config.as_of, policy, due=False))
        rows.append(_metrics_row(job, open_, since))
    return found, rows


def _metrics_row(job: Job, quality: Quality, rows: pd.DataFrame) -> dict[Any, Any]:
    figures = asdict(quality)
    key = {"window_start": figures.pop("start"), "window_end": figures.pop("end")}
    version = int(rows["model_version"].mode().iloc[0])
    return {"model_name": job.config.model_name, **key, "model_version": version, **_NO_FIRST, **figures}


_NO_FIRST = dict.fromkeys(("first_auc", "first_log_loss", "saved", "saved_low", "saved_high"), estimates.NAN)


def _compare_with_first(rows: pd.DataFrame) -> dict[str, float]:
    other = estimates.compare_models(rows["label"], rows["prediction"], rows["first"], rows["day"])
    saved = {"saved": other.log_loss_saved, "saved_low": other.low, "saved_high": other.high}
    return {"first_auc": other.auc, "first_log_loss": other.log_loss, **saved}


def _decide_retraining(job: Job, champion: Version, versions: Sequence[Version], gap: float | None) -> Decision:
    before = [moment for moment in _trainings(versions) if moment < job.config.as_of]
    return retraining.decide_retraining(
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


def _decision_rows(champion: Version, decision: Decision) -> list[dict[Any, Any]]:
    model = {"model_name": champion.model, "model_version": champion.number}
    return [
        {**model, "rule": r.name, "fired": not r.passed, "value": r.value, "limit": r.limit, "reason": r.reason}
        for r in decision.rules
    ]


def _log_outcome(job: Job, champion: Version, whole: Quality, decision: Decision, changed: Sequence[Alert]) -> None:
    loss = f"log-loss {whole.log_loss:.4f} (expected {whole.expected_log_loss:.4f})"
    said = f"AUC {whole.auc:.4f}, {loss}, calibration gap {whole.calibration_gap:+.4f}"
    job.log.info("%s: %s on %d matured rows", champion, said if whole.state == "judged" else "on hold", whole.labelled)
    for alert in changed:
        state = "resolved" if alert.resolved else f"{alert.severity} to {alert.owner}"
        job.log.info("%s: %s %s: %s", state, alert.rule, alert.subject, alert.evidence)
    reasons = "; ".join(f"{rule.name}: {rule.reason}" for rule in decision.rules)
    job.log.info("retraining %s: %s", "due" if decision.due else "not due", reasons)


main = task(run)
