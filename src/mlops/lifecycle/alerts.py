"""What somebody should know: findings of one run become alerts, which stay the same alert until they are resolved."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Literal

import pandas as pd

from mlops.contract import Decision, Policy
from mlops.lifecycle.drift import ALL, ROWS, WEEK
from mlops.lifecycle.estimates import Quality

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
"""Who hears of which rule; docs/monitoring.md says what each of them does."""


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


def update(alerts: Sequence[Alert], findings: Sequence[Finding], as_of: datetime) -> tuple[Alert, ...]:
    """Alerts that a run adds, confirms or resolves; a subject that nobody judged this time stays as it is.

    Args:
        alerts: those that are not resolved.
        findings: of the run; of one rule and subject at most one.
        as_of: the moment of the run, UTC.
    """
    open_ = {(alert.rule, alert.subject): alert for alert in alerts if alert.resolved is None}
    changed = []
    for finding in findings:
        alert = open_.get((finding.rule, finding.subject))
        if finding.firing:
            first = alert.first_seen if alert else as_of
            changed.append(
                Alert(
                    finding.rule,
                    finding.subject,
                    finding.severity,
                    OWNERS[finding.rule],
                    finding.evidence,
                    first,
                    as_of,
                )
            )
        elif alert:
            changed.append(replace(alert, resolved=as_of))
    return tuple(changed)


def of_drift(judged: pd.DataFrame, policy: Policy) -> Iterator[Finding]:
    """Findings on the weeks of one window: volume, missing values, and drift of the columns that may page.

    Args:
        judged: as `drift.judge` gives them, the window's weeks only.
        policy: `paging`.
    """
    whole = judged[(judged["slice"] == ALL) & (judged["state"] != "hold")]
    for name, weeks in whole.groupby("column"):
        column = str(name)
        if column == ROWS:
            yield _worst(weeks, "volume", column, "rows", _volume)
            continue
        yield _worst(weeks, "missing", column, "missing", _missing)
        if column in policy.paging:
            yield _worst(weeks, "drift", column, "drift", _drift)


def _worst(weeks: pd.DataFrame, rule: str, subject: str, state: str, words: Any) -> Finding:
    firing = weeks[weeks["state"] == state]
    row = (firing if len(firing) else weeks).sort_values(["psi", "week"]).iloc[-1]
    when = f"week of {pd.Timestamp(row['week']):%Y-%m-%d}"
    return Finding(rule, "" if subject == ROWS else subject, "page", len(firing) > 0, f"{when}: {words(row)}")


def _volume(row: Any) -> str:
    return f"{row['rows']:,} rows; its usual weeks allow no fewer than {row['limit']:,.0f}, nor as many more"


def _missing(row: Any) -> str:
    return f"share of missing values {row['missing']:+.3f} against the weeks before"


def _drift(row: Any) -> str:
    return f"PSI {row['psi']:.3f} against the weeks before; its clean weeks allow {row['limit']:.3f}"


def of_feeds(newest: Mapping[str, datetime | None], as_of: datetime, policy: Policy) -> Iterator[Finding]:
    """Findings on feeds, from the newest moment each has told of; None: it has told nothing yet."""
    for feed, moment in sorted(newest.items()):
        silent = moment is None or as_of - moment > policy.silence
        said = "nothing yet" if moment is None else f"nothing since {moment:%Y-%m-%d %H:%M} UTC"
        yield Finding("silent", feed, "page", silent, f"{said}, as of {as_of:%Y-%m-%d %H:%M}")


def of_quality(
    found: Iterable[Quality], usual: Mapping[str, Sequence[float]], decision: Decision, policy: Policy
) -> Iterator[Finding]:
    """Findings on labels, slices and the retraining rules.

    Args:
        found: of the matured window: the whole of it first, then its slices.
        usual: per slice, how far its calibration gap lay from its window's in earlier windows that did not fire.
        decision: on retraining.
        policy: `slice_gap`, `drift_factor`, `max_unlabelled`.
    """
    whole, *slices = found
    late = f"{whole.unreported:.1%} of the outcomes are not reported; {policy.max_unlabelled:.1%} is allowed"
    yield Finding("labels", "", "page", whole.unreported > policy.max_unlabelled, late)
    for quality in slices:
        if "judged" == quality.state == whole.state:
            yield _slice(quality, off(quality, whole), usual.get(quality.slice, ()), policy)
    for rule in decision.rules:
        if rule.value is not None and rule.limit is not None:
            name = "calibration" if rule.name == "calibration_gap" else rule.name
            firing = not rule.passed or abs(rule.value) > rule.limit  # cooling down is no cure
            yield Finding(name, "", "ticket", firing, rule.reason)


def off(quality: Quality, whole: Quality) -> float:
    """How far a slice's calibration gap lies from its window's: a hard month moves all slices alike."""
    return quality.calibration_gap - whole.calibration_gap


def _slice(quality: Quality, distance: float, usual: Sequence[float], policy: Policy) -> Finding:
    limit = max([policy.slice_gap, *(policy.drift_factor * abs(old) for old in usual if math.isfinite(old))])
    reason = f"calibration gap {distance:+.3f} off that of all rows; {limit:.3f} either way is allowed"
    return Finding("slice", quality.slice, "page", abs(distance) > limit, reason)


def weeks_of(start: datetime, end: datetime) -> tuple[datetime, ...]:
    """First moments of the whole weeks, from Monday on, UTC, that end in (start, end]."""
    monday = start.replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=start.weekday())
    return tuple(monday + n * WEEK for n in range((end - monday) // WEEK))
