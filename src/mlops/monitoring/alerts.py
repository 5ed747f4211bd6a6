"""Turn the findings of monitoring runs into alerts; an alert stays one alert until it is resolved."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Literal

import pandas as pd

from mlops.contract import Decision, Policy, resolve_limit
from mlops.monitoring.drift import ALL, ROWS, WEEK
from mlops.monitoring.quality import Quality
from mlops.questions import FigureNames

Severity = Literal["page", "ticket"]
"""page: somebody looks today; ticket: this week."""
OWNERS: Mapping[str, str] = {
    "silent": "data engineers",
    "volume": "data engineers",
    "missing": "data engineers",
    "labels": "data engineers",
    "unscored": "ML engineers",
    "broken": "data engineers",
    "drift": "data engineers",
    "slice": "data scientists",
    "calibration": "ML engineers",
    "bias": "ML engineers",
    "age": "ML engineers",
}
"""Owner of each rule's alerts; docs/explanation/monitoring.md says what each owner does."""


@dataclass(frozen=True)
class Finding:
    """The result of one rule for one subject in one run."""

    rule: str
    subject: str
    """Source, column or slice; "" for the model itself."""
    severity: Severity
    firing: bool
    evidence: str


@dataclass(frozen=True)
class Alert:
    """A rule that fires for a subject, from the first run that fired to the run that resolved it: one row."""

    rule: str
    subject: str
    severity: str
    owner: str
    evidence: str
    """Evidence of the last run in which it fired."""
    first_seen: datetime
    last_seen: datetime
    resolved: datetime | None = None


def update_alerts(
    alerts: Sequence[Alert], findings: Sequence[Finding], as_of: datetime, next_run: datetime | None = None
) -> tuple[Alert, ...]:
    """Return the alerts that a run adds, confirms or resolves; alerts without a finding in this run stay as they are.

    A run in the past changes only alerts that were open at its moment. An alert that it adds is resolved by the next
    run at the latest: that run judged later data, so the alert must not appear as open today.

    Args:
        alerts: all known alerts, resolved or not.
        findings: findings of the run, at most one per rule and subject.
        as_of: the moment of the run, UTC.
        next_run: the moment of the first run after it, UTC; None: this run is the newest.
    """
    began = sorted((alert for alert in alerts if alert.first_seen <= as_of), key=lambda alert: alert.first_seen)
    open_ = {(a.rule, a.subject): a for a in began if a.resolved is None or a.resolved >= as_of}
    changed = []
    for finding in findings:
        alert = open_.get((finding.rule, finding.subject))
        if finding.firing:
            changed.append(_confirm_alert(finding, alert, as_of, next_run))
        elif alert and alert.last_seen <= as_of and alert.resolved != as_of:
            changed.append(replace(alert, resolved=as_of))
    return tuple(changed)


def _confirm_alert(finding: Finding, alert: Alert | None, as_of: datetime, next_run: datetime | None) -> Alert:
    if alert and alert.last_seen > as_of:
        return alert
    first, resolved = (alert.first_seen, alert.resolved) if alert else (as_of, next_run)
    if resolved == as_of:
        resolved = next_run
    owner = OWNERS[finding.rule]
    return Alert(finding.rule, finding.subject, finding.severity, owner, finding.evidence, first, as_of, resolved)


def find_drift(judged: pd.DataFrame, policy: Policy) -> Iterator[Finding]:
    """Find volume, missing values and drift in the weeks of one window; drift only of columns that may page.

    Args:
        judged: judgements of `drift.judge_weeks`, the window's weeks only.
        policy: `paging`.
    """
    whole = judged[(judged["slice"] == ALL) & (judged["state"] != "hold")]
    for name, weeks in whole.groupby("column"):
        column = str(name)
        if column == ROWS:
            yield _worst_week(weeks, "volume", column, "rows", _describe_volume)
            continue
        yield _worst_week(weeks, "missing", column, "missing", _describe_missing)
        if column in policy.paging:
            yield _worst_week(weeks, "drift", column, "drift", _describe_drift)


