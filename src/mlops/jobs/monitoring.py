"""Task monitoring: measure quality and drift, update alerts, and decide whether retraining is due."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import pandas as pd

from mlops.context import task
from mlops.contract import DataError, Decision
from mlops.contract.model_version import Version, require_fact
from mlops.data import endpoint_requests, scoring, table_schemas
from mlops.data.labels import describe_early
from mlops.modeling import splits
from mlops.modeling.splits import Span
from mlops.monitoring import alerts, history, model_versions, retraining, store, week_counts
from mlops.monitoring.alerts import Alert, Finding
from mlops.monitoring.drift import JUDGEMENT_COLUMNS, WEEK
from mlops.monitoring.predicted_rows import Predicted, PredictedRows
from mlops.monitoring.predicted_sums import load_sums
from mlops.monitoring.quality import NAN, ModelComparison, Quality
from mlops.monitoring.store import Baseline, Job, to_naive
from mlops.platform import profiling, run_links, runtime
from mlops.questions import question_of
from mlops.release import audit_log
from mlops.release.version_record import AuditRow
from mlops.reports.model_life import ModelLife, render_page

_TABLES = ("counts", "metrics", "drift", "decisions", "alerts")


@dataclass(frozen=True)
class _Read:
    """What a run reads before it measures."""

    stored: dict[str, pd.DataFrame]
    """As `store.load_history` returns it."""
    counts: pd.DataFrame
    """Of the weeks that limits look at, as `week_counts.query_weeks` says."""
    unscored: tuple[int, int]
    """As `store.count_unscored` returns it."""
    broken: dict[str, int]
    """As `scoring.count_broken` returns it."""
    versions: dict[str, int]
    """As `store.find_input_versions` returns it."""
    baseline: Baseline


def run(job: Job) -> None:
    """Write metrics, counts, drift, decisions and alerts of the newest window; set the task value `retraining_due`.

    A run as of a moment in the past reads what was there then, judges the version that served then and starts no
    training.
    """
    audit = audit_log.load_rows(job)
    champion, first = store.find_champions(job, audit)
    table_schemas.create_tables(job.own, job.use_case, *_TABLES)
    policy, as_of = job.use_case.policy, to_naive(job.config.as_of)
    window = splits.find_matured_window(job.config.as_of, policy)
    weeks = week_counts.list_weeks(job, window.start)
    weeks_end = to_naive(weeks[-1] + WEEK)
    read = _read_at_once(job, audit, window, weeks, (champion, first))
    past = history.select_past(read.stored, as_of, weeks_end)
    trainings = model_versions.list_trainings(job, audit)
    start = _find_start(window, week_counts.find_uncounted(weeks, read.counts), first)
    predicted = _load_predicted(job, start, window, read)
    qualities, rows = _measure_quality(job, predicted, window)
    whole = qualities[0]
    usual = alerts.find_usual(past["metrics"], window.start, policy)
    # Labels that are late or cannot be right must not start a training on them.
    labels = alerts.check_labels(whole, usual, policy)
    decision = _decide_retraining(job, champion, trainings.values(), whole, labels.evidence if labels.firing else "")
    judged = week_counts.judge_weeks(job, _count_weeks(job, weeks, read.counts, predicted), past["drift"])
    findings = [
        *alerts.find_drift(_of_window(past["drift"], judged, window), policy),
        *alerts.find_late_sources(store.newest_per_source(job, past["ledger"]), job.config.as_of, policy),
        *_find_unscored(job, window, read),
        *alerts.find_quality(question_of(job.use_case.label).names, qualities, usual, decision, policy),
    ]
    next_run = store.to_utc(history.find_next_run(read.stored, as_of))
    changed = alerts.update_alerts(store.parse_alerts(read.stored["alerts"]), findings, job.config.as_of, next_run)
    alert_rows = [{"model_name": champion.model, **asdict(alert)} for alert in changed]
    written = {"metrics": rows, "decisions": _decision_rows(champion, decision), "alerts": alert_rows}
    fresh = store.save(job, read.stored, written | {"drift": judged.to_dict("records")})
    _training_start(job, decision, trainings.values(), next_run)
    known = past | {name: history.replace_rows(name, past[name], fresh[name]) for name in fresh}
    known = history.select_past(known, as_of, weeks_end)
    page = _render_report(job, known, audit, trainings, predicted.find_unjudged(window.start, window.end))
    _log_run(job, champion, window, read.versions, figures=_finite_figures(job, whole), page=page)
    _log_outcome(job, champion, whole, decision, changed)
    _profile_predictions(job)


def _find_unscored(job: Job, window: Span, read: _Read) -> list[Finding]:
    return [
        alerts.find_unscored(*read.unscored, job.use_case.policy),
        alerts.find_broken(read.broken[scoring.SOURCE], window.start),
        alerts.find_broken_requests(read.broken[endpoint_requests.SOURCE], window.start),
    ]


def _count_weeks(job: Job, weeks: Sequence[datetime], counts: pd.DataFrame, predicted: Predicted) -> pd.DataFrame:
    """Return the counts of all weeks: count those that `counts` lacks, and write them."""
    uncounted = week_counts.find_uncounted(weeks, counts)
    made = [week_counts.count_weeks(job, uncounted, predicted)] if uncounted else []
    filled = [each for each in (counts, *made) if len(each)]
    return pd.concat(filled, ignore_index=True) if filled else counts


def _training_start(job: Job, decision: Decision, trainings: Iterable[datetime], next_run: datetime | None) -> None:
    """Set the task value `retraining_due`, by which the next task of the job starts a training or does not."""
    answer = retraining.find_answer(job.config.as_of, list(trainings), next_run)
    if decision.due and answer:
        job.log.info("no training is started: %s", answer)
    runtime.set_task_value("retraining_due", str(decision.due and not answer).lower())


def _profile_predictions(job: Job) -> None:
    if job.config.data_profiling != "on":
        return
    if runtime.home() is not None:
        job.log.info("data profiling is a service of the platform: the laptop skips it")
        return
    prediction, type_, _ = question_of(job.use_case.label).score_columns[0]
    if profiling.profile_table(
        job.own.full_name("predictions"), moment="event_time", version="model_version", prediction=prediction,
        of_classes=type_ == "string",
    ):  # fmt: skip
        job.log.info("the platform profiles the table predictions from now on")


def _of_window(past: pd.DataFrame, judged: pd.DataFrame, window: Span) -> pd.DataFrame:
    """Select the judgements, old and new, on weeks that end within the window or after it."""
    rows = [row for part in (past, judged) for row in part[list(JUDGEMENT_COLUMNS)].to_dict("records")]
    judgements = pd.DataFrame(rows, columns=list(JUDGEMENT_COLUMNS))
    return judgements[judgements["week"] > to_naive(window.start - WEEK)]


def _read_at_once(
    job: Job, audit: Sequence[AuditRow], window: Span, weeks: Sequence[datetime], served: tuple[Version, AuditRow]
) -> _Read:
    """Read what needs no other answer, all at once; `served` is what `store.find_champions` returned."""
    with ThreadPoolExecutor() as pool:
        baseline = pool.submit(store.load_baseline, job, *served)
        counts = pool.submit(lambda: week_counts.query_weeks(job, weeks).toPandas())
        unscored = pool.submit(store.count_unscored, job, window, served[1])
        sources = scoring.SOURCE, endpoint_requests.SOURCE
        broken = pool.submit(scoring.count_broken, job.own, window.start, job.config.as_of, *sources)
        versions = pool.submit(store.find_input_versions, job)
        stored = store.load_history(job, audit)
        return _Read(stored, counts.result(), unscored.result(), broken.result(), versions.result(), baseline.result())


def _find_start(window: Span, uncounted: Sequence[datetime], first: AuditRow) -> datetime:
    """Find the Monday of the window's first day, or of an earlier week that may have predictions to count."""
    since = first.trained_as_of
    missed = [week for week in uncounted if since is None or week + WEEK > since]
    return min([window.start - timedelta(days=window.start.weekday()), *missed])


