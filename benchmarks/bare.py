"""The same work without a platform: one pandas script that reads the landed files and fits the same model.

No table, no contract, no lineage, no gate: what the platform costs is measured against this. Its features are written
independently of `mlops.data.point_in_time`, so that a test can hold one against the other.
"""

from __future__ import annotations

import io
from datetime import date, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

from usecase import USE_CASE

_WEATHER = ["temperature", "dew_point", "humidity", "wind_direction", "wind_speed", "precipitation", "pressure"]
_WEATHER += ["visibility", "wind_gust"]
_LEAD, _HOUR = pd.Timedelta(hours=2), pd.Timedelta(hours=1)


def bare(landing: Path, as_of: datetime) -> dict[str, float]:
    """Train as the job does on what had landed, and score the holdout; returns its AUC and the rows of both.

    Args:
        landing: the folder of the feeds' folders.
        as_of: a moment with a time zone.
    """
    rows = features(landing)
    outcomes = read(landing, "outcomes", ["reported_at"])[["flight_id", "arrival_delay"]].dropna()
    rows = rows.merge(outcomes, on="flight_id").sort_values("flight_id", ignore_index=True)
    matured = pd.Timestamp(as_of).tz_convert("UTC").tz_localize(None).floor("D") - USE_CASE.policy.maturity
    begins = matured - USE_CASE.policy.holdout
    late = (rows["arrival_delay"] > 15).astype("int64")
    train = rows["event_time"] < begins - timedelta(days=2)
    holdout = (rows["event_time"] >= begins) & (rows["event_time"] < matured)
    names = [feature.name for feature in USE_CASE.features]
    model = USE_CASE.model.build({}).fit(rows.loc[train, names], late[train])
    answers = model.predict_proba(rows.loc[holdout, names])[:, 1]
    auc = float(roc_auc_score(late[holdout], answers))
    return {"auc": auc, "train_rows": float(train.sum()), "holdout_rows": float(holdout.sum())}


def read(landing: Path, source: str, times: list[str]) -> pd.DataFrame:
    """All files of a feed as one frame; times are UTC without zone."""
    frame = pd.concat((pd.read_csv(path) for path in sorted((landing / source).glob("*.csv"))), ignore_index=True)
    for name in times:
        frame[name] = pd.to_datetime(frame[name], format="%Y-%m-%dT%H:%M:%SZ").astype("datetime64[ns]")
    return frame


def frames(since: date, until: date) -> dict[str, pd.DataFrame]:
    """The sample as the frames that ingestion makes of it: times UTC without zone, the impossible wind out."""
    texts: dict[str, list[pd.DataFrame]] = {source.name: [] for source in USE_CASE.sources}
    for path, text in USE_CASE.sample(since, until):
        texts[path.split("/")[0]].append(pd.read_csv(io.StringIO(text)))
    world = {name: pd.concat(parts, ignore_index=True) for name, parts in texts.items()}
    for source in USE_CASE.sources:
        for column in source.columns:
            if column.type == "timestamp":
                moments = pd.to_datetime(world[source.name][column.name], format="%Y-%m-%dT%H:%M:%SZ")
                world[source.name][column.name] = moments.astype("datetime64[ns]")
    world["weather"] = world["weather"][~(world["weather"]["wind_speed"] > 253)]
    return world


def features(landing: Path) -> pd.DataFrame:
    """One row per scheduled flight: flight_id, event_time and the features, by flight_id."""
    rows = read(landing, "schedule", ["scheduled_departure", "scheduled_arrival", "published_at"])
    local = rows["scheduled_departure"].dt.tz_localize("UTC").dt.tz_convert("America/New_York")
    rows["event_time"] = rows["scheduled_departure"]
    rows["minute_of_day"] = (local.dt.hour * 60 + local.dt.minute).astype("float64")
    rows["weekday"] = local.dt.dayofweek.astype("float64")
    rows["block_time"] = (rows["scheduled_arrival"] - rows["scheduled_departure"]).dt.total_seconds() / 60
    rows["asked"] = rows["scheduled_departure"] - _LEAD
    planes = read(landing, "planes", [])
    rows = rows.merge(planes[["tailnum", "built", "seats"]], on="tailnum", how="left")
    rows["plane_age"] = rows["asked"].dt.year - rows.pop("built").astype("float64")
    rows["plane_seats"] = rows.pop("seats").astype("float64")
    _count(rows, ["origin"], "departures_at_origin")
    _count(rows, ["carrier", "origin"], "carrier_departures_at_origin")
    _count(rows, ["dest"], "departures_to_dest")
    rows = _weather(rows, landing).sort_values("flight_id", ignore_index=True)
    return _backlogs(_history(rows, landing), landing)


def _count(rows: pd.DataFrame, by: list[str], name: str) -> None:
    """Count the flights of the same group that are scheduled from an hour before to an hour after each flight."""
    rows[name] = 0.0
    for _, group in rows.groupby(by):
        moments = np.sort(group["scheduled_departure"].to_numpy())
        scheduled = group["scheduled_departure"].to_numpy()
        later = np.searchsorted(moments, scheduled + _HOUR.to_timedelta64(), "right")
        rows.loc[group.index, name] = (
            later - np.searchsorted(moments, scheduled - _HOUR.to_timedelta64(), "right")
        ).astype(float)


