"""What somebody should know: findings of one run become alerts, which stay the same alert until they are resolved."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Literal

import pandas as pd

from mlops.contract import Decision, Policy
from mlops.monitoring.drift import ALL, ROWS, WEEK
from mlops.monitoring.quality import Quality

Severity = Literal["page", "ticket"]
"""page: somebody looks today; ticket: this week."""
OWNERS: Mapping[str, str] = {
    "silent": "data engineers",
    "volume": "data engineers",
    "missing": "data engineers",
    "labels": "data engineers",
    "drift": "data engineers",
    "slice": "data scientists",
    "calibration": "ML engineers",
    "age": "ML engineers",
}
"""Who hears of which rule; docs/explanation/monitoring.md says what each of them does."""


@dataclass(frozen=True)
class Finding:
    """What one rule says of one subject in one run."""

    rule: str
    subject: str
    """Feed, column or slice; "" for the model itself."""
    severity: Severity
    firing: bool
    evidence: str


@dataclass(frozen=True)
class Alert:
    """A rule that has fired and goes on firing, one row however long."""

    rule: str
    subject: str
    severity: str
    owner: str
    evidence: str
    """Of the last time it fired."""
    first_seen: datetime
    last_seen: datetime
    resolved: datetime | None = None


def update_alerts(
    alerts: Sequence[Alert], findings: Sequence[Finding], as_of: datetime, next_run: datetime | None = None
) -> tuple[Alert, ...]:
    """Alerts that a run adds, confirms or resolves; a subject that nobody judged this time stays as it is.

    A run in the past changes what was open at its moment, and nothing that began later. What fired then and had begun
    anew or was gone at the next run is an alert that this next run resolved: it is no news of today.

    Args:
        alerts: those that are known, resolved or not.
        findings: of the run; of one rule and subject at most one.
        as_of: the moment of the run, UTC.
        next_run: the moment of the first run after it; None: it is the newest.
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
    """Findings on the weeks of one window: volume, missing values, and drift of the columns that may page.

    Args:
        judged: as `drift.judge` gives them, the window's weeks only.
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
    """Findings on feeds, from the newest moment each has told of; None: it has told nothing yet."""
    for feed, moment in sorted(newest.items()):
        silent = moment is None or as_of - moment > policy.silence
        said = "nothing yet" if moment is None else f"nothing since {moment:%Y-%m-%d %H:%M} UTC"
        yield Finding("silent", feed, "page", silent, f"{said}, as of {as_of:%Y-%m-%d %H:%M}")


@dataclass(frozen=True)
class Usual:
    """What earlier judged windows were like, none of which overlaps another or the window that is judged."""

    offsets: Mapping[str, Sequence[float]] = field(default_factory=dict)
    """Per slice, how far its calibration gap lay from its window's; oldest first."""
    unlabelled: Sequence[float] = ()
    """Shares of the reported outcomes that carry no label."""


