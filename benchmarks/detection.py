"""Seeds faults into the year: in which share of windows the right alert fires, and in which one fires without a fault.

It uses the sample's features and labels, the counts and alerts of `mlops.monitoring`, and one model trained on January
to March. It uses no Spark.
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
    rows["prediction"] = _predict(rows)
    clean = [_find_pages(rows, start) for start in _WINDOWS]
    firing = [sorted(pages) for pages in clean]
    for start, pages in zip(_WINDOWS, firing, strict=True):
        print(f"{start:%Y-%m-%d} clean: {', '.join(map(':'.join, pages)) or 'silent'}")
    report("detection", "clean_windows_alarming", sum(map(bool, firing)) / len(_WINDOWS), "share", better="lower",
           target=1 / 13)  # fmt: skip
    report("detection", "clean_weeks_alarming", _weeks_alarming(rows), "share", better="lower", target=1 / 13)
    for name, (rule, fault) in FAULTS.items():
        hits = []
        for start, before in zip(_WINDOWS, clean, strict=True):
            pages = _find_pages(fault(rows, start), start) - before
            hits.append(any(rule in (r, f"{r}:{s}") for r, s in pages))
        report("detection", f"found_{name}", float(np.mean(hits)), "share of windows", better="higher", target=1.0)


def _predict(rows: Rows) -> np.ndarray[Any, Any]:
    names = [feature.name for feature in USE_CASE.features]
    train = (rows["event_time"] < _TRAINED) & rows["label"].notna()
    model = USE_CASE.model.build({}).fit(rows.loc[train, names], rows.loc[train, "label"].astype("int64"))
    return np.asarray(model.predict_proba(rows[names])[:, 1])


def _find_pages(rows: Rows, start: pd.Timestamp) -> set[tuple[str, str]]:
    """Pages of the 28 days from `start`, as rule and subject."""
    return _list_pages(_findings(rows, start, start + POLICY.window))


def _list_pages(findings: Iterable[Finding]) -> set[tuple[str, str]]:
    return {(finding.rule, finding.subject) for finding in findings if finding.firing and finding.severity == "page"}


def _findings(rows: Rows, start: pd.Timestamp, end: pd.Timestamp) -> Iterator[Finding]:
    begin, stop = (moment.to_pydatetime().replace(tzinfo=UTC) for moment in (start, end))
    as_of = stop + POLICY.maturity
    weeks = [w.replace(tzinfo=None) for w in alerts.weeks_of(begin, stop)]
    judged = _judge_weeks(rows, pd.Timestamp(weeks[-1] + drift.WEEK))
    yield from alerts.find_drift(judged[judged["week"].isin(weeks)], POLICY)
    yield from alerts.find_late_sources(_newest_per_source(rows, as_of), as_of, POLICY)
    yield from alerts.find_quality(
        QUESTION.names,
        _measure_quality(rows, begin, stop, as_of),
        _find_usual(rows, begin),
        Decision(False, ()),
        POLICY,
    )


def _weeks_alarming(rows: Rows) -> float:
    """Share of single clean weeks, the grain of drift, of which volume, missing values or drift pages."""
    weeks = pd.date_range(_WINDOWS[0], _WINDOWS[-1] + POLICY.window - drift.WEEK, freq=drift.WEEK)
    judged = _judge_weeks(rows, weeks[-1] + drift.WEEK)
    alarming = [_list_pages(alerts.find_drift(judged[judged["week"] == week], POLICY)) for week in weeks]
    return sum(map(bool, alarming)) / len(weeks)


def _judge_weeks(rows: Rows, end: pd.Timestamp) -> Rows:
    names = [feature.name for feature in USE_CASE.features]
    seen = rows[(rows["event_time"] < end) & (rows["event_time"] >= pd.Timestamp("2012-12-31"))]
    return drift.judge_weeks(drift.count_bins(seen[names], _week(seen["event_time"])), _NO_PAST, POLICY)


_NO_PAST = pd.DataFrame(columns=list(drift.JUDGEMENT_COLUMNS))


def _week(moments: pd.Series[Any]) -> Any:
    return (moments.dt.floor("D") - pd.to_timedelta(moments.dt.dayofweek, "D")).to_numpy()


def _newest_per_source(rows: Rows, as_of: datetime) -> dict[str, datetime | None]:
    now = pd.Timestamp(as_of).tz_localize(None)
    reported = rows.loc[rows["reported_at"] <= now, "reported_at"].max()
    scheduled = rows.loc[rows["event_time"] <= now, "event_time"].max()
    newest = {"outcomes": reported, "schedule": scheduled}
    return {feed: moment.to_pydatetime().replace(tzinfo=UTC) for feed, moment in newest.items()}


def _measure_quality(rows: Rows, start: datetime, end: datetime, as_of: datetime) -> list[quality.Quality]:
    now, first, last = (pd.Timestamp(m).tz_localize(None) for m in (as_of, start, end))
    part = rows[(rows["event_time"] >= first) & (rows["event_time"] < last)].copy()
    part["reported"] = part["reported_at"] <= now
    part["label"] = part["label"].where(part["reported"])
    part["day"] = part["event_time"].to_numpy("datetime64[D]")
    return list(quality.measure_slices(QUESTION, part, start, end, POLICY, due=True))


def _find_usual(rows: Rows, begin: datetime) -> Usual:
    """The usual figures of the windows before a moment."""
    past_windows: list[dict[str, Any]] = []
    for back in range(1, POLICY.drift_memory + 1):
        start = begin - back * POLICY.window
        if pd.Timestamp(start).tz_localize(None) < _TRAINED:
            break
        if start not in _CLEAN:  # the window before a fault is clean, whatever the fault
            end = start + POLICY.window
            _CLEAN[start] = _measure_quality(rows, start, end, end + POLICY.maturity)
        for result in _CLEAN[start]:
            span = {"window_start": start, "window_end": start + POLICY.window}
            naive = {name: pd.Timestamp(moment).tz_localize(None) for name, moment in span.items()}
            past_windows.append({**asdict(result), **naive})
    columns = ["window_start", "window_end", "slice", "state", "gap", "rows", "unreported", "labelled"]
    return alerts.find_usual(pd.DataFrame(past_windows, columns=columns), begin, POLICY)


_CLEAN: dict[datetime, list[quality.Quality]] = {}


# --- faults: each takes the clean rows and the moment it begins -----------------------------------------------------


def _lose_rows(column: str, value: str, share: float) -> Callable[[Rows, pd.Timestamp], Rows]:
    def fault(rows: Rows, start: pd.Timestamp) -> Rows:
        hit = (rows["event_time"] >= start) & (rows[column] == value)
        return rows[~(hit & (_draw(rows) < share))]

    return fault


def _change_values(column: str, value: Any, share: float) -> Callable[[Rows, pd.Timestamp], Rows]:
    def fault(rows: Rows, start: pd.Timestamp) -> Rows:
        hit = (rows["event_time"] >= start) & (_draw(rows) < share)
        return rows.assign(**{column: rows[column].mask(hit, value)})

    return fault


def _silence_weather(rows: Rows, start: pd.Timestamp) -> Rows:
    """The source weather stops: its values are missing from then on."""
    weather = ["temperature", "dew_point", "humidity", "wind_direction", "wind_speed", "pressure", "visibility"]
    after = rows["event_time"] >= start + pd.Timedelta(days=1)
    return rows.assign(**{name: rows[name].mask(after) for name in weather})


def _flip_labels(rows: Rows, start: pd.Timestamp) -> Rows:
    hit = (rows["event_time"] >= start) & rows["carrier"].isin(["B6", "EV"])
    return rows.assign(label=rows["label"].mask(hit, 1 - rows["label"]))


def _make_late(shift: float) -> Callable[[Rows, pd.Timestamp], Rows]:
    """The share of late flights of two carriers rises, and no feature shows it."""

    def fault(rows: Rows, start: pd.Timestamp) -> Rows:
        hit = (rows["event_time"] >= start) & rows["carrier"].isin(["UA", "DL"]) & (rows["label"] == 0)
        late = rows.loc[rows["carrier"].isin(["UA", "DL"]), "label"].mean()
        return rows.assign(label=rows["label"].mask(hit & (_draw(rows) < shift / (1 - late)), 1.0))

    return fault


def _set_labels(value: float) -> Callable[[Rows, pd.Timestamp], Rows]:
    """Every label is one value, or missing, though it is reported."""

    def fault(rows: Rows, start: pd.Timestamp) -> Rows:
        return rows.assign(label=rows["label"].mask(rows["event_time"] >= start, value))

    return fault


def _label_in_hours(rows: Rows, start: pd.Timestamp) -> Rows:
    """Delays in hours: one flight of a thousand is more than 15 of them late."""
    hit = (rows["event_time"] >= start) & rows["label"].notna() & (_draw(rows) > 0.001)
    return rows.assign(label=rows["label"].mask(hit, 0.0))


def _delay_labels(rows: Rows, start: pd.Timestamp) -> Rows:
    hit = rows["event_time"] >= start
    return rows.assign(reported_at=rows["reported_at"].mask(hit, rows["reported_at"] + pd.Timedelta(days=7)))


def _silence_outcomes(rows: Rows, start: pd.Timestamp) -> Rows:
    return rows.assign(reported_at=rows["reported_at"].mask(rows["reported_at"] >= start))


def _draw(rows: Rows) -> np.ndarray[Any, Any]:
    return np.random.default_rng(_SEED).random(len(rows))


FAULTS: dict[str, tuple[str, Callable[[Rows, pd.Timestamp], Rows]]] = {
    "carrier_loses_half": ("drift:carrier", _lose_rows("carrier", "UA", 0.5)),
    "airport_loses_30_percent": ("drift:origin", _lose_rows("origin", "LGA", 0.3)),
    "new_destination_3_percent": ("drift:dest", _change_values("dest", "XXX", 0.03)),
    "weather_feed_silent": ("missing", _silence_weather),
    "outcomes_feed_silent": ("silent:outcomes", _silence_outcomes),
    "nulls_20_percent": ("missing:distance", _change_values("distance", np.nan, 0.2)),
    "labels_flipped_for_two_carriers": ("slice", _flip_labels),
    "two_carriers_late_by_.06": ("slice", _make_late(0.06)),
    "labels_empty": ("labels", _set_labels(np.nan)),
    "labels_all_zero": ("labels", _set_labels(0.0)),
    "labels_all_one": ("labels", _set_labels(1.0)),
    "delays_in_hours": ("labels", _label_in_hours),
    "labels_late_by_a_week": ("labels", _delay_labels),
}