def _history(rows: pd.DataFrame, landing: Path) -> pd.DataFrame:
    departures = read(landing, "departures", ["reported_at"]).sort_values(["reported_at", "flight_id"])
    outcomes = read(landing, "outcomes", ["reported_at"]).dropna(subset="arrival_delay")
    outcomes = outcomes.sort_values(["reported_at", "flight_id"])
    for frame, delay in ((departures, "departure_delay"), (outcomes, "arrival_delay")):
        frame["delay"], frame["late"], frame["all"] = frame[delay], (frame[delay] > 15).astype("float64"), 0
        seen = frame[["tailnum", "reported_at", "delay"]].rename(columns={"delay": f"aircraft_{delay}"})
        rows = pd.merge_asof(
            rows.sort_values("asked"), seen, left_on="asked", right_on="reported_at", by="tailnum", tolerance=24 * _HOUR
        ).drop(columns="reported_at")
    rows = rows.sort_values("flight_id", ignore_index=True).assign(all=0)
    for name, (frame, by, hours, value) in {
        "late_departures_at_origin_2h": (departures, ["origin"], 2, "late"),
        "departure_delay_at_origin_2h": (departures, ["origin"], 2, "delay"),
        "late_departures_at_origin_24h": (departures, ["origin"], 24, "late"),
        "carrier_late_departures_at_origin_3h": (departures, ["carrier", "origin"], 3, "late"),
        "carrier_departure_delay_at_origin_3h": (departures, ["carrier", "origin"], 3, "delay"),
        "late_departures_to_dest_6h": (departures, ["dest"], 6, "late"),
        "departure_delay_to_dest_6h": (departures, ["dest"], 6, "delay"),
        "late_arrivals_24h": (outcomes, ["all"], 24, "late"),
        "carrier_late_arrivals_24h": (outcomes, ["carrier"], 24, "late"),
        "carrier_late_arrivals_from_origin_24h": (outcomes, ["carrier", "origin"], 24, "late"),
        "late_arrivals_at_dest_3h": (outcomes, ["dest"], 3, "late"),
        "arrival_delay_at_dest_3h": (outcomes, ["dest"], 3, "delay"),
        "late_arrivals_at_dest_24h": (outcomes, ["dest"], 24, "late"),
        "route_late_arrivals_24h": (outcomes, ["origin", "dest"], 24, "late"),
        "route_late_arrivals_28d": (outcomes, ["origin", "dest"], 28 * 24, "late"),
        "flight_late_arrivals_28d": (outcomes, ["carrier", "flight"], 28 * 24, "late"),
        "flight_arrival_delay_28d": (outcomes, ["carrier", "flight"], 28 * 24, "delay"),
    }.items():
        rows[name] = _mean(rows, frame, by, hours * _HOUR, value)
    return rows


def _mean(rows: pd.DataFrame, seen: pd.DataFrame, by: list[str], since: pd.Timedelta, value: str) -> np.ndarray:
    """Mean of the group's reports in the time `since` before each row's prediction time; `seen` is sorted by time."""
    means = np.full(len(rows), np.nan)
    asked, groups = rows["asked"].to_numpy(), seen.groupby(by).indices
    moments, sums = seen["reported_at"].to_numpy(), seen[value].to_numpy()
    for group, members in rows.groupby(by).indices.items():
        reports = groups.get(group, np.array([], "int64"))
        first, last = (
            np.searchsorted(moments[reports], asked[members] - back, "right") for back in (since.to_timedelta64(), 0)
        )
        total = np.append(0, np.cumsum(sums[reports]))
        with np.errstate(invalid="ignore"):
            means[members] = (total[last] - total[first]) / (last - first)
    return means


def _backlogs(rows: pd.DataFrame, landing: Path) -> pd.DataFrame:
    """Count flights of the three hours before each row's prediction time that were not reported by then."""
    reported = read(landing, "departures", ["reported_at"]).set_index("flight_id")["reported_at"]
    due = rows[["flight_id", "carrier", "origin", "dest", "scheduled_departure"]].sort_values("scheduled_departure")
    due["reported_at"] = due["flight_id"].map(reported)
    names = {"backlog_at_origin": ["origin"], "carrier_backlog_at_origin": ["carrier", "origin"]}
    for name, by in {**names, "backlog_to_dest": ["dest"]}.items():
        rows[name] = 0.0
        groups, asked = due.groupby(by).indices, rows["asked"].to_numpy()
        for group, members in rows.groupby(by).indices.items():
            moments, reported_at = (due[c].to_numpy()[groups[group]] for c in ("scheduled_departure", "reported_at"))
            at = np.searchsorted(moments, asked[members] - 3 * _HOUR.to_timedelta64(), "right")
            end = np.searchsorted(moments, asked[members], "right")
            waiting = np.zeros(len(members))
            while (at < end).any():
                position = np.minimum(at, len(moments) - 1)
                waiting += (at < end) & ~(reported_at[position] <= asked[members])
                at = at + 1
            rows.loc[members, name] = waiting
    return rows


def _weather(rows: pd.DataFrame, landing: Path) -> pd.DataFrame:
    weather = read(landing, "weather", ["observed_at"])
    weather = weather[~(weather["wind_speed"] > 253)]
    rows = rows.sort_values("asked", ignore_index=True)
    for name in _WEATHER:
        seen = weather[["origin", "observed_at", name]].dropna().sort_values("observed_at")
        rows = pd.merge_asof(
            rows, seen, left_on="asked", right_on="observed_at", by="origin", tolerance=pd.Timedelta(hours=6)
        ).drop(columns="observed_at")
    return rows