def find_usual(metrics: pd.DataFrame, start: datetime, policy: Policy) -> Usual:
    """Go back from a window to the newest one that was judged and ends before it, and so on.

    Args:
        metrics: rows of earlier runs: window_start, window_end (UTC without zone), slice, state and figures.
        start: first moment of the window that is to be judged.
        policy: `drift_memory`, how many windows at most.
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
        of_it = judged[(judged["window_start"] == window["window_start"]) & (judged["slice"] != "")]
        for name, gap in zip(of_it["slice"], of_it["calibration_gap"], strict=True):
            offsets.setdefault(str(name), []).append(gap - window["calibration_gap"])
    shares = [_find_unlabelled(window["rows"], window["unreported"], window["labelled"]) for window in windows]
    return Usual(offsets, shares)


def _find_unlabelled(rows: int, unreported: float, labelled: int) -> float:
    reported = rows * (1 - unreported)
    return 1 - labelled / reported if reported else 0.0


def of_labels(whole: Quality, usual: Usual, policy: Policy) -> Finding:
    """Finding on the outcomes of a matured window: late, empty, or such that they cannot be right.

    Args:
        whole: the window, all rows.
        usual: `unlabelled`; without an earlier window up to half of the outcomes may carry no label.
        policy: `max_unlabelled`, `missing_floor`, and `drift_factor`, by which the odds of a 1 may differ from those
            that were predicted, beyond the chance of as many rows.
    """
    late = f"{whole.unreported:.1%} of the outcomes are not reported; {policy.max_unlabelled:.1%} is allowed"
    if whole.unreported > policy.max_unlabelled:
        return Finding("labels", "", "page", True, late)
    empty = _find_unlabelled(whole.rows, whole.unreported, whole.labelled)
    allowed = max(usual.unlabelled) + policy.missing_floor if usual.unlabelled else 0.5
    if empty > allowed:
        said = f"{empty:.1%} of the reported outcomes carry no label; {allowed:.1%} is allowed"
        return Finding("labels", "", "page", True, said)
    low, high = _plausible_rates(whole.expected_rate, whole.labelled, policy.drift_factor)
    rate = whole.positives / whole.labelled if whole.labelled else math.nan
    if rate < low or rate > high:
        said = f"share of labels that are 1 is {rate:.3f}, predicted were {whole.expected_rate:.3f}; "
        return Finding("labels", "", "page", True, f"{said}{low:.3f} to {high:.3f} is taken for right")
    return Finding("labels", "", "page", False, late)


def _plausible_rates(expected: float, rows: int, factor: float) -> tuple[float, float]:
    odds = expected / (1 - expected) if expected < 1 else math.inf
    low, high = (each / (1 + each) if each < math.inf else 1.0 for each in (odds / factor, odds * factor))
    low, high = (rate + sign * 3 * math.sqrt(rate * (1 - rate) / max(rows, 1)) for rate, sign in ((low, -1), (high, 1)))
    return max(low, 0.0), min(high, 1.0)


def find_quality(found: Iterable[Quality], usual: Usual, decision: Decision, policy: Policy) -> Iterator[Finding]:
    """Findings on labels, slices and the retraining rules.

    Args:
        found: of the matured window: the whole of it first, then its slices.
        usual: what earlier windows were like.
        decision: on retraining.
        policy: as `of_labels`; `slice_gap`, `slice_factor`.
    """
    whole, *slices = found
    yield of_labels(whole, usual, policy)
    for quality in slices:
        if "judged" == quality.state == whole.state and math.isfinite(quality.offset_error):
            yield _check_slice(quality, slice_gap_offset(quality, whole), usual.offsets.get(quality.slice, ()), policy)
    for rule in decision.rules:
        if rule.value is not None and rule.limit is not None:
            name = "calibration" if rule.name == "calibration_gap" else rule.name
            firing = not rule.passed or abs(rule.value) > rule.limit  # cooling down is no cure
            yield Finding(name, "", "ticket", firing, rule.reason)


def slice_gap_offset(quality: Quality, whole: Quality) -> float:
    """How far a slice's calibration gap lies from its window's: a hard month moves all slices alike."""
    return quality.calibration_gap - whole.calibration_gap


def _check_slice(quality: Quality, offset: float, usual: Sequence[float], policy: Policy) -> Finding:
    """Hold a slice against its own noise: what its days differ by, and what it wanders from window to window."""
    limit = policy.slice_factor * math.hypot(quality.offset_error, policy.slice_gap)
    known = [old for old in usual if math.isfinite(old)]
    # The mean leans on 0 while there are few windows. The newest one alone lets a lasting change page for one window.
    centre = min([sum(known) / (len(known) + 1), *known[-1:]], key=lambda each: abs(offset - each))
    reason = f"calibration gap {offset:+.3f} off that of all rows, usually {centre:+.3f}"
    firing = abs(offset - centre) > limit
    return Finding("slice", quality.slice, "page", firing, f"{reason}; {limit:.3f} either way of that is allowed")


def weeks_of(start: datetime, end: datetime) -> tuple[datetime, ...]:
    """First moments of the whole weeks, from Monday on, UTC, that end in (start, end]."""
    monday = start.replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=start.weekday())
    return tuple(monday + n * WEEK for n in range((end - monday) // WEEK))
