"""The sample year without an engine: the use case's own features and labels as one frame, for what only needs rows."""

from __future__ import annotations

import io
from datetime import date
from typing import Any

import numpy as np
import pandas as pd

from mlops.contract import UseCase
from mlops.data.point_in_time import compute_features
from mlops.modeling.coverage import COUNTS, Coverage
from mlops.modeling.gate_case import ServingChecks
from usecase import USE_CASE

FIRST, LAST = date(2012, 12, 31), date(2013, 12, 31)
KEPT = ServingChecks((), 0.0, 0.0)
"""What only a run of the jobs can measure of a model, kept here by all."""


def all_labelled(day: np.ndarray[Any, Any]) -> Coverage:
    """Coverage of a holdout whose rows are all that there should be."""
    days, rows = np.unique(np.asarray(day, "datetime64[D]"), return_counts=True)
    frame = pd.DataFrame({"day": days.astype("datetime64[us]"), **dict.fromkeys(COUNTS, rows)})
    return Coverage(frame, pd.Timestamp(days.min()))


def year(until: date = LAST) -> pd.DataFrame:
    """One row per flight: key, event_time, prediction_time, features, label (NaN: none), reported_at; UTC, no zone."""
    frames = feeds(USE_CASE, FIRST, until)
    entity, label = USE_CASE.entity, USE_CASE.label
    rows = compute_features(entity, USE_CASE.features, USE_CASE.sources, frames[entity.source], frames)
    source = USE_CASE.source(label.source)
    known = frames[label.source]
    value = known.eval(label.value).astype("float64").where(~known["arrival_delay"].isna())
    labelled = known[list(entity.key)].assign(label=value, reported_at=known[source.known_at])
    rows = rows.merge(labelled, on=list(entity.key), how="left").sort_values("event_time", ignore_index=True)
    return rows[rows["event_time"] < pd.Timestamp(until) + pd.Timedelta(days=1)]


def feeds(use_case: UseCase, first: date, until: date) -> dict[str, pd.DataFrame]:
    """Every source's rows, as typed as its tables."""
    texts: dict[str, list[str]] = {}
    for path, text in use_case.sample(first, until):
        texts.setdefault(path.partition("/")[0], []).append(text)
    frames = {}
    for source in use_case.sources:
        parts = texts[source.name]
        whole = parts[0] + "".join(part.partition("\n")[2] for part in parts[1:])
        times = [column.name for column in source.columns if column.type == "timestamp"]
        frame = pd.read_csv(io.StringIO(whole), keep_default_na=False, na_values=[""])
        for name in times:
            frame[name] = pd.to_datetime(frame[name], format="%Y-%m-%dT%H:%M:%SZ").astype("datetime64[us]")
        frames[source.name] = frame.drop_duplicates(list(source.key), keep="last")
    if "weather" in frames and use_case is USE_CASE:
        wind = frames["weather"]["wind_speed"]
        frames["weather"] = frames["weather"][~(wind > 253)]
    return frames