def _worst_week(weeks: pd.DataFrame, rule: str, subject: str, state: str, words: Any) -> Finding:
    firing = weeks[weeks["state"] == state]
    row = (firing if len(firing) else weeks).sort_values(["psi", "week"]).iloc[-1]
    when = f"week of {pd.Timestamp(row['week']):%Y-%m-%d}"
    return Finding(rule, "" if subject == ROWS else subject, "page", len(firing) > 0, f"{when}: {words(row)}")


def _describe_volume(row: Any) -> str:
    return f"{row['rows']:,} rows; its usual weeks allow no fewer than {row['limit']:,.0f}, nor as many more"


def _describe_missing(row: Any) -> str:
    return f"share of missing values {row['missing']:+.3f} against the weeks before"


def _describe_drift(row: Any) -> str:
    return f"PSI {row['psi']:.3f} against the weeks before; its clean weeks allow {row['limit']:.3f}"


def find_late_sources(newest: Mapping[str, datetime | None], as_of: datetime, policy: Policy) -> Iterator[Finding]:
    """Find sources without new rows for longer than `policy.silence`.

    Args:
        newest: newest known-at moment per source, UTC; None: no row came yet.
        as_of: the moment of the run, UTC.
        policy: `silence`.
    """
    for source, moment in sorted(newest.items()):
        silent = moment is None or as_of - moment > policy.silence
        evidence = "nothing yet" if moment is None else f"nothing since {moment:%Y-%m-%d %H:%M} UTC"
        yield Finding("silent", source, "page", silent, f"{evidence}, as of {as_of:%Y-%m-%d %H:%M}")


def find_unscored(entities: int, unscored: int, policy: Policy) -> Finding:
    """Find a matured window in which too many entities have no prediction: its figures describe only the others.

    Args:
        entities: entities of the window with features whose prediction time is after the first champion's training.
        unscored: those of them without a prediction.
        policy: `max_unlabelled`, the share that may be missing.
    """
    share = unscored / entities if entities else 0.0
    evidence = f"{unscored:,} of {entities:,} entities have no prediction; {policy.max_unlabelled:.1%} is allowed"
    return Finding("unscored", "", "page", share > policy.max_unlabelled, evidence)


def find_broken(rows: int, since: datetime) -> Finding:
    """Find rows that could not be scored since a moment: they have no prediction, whatever their share is."""
    evidence = f"{rows:,} rows with features could not be scored since {since:%Y-%m-%d}; the table quarantine says why"
    return Finding("broken", "", "page", rows > 0, evidence)


def find_broken_requests(requests: int, since: datetime) -> Finding:
    """Find requests to the endpoint that could not be read since a moment: their quality is not measured."""
    evidence = f"{requests:,} requests could not be read since {since:%Y-%m-%d}; the table quarantine says why"
    return Finding("broken", "requests", "ticket", requests > 0, evidence)


@dataclass(frozen=True)
class Usual:
    """Figures of earlier judged windows, which overlap neither each other nor the current window."""

    offsets: Mapping[str, Sequence[float]] = field(default_factory=dict)
    """Per slice, its gap minus its window's gap, one per window, oldest first."""
    unlabelled: Sequence[float] = ()
    """Share of the reported outcomes without label, one per window, oldest first."""


def find_usual(metrics: pd.DataFrame, start: datetime, policy: Policy) -> Usual:
    """Collect the figures of earlier judged windows, going back from one window to the newest that ends before it.

    Args:
        metrics: rows of earlier runs: window_start, window_end (UTC without zone), slice, state and figures.
        start: first moment of the window to judge, UTC.
        policy: `drift_memory`, the largest number of windows.
    """
    judged = metrics[metrics["state"] == "judged"]
    whole = judged[judged["slice"] == ""].sort_values("window_end")
    end = pd.Timestamp(start).tz_localize(None)
    windows: list[dict[Any, Any]] = []
    for row in reversed(whole.to_dict("records")):
        if row["window_end"] <= end and len(windows) < policy.drift_memory:
            end = row["window_start"]
            windows.insert(0, row)
    offsets: dict[str, list[float]] = {}
    for window in windows:
        slices = judged[(judged["window_start"] == window["window_start"]) & (judged["slice"] != "")]
        for name, gap in zip(slices["slice"], slices["gap"], strict=True):
            offsets.setdefault(str(name), []).append(gap - window["gap"])
    shares = [_find_unlabelled(window["rows"], window["unreported"], window["labelled"]) for window in windows]
    return Usual(offsets, shares)


