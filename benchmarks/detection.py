"""Seeded faults in the replayed year: how many windows until the right alert, and how many alerts without a fault.

Pure: the sample's features and labels, the counts, rules and alerts of `mlops.lifecycle`, and one model trained on
January to March whose predictions are judged as monitoring does. No Spark.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd

from benchmarks import report
from benchmarks.replay import year
from mlops.contract import Decision
from mlops.monitoring import alerts, drift, quality
from mlops.monitoring.alerts import Finding, Usual
from mlops.questions import question_of
from usecase import USE_CASE

POLICY, QUESTION = USE_CASE.policy, question_of(USE_CASE.label)
_TRAINED = pd.Timestamp("2013-04-01")
_WINDOWS = pd.date_range("2013-04-22", "2013-12-02", freq="28D")
"""First days of the windows that faults begin in."""
_SEED = 7
Rows = pd.DataFrame


def main() -> None:
    """Print, per fault, the windows until its alert (0: never), then the clean windows that alarm."""
    rows = year()
    rows["prediction"] = _predictions(rows)
    clean = [_alarms(rows, start) for start in _WINDOWS]
    firing = [sorted(found) for found in clean]
    for start, found in zip(_WINDOWS, firing, strict=True):
        print(f"{start:%Y-%m-%d} clean: {', '.join(map(':'.join, found)) or 'silent'}")
    report("detection", "clean_windows_alarming", sum(map(bool, firing)) / len(_WINDOWS), "share", better="lower",
           target=1 / 13)  # fmt: skip
    report("detection", "clean_weeks_alarming", _weeks_alarming(rows), "share", better="lower", target=1 / 13)
    for name, (rule, fault) in FAULTS.items():
        hits = []
        for start, before in zip(_WINDOWS, clean, strict=True):
            found = _alarms(fault(rows, start), start) - before
            hits.append(any(rule in (r, f"{r}:{s}") for r, s in found))
        report("detection", f"found_{name}", float(np.mean(hits)), "share of windows", better="higher", target=1.0)


def _predictions(rows: Rows) -> np.ndarray[Any, Any]:
    names = [feature.name for feature in USE_CASE.features]
    train = (rows["event_time"] < _TRAINED) & rows["label"].notna()
    model = USE_CASE.model.build({}).fit(rows.loc[train, names], rows.loc[train, "label"].astype("int64"))
    return np.asarray(model.predict_proba(rows[names])[:, 1])


def _alarms(rows: Rows, start: pd.Timestamp) -> set[tuple[str, str]]:
    """Pages of the 28 days from `start`, as rule and subject."""
    return _paging(_findings(rows, start, start + POLICY.window))


def _paging(findings: Iterable[Finding]) -> set[tuple[str, str]]:
    return {(found.rule, found.subject) for found in findings if found.firing and found.severity == "page"}


def _findings(rows: Rows, start: pd.Timestamp, end: pd.Timestamp) -> Iterator[Finding]:
    begin, stop = (moment.to_pydatetime().replace(tzinfo=UTC) for moment in (start, end))
    as_of = stop + POLICY.maturity
    weeks = [w.replace(tzinfo=None) for w in alerts.weeks_of(begin, stop)]
    judged = _judged(rows, pd.Timestamp(weeks[-1] + drift.WEEK))
    yield from alerts.find_drift(judged[judged["week"].isin(weeks)], POLICY)
    yield from alerts.find_late_sources(_newest(rows, as_of), as_of, POLICY)
    yield from alerts.find_quality(
        QUESTION.names, _quality(rows, begin, stop, as_of), _usual(rows, begin), Decision(False, ()), POLICY
    )


def _weeks_alarming(rows: Rows) -> float:
    """Share of single clean weeks, the grain of drift, of which volume, missing values or drift pages."""
    weeks = pd.date_range(_WINDOWS[0], _WINDOWS[-1] + POLICY.window - drift.WEEK, freq=drift.WEEK)
    judged = _judged(rows, weeks[-1] + drift.WEEK)
    alarming = [_paging(alerts.find_drift(judged[judged["week"] == week], POLICY)) for week in weeks]
    return sum(map(bool, alarming)) / len(weeks)


def _judged(rows: Rows, end: pd.Timestamp) -> Rows:
    names = [feature.name for feature in USE_CASE.features]
    seen = rows[(rows["event_time"] < end) & (rows["event_time"] >= pd.Timestamp("2012-12-31"))]
    return drift.judge_weeks(drift.count_bins(seen[names], _week(seen["event_time"])), _NO_PAST, POLICY)


_NO_PAST = pd.DataFrame(columns=list(drift.JUDGEMENT_COLUMNS))


def _week(moments: pd.Series[Any]) -> Any:
    return (moments.dt.floor("D") - pd.to_timedelta(moments.dt.dayofweek, "D")).to_numpy()


def _newest(rows: Rows, as_of: datetime) -> dict[str, datetime | None]:
    now = pd.Timestamp(as_of).tz_localize(None)
    told = rows.loc[rows["reported_at"] <= now, "reported_at"].max()
    scheduled = rows.loc[rows["event_time"] <= now, "event_time"].max()
    newest = {"outcomes": told, "schedule": scheduled}
    return {feed: moment.to_pydatetime().replace(tzinfo=UTC) for feed, moment in newest.items()}


def _quality(rows: Rows, start: datetime, end: datetime, as_of: datetime) -> list[quality.Quality]:
    now, first, last = (pd.Timestamp(m).tz_localize(None) for m in (as_of, start, end))
    part = rows[(rows["event_time"] >= first) & (rows["event_time"] < last)].copy()
    part["reported"] = part["reported_at"] <= now
    part["label"] = part["label"].where(part["reported"])
    part["day"] = part["event_time"].to_numpy("datetime64[D]")
    return list(quality.measure_slices(QUESTION, part, start, end, POLICY, due=True))


def _usual(rows: Rows, begin: datetime) -> Usual:
    """What the windows before were like."""
    found: list[dict[str, Any]] = []
    for back in range(1, POLICY.drift_memory + 1):
        start = begin - back * POLICY.window
        if pd.Timestamp(start).tz_localize(None) < _TRAINED:
            break
        if start not in _CLEAN:  # the window before a fault is clean, whatever the fault
            end = start + POLICY.window
            _CLEAN[start] = _quality(rows, start, end, end + POLICY.maturity)
        for each in _CLEAN[start]:
            span = {"window_start": start, "window_end": start + POLICY.window}
            naive = {name: pd.Timestamp(moment).tz_localize(None) for name, moment in span.items()}
            found.append({**asdict(each), **naive})
    columns = ["window_start", "window_end", "slice", "state", "gap", "rows", "unreported", "labelled"]
    return alerts.find_usual(pd.DataFrame(found, columns=columns), begin, POLICY)


_CLEAN: dict[datetime, list[quality.Quality]] = {}


# --- faults: each takes the clean rows and the moment it begins -----------------------------------------------------


def _lost(column: str, value: str, share: float) -> Callable[[Rows, pd.Timestamp], Rows]:
    def fault(rows: Rows, start: pd.Timestamp) -> Rows:
        hit = (rows["event_time"] >= start) & (rows[column] == value)
        return rows[~(hit & (_dice(rows) < share))]

    return fault


def _changed(column: str, value: Any, share: float) -> Callable[[Rows, pd.Timestamp], Rows]:
    def fault(rows: Rows, start: pd.Timestamp) -> Rows:
        hit = (rows["event_time"] >= start) & (_dice(rows) < share)
        return rows.assign(**{column: rows[column].mask(hit, value)})

    return fault


def _silent(rows: Rows, start: pd.Timestamp) -> Rows:
    """The weather feed stops: what was observed is missing from then on."""
    weather = ["temperature", "dew_point", "humidity", "wind_direction", "wind_speed", "pressure", "visibility"]
    after = rows["event_time"] >= start + pd.Timedelta(days=1)
    return rows.assign(**{name: rows[name].mask(after) for name in weather})


def _flipped(rows: Rows, start: pd.Timestamp) -> Rows:
    hit = (rows["event_time"] >= start) & rows["carrier"].isin(["B6", "EV"])
    return rows.assign(label=rows["label"].mask(hit, 1 - rows["label"]))


def _later(shift: float) -> Callable[[Rows, pd.Timestamp], Rows]:
    """Two carriers' share of late flights rises, and no feature says so."""

    def fault(rows: Rows, start: pd.Timestamp) -> Rows:
        hit = (rows["event_time"] >= start) & rows["carrier"].isin(["UA", "DL"]) & (rows["label"] == 0)
        late = rows.loc[rows["carrier"].isin(["UA", "DL"]), "label"].mean()
        return rows.assign(label=rows["label"].mask(hit & (_dice(rows) < shift / (1 - late)), 1.0))

    return fault