def _load_predicted(job: Job, start: datetime, window: Span, read: _Read) -> Predicted:
    """Load the predictions for events since a moment.

    Rows, or only sums if they are more than `Policy.max_collected_rows`.
    """
    policy = job.use_case.policy
    # Rows of later days, of requests and of earlier outcomes come on top, so they are counted as they come.
    if read.unscored[0] <= policy.max_collected_rows:
        rows = store.load_predictions(job, start, read.baseline, read.versions)
        if rows is not None:
            job.log.info("predictions of %d entities came to the driver", len(rows))
            return PredictedRows(rows, question_of(job.use_case.label), policy)
    job.log.info("the rows are more than max_collected_rows, %d: Spark sums them up", policy.max_collected_rows)
    return load_sums(job, start, window, read.baseline, read.versions)


def _render_report(
    job: Job,
    known: dict[str, pd.DataFrame],
    audit: Sequence[AuditRow],
    trainings: Mapping[int, datetime],
    unjudged: Sequence[str],
) -> str:
    frames = {name: known[name] for name in ("metrics", "decisions", "alerts", "drift", "moves", "quarantine")}
    now = to_naive(job.config.as_of).to_pydatetime()
    # Older verdicts are left out of the page, as all that is older: each one is a download.
    since = job.config.as_of - history.find_horizon(job.use_case.policy)
    trained = [number for number, moment in trainings.items() if since <= moment <= job.config.as_of]
    verdicts = [*model_versions.load_verdicts(job, audit, trained)]
    life = ModelLife(
        job.config.model_name, job.use_case.question, question_of(job.use_case.label), now, verdicts=verdicts,
        unjudged=unjudged, **frames,
    )  # fmt: skip
    return render_page(life, job.use_case.policy)