def _find_unlabelled(rows: int, unreported: float, labelled: int) -> float:
    reported = rows * (1 - unreported)
    return 1 - labelled / reported if reported else 0.0


def check_labels(whole: Quality, usual: Usual, policy: Policy) -> Finding:
    """Check the outcomes of a matured window: reported late, reported without label, or implausible.

    Args:
        whole: quality of all rows of the window.
        usual: `unlabelled`. Without an earlier window, up to half of the outcomes may have no label.
        policy: `max_unlabelled`; `missing_floor`.
    """
    late = f"{whole.unreported:.1%} of the outcomes are not reported; {policy.max_unlabelled:.1%} is allowed"
    if whole.unreported > policy.max_unlabelled:
        return Finding("labels", "", "page", True, late)
    empty = _find_unlabelled(whole.rows, whole.unreported, whole.labelled)
    allowed = max(usual.unlabelled) + policy.missing_floor if usual.unlabelled else 0.5
    if empty > allowed:
        evidence = f"{empty:.1%} of the reported outcomes carry no label; {allowed:.1%} is allowed"
        return Finding("labels", "", "page", True, evidence)
    if whole.implausible:
        return Finding("labels", "", "page", True, whole.implausible)
    return Finding("labels", "", "page", False, late)


def find_quality(
    names: FigureNames, qualities: Iterable[Quality], usual: Usual, decision: Decision, policy: Policy
) -> Iterator[Finding]:
    """Find faults of labels, of slices and of the retraining rules.

    Args:
        names: names of the figures of the kind of question.
        qualities: of the matured window: all rows first, then the slices.
        usual: figures of earlier windows.
        decision: the decision on retraining.
        policy: as `check_labels`; `slice_gap`, `slice_factor`.
    """
    whole, *slices = qualities
    yield check_labels(whole, usual, policy)
    for quality in slices:
        if "judged" == quality.state == whole.state and math.isfinite(quality.offset_error):
            wandering = resolve_limit(policy.slice_gap, whole.gap_reference)
            limit = policy.slice_factor * math.hypot(quality.offset_error, wandering)
            offset, before = slice_gap_offset(quality, whole), usual.offsets.get(quality.slice, ())
            yield _check_slice(names, quality.slice, offset, before, limit)
    for rule in decision.rules:
        if rule.value is not None and rule.limit is not None:
            name = names.gap_rule if rule.name == names.gap else rule.name
            # A rule that passes only because of the cool-down still has a bad figure, so its alert stays open.
            firing = not rule.passed or abs(rule.value) > rule.limit
            yield Finding(name, "", "ticket", firing, rule.reason)


def slice_gap_offset(quality: Quality, whole: Quality) -> float:
    """Return a slice's gap minus its window's gap; a change that moves all slices alike cancels out."""
    return quality.gap - whole.gap


def _check_slice(names: FigureNames, slice_: str, offset: float, usual: Sequence[float], limit: float) -> Finding:
    """Check whether a slice's offset lies outside of what its days and its earlier windows explain.

    The limit is `slice_factor` times the combination (root of the sum of squares) of two independent errors: the
    sampling error of days within the window (`offset_error`), and the variation between windows (`slice_gap`).
    """
    known = [old for old in usual if math.isfinite(old)]
    # Division by n + 1 shrinks the mean towards 0 while there are few windows. The newest offset is the second centre,
    # so that a lasting change pages for one window only.
    centre = min([sum(known) / (len(known) + 1), *known[-1:]], key=lambda candidate: abs(offset - candidate))
    reason = f"{names.gap_words} {offset:+.3f} off that of all rows, usually {centre:+.3f}"
    firing = abs(offset - centre) > limit
    return Finding("slice", slice_, "page", firing, f"{reason}; {limit:.3f} either way of that is allowed")


def weeks_of(start: datetime, end: datetime) -> tuple[datetime, ...]:
    """List the first moments, Monday 00:00 UTC, of the whole weeks that end in (start, end]."""
    monday = start.replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=start.weekday())
    return tuple(monday + n * WEEK for n in range((end - monday) // WEEK))