def _labels(value: float) -> Callable[[Rows, pd.Timestamp], Rows]:
    """Every label is one value, or missing, though it is reported."""

    def fault(rows: Rows, start: pd.Timestamp) -> Rows:
        return rows.assign(label=rows["label"].mask(rows["event_time"] >= start, value))

    return fault


def _in_hours(rows: Rows, start: pd.Timestamp) -> Rows:
    """Delays in hours: one flight of a thousand is more than 15 of them late."""
    hit = (rows["event_time"] >= start) & rows["label"].notna() & (_dice(rows) > 0.001)
    return rows.assign(label=rows["label"].mask(hit, 0.0))


def _late(rows: Rows, start: pd.Timestamp) -> Rows:
    hit = rows["event_time"] >= start
    return rows.assign(reported_at=rows["reported_at"].mask(hit, rows["reported_at"] + pd.Timedelta(days=7)))


def _no_outcomes(rows: Rows, start: pd.Timestamp) -> Rows:
    return rows.assign(reported_at=rows["reported_at"].mask(rows["reported_at"] >= start))


def _dice(rows: Rows) -> np.ndarray[Any, Any]:
    return np.random.default_rng(_SEED).random(len(rows))


FAULTS: dict[str, tuple[str, Callable[[Rows, pd.Timestamp], Rows]]] = {
    "carrier_loses_half": ("drift:carrier", _lost("carrier", "UA", 0.5)),
    "airport_loses_30_percent": ("drift:origin", _lost("origin", "LGA", 0.3)),
    "new_destination_3_percent": ("drift:dest", _changed("dest", "XXX", 0.03)),
    "weather_feed_silent": ("missing", _silent),
    "outcomes_feed_silent": ("silent:outcomes", _no_outcomes),
    "nulls_20_percent": ("missing:distance", _changed("distance", np.nan, 0.2)),
    "labels_flipped_for_two_carriers": ("slice", _flipped),
    "two_carriers_late_by_.06": ("slice", _later(0.06)),
    "labels_empty": ("labels", _labels(np.nan)),
    "labels_all_zero": ("labels", _labels(0.0)),
    "labels_all_one": ("labels", _labels(1.0)),
    "delays_in_hours": ("labels", _in_hours),
    "labels_late_by_a_week": ("labels", _late),
}