def _log_run(
    job: Job,
    champion: Version,
    window: Span,
    versions: Mapping[str, int],
    *,
    figures: Mapping[str, float],
    page: str,
) -> None:
    name = f"monitoring until {window.end:%Y-%m-%d}"
    tables = {
        (job.own if table == "predictions" else job.data).full_name(table): version
        for table, version in versions.items()
    }
    with job.registry.open_run(job.config.experiment, name, {"version": str(champion)}):
        job.registry.log_tables(tables, "monitoring")
        linked = job.registry.link_model(champion)
        pages = {"report.html": run_links.add_links(page, champion)}
        job.registry.log_to_run({}, figures, pages, model_id=linked)


def _finite_figures(job: Job, quality: Quality) -> dict[str, float]:
    names = question_of(job.use_case.label).names
    figures = {names.ranking: quality.ranking, names.loss: quality.loss, names.gap: quality.gap}
    figures |= {"unreported": quality.unreported, **quality.others}
    return {name: value for name, value in figures.items() if math.isfinite(value)}


def _measure_quality(job: Job, predicted: Predicted, window: Span) -> tuple[list[Quality], list[dict[Any, Any]]]:
    """Measure the matured window, its slices and, by expectation only, the days since.

    Returns:
        Quality of the window and of its slices, and rows of the table `metrics`, which also hold the days since.
    """
    qualities = predicted.measure(window.start, window.end, due=True)
    if not qualities:
        raise DataError(
            f"there is no prediction for events of {window.start:%Y-%m-%d} to {window.end:%Y-%m-%d}: "
            "run the job 'inference'"
        )
    early = predicted.count_early(window.start, window.end)
    early_reason = describe_early(early, qualities[0].labelled, job.use_case)
    qualities[0] = replace(qualities[0], implausible=early_reason or qualities[0].implausible)
    rows = [_metrics_row(job, quality, predicted.usual_version(window.start, window.end)) for quality in qualities]
    if qualities[0].state == "judged" and (comparison := predicted.compare(window.start, window.end)):
        rows[0] |= _comparison_columns(comparison)
    since = (window.end, job.config.as_of)
    rows += [_metrics_row(job, each, predicted.usual_version(*since)) for each in predicted.measure(*since, due=False)]
    return qualities, rows


def _metrics_row(job: Job, quality: Quality, version: int) -> dict[Any, Any]:
    unstored = {"others", "words"}
    figures = {name: value for name, value in vars(quality).items() if name not in unstored} | dict(quality.others)
    key = {"window_start": figures.pop("start"), "window_end": figures.pop("end")}
    # A window that is not judged has no figures, and no comparison with the first champion.
    unknown = {column.field: NAN for column in question_of(job.use_case.label).metric_columns()}
    return {"model_name": job.config.model_name, **key, "model_version": version, **unknown, **figures}


def _comparison_columns(comparison: ModelComparison) -> dict[str, float]:
    return {
        "baseline_ranking": comparison.ranking,
        "baseline_loss": comparison.loss,
        "loss_gain": comparison.gain,
        "loss_gain_low": comparison.low,
        "loss_gain_high": comparison.high,
    }


def _decide_retraining(
    job: Job, champion: Version, trainings: Iterable[datetime], whole: Quality, label_problem: str
) -> Decision:
    before = [moment for moment in trainings if moment < job.config.as_of]
    return retraining.decide_retraining(
        names=question_of(job.use_case.label).names,
        gap=None if label_problem or whole.state != "judged" else whole.gap,
        gap_reference=whole.gap_reference,
        trained_until=require_fact(champion.facts.trained_until, champion),
        last_training=max(before, default=None),
        as_of=job.config.as_of,
        policy=job.use_case.policy,
        label_problem=label_problem,
    )


def _decision_rows(champion: Version, decision: Decision) -> list[dict[Any, Any]]:
    model = {"model_name": champion.model, "model_version": champion.number}
    return [
        {**model, "rule": r.name, "fired": not r.passed, "value": r.value, "limit": r.limit, "reason": r.reason}
        for r in decision.rules
    ]


def _log_outcome(job: Job, champion: Version, whole: Quality, decision: Decision, changed: Sequence[Alert]) -> None:
    text = whole.words if whole.state == "judged" else "on hold"
    job.log.info("%s: %s on %d matured rows", champion, text, whole.labelled)
    for alert in changed:
        state = "resolved" if alert.resolved else f"{alert.severity} to {alert.owner}"
        job.log.info("%s: %s %s: %s", state, alert.rule, alert.subject, alert.evidence)
    reasons = "; ".join(f"{rule.name}: {rule.reason}" for rule in decision.rules)
    job.log.info("retraining %s: %s", "due" if decision.due else "not due", reasons)


main = task(run)
