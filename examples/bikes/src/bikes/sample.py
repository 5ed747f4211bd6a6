"""Make the sample: hourly bike rentals in Washington, D.C., in 2011, as files of the three sources.

The data are `Bikeshare.csv` of the package ISLP, which has them from the UCI Machine Learning Repository (Fanaee-T and
Gama 2013, CC BY 4.0). They hold 8,645 of the 8,760 hours: an hour that is missing had no rental, and no weather of it
is known. Hours are local, without a zone; here they are taken for UTC.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from datetime import date
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pandas as pd

from mlops.contract import DataError

_COUNTS = ["casual", "registered", "bikers"]
_CALENDAR = ["weekday", "holiday", "workingday"]


def sample(since: date, until: date) -> Iterator[tuple[str, str]]:
    """Yield the files of the days since..until (both included), as (path below the landing folder, CSV text).

    Each row is in the file of the day on which it became known: hours at noon of the day before, weather at once,
    rentals 5 minutes after the hour's end.
    """
    for name, (rows, known_at) in _make_sources().items():
        for day, group in rows[rows[known_at].dt.date.between(since, until)].groupby(rows[known_at].dt.date):
            yield f"{name}/{day}.csv", _write_csv(group)


def _write_csv(rows: pd.DataFrame) -> str:
    text = rows.copy()
    for column in text.select_dtypes("datetime"):
        text[column] = text[column].dt.strftime("%Y-%m-%dT%H:%M:%SZ")
    return text.to_csv(index=False, lineterminator="\n")


@cache
def _make_sources() -> dict[str, tuple[pd.DataFrame, str]]:
    """Rows of each source, and the column with the moment since when a row is known."""
    rows = _read_hours()
    hours = rows[["hour_id", "hour", *_CALENDAR, "starts_at"]].assign(
        published_at=rows["starts_at"].dt.floor("D") - pd.Timedelta(hours=12)
    )
    weather = rows[["hour_id", "situation", "temperature", "humidity", "wind_speed"]].assign(
        observed_at=rows["starts_at"]
    )
    rentals = rows[["hour_id", "hour", "workingday", *_COUNTS]].assign(
        reported_at=rows["starts_at"] + pd.Timedelta(minutes=65)
    )
    return {
        "hours": (hours, "published_at"),
        "weather": (weather.dropna(), "observed_at"),
        "rentals": (rentals, "reported_at"),
    }


def _read_hours() -> pd.DataFrame:
    """One row for each of the 8,760 hours of 2011."""
    names = {"hr": "hour", "weathersit": "situation", "temp": "temperature", "hum": "humidity"}
    known = pd.read_csv(io.StringIO(_read_file())).rename(columns=names | {"windspeed": "wind_speed"})
    since = pd.Timestamp("2011-01-01")
    known["starts_at"] = since + pd.to_timedelta(known["day"] - 1, "D") + pd.to_timedelta(known["hour"], "h")
    every = pd.DataFrame({"starts_at": pd.date_range(since, periods=365 * 24, freq="h")})
    rows = every.merge(known.drop(columns=["hour"]), on="starts_at", how="left")
    rows["hour"] = rows["starts_at"].dt.hour
    rows["hour_id"] = rows["starts_at"].dt.strftime("%Y-%m-%dT%H")
    rows[_COUNTS] = rows[_COUNTS].fillna(0).astype("int64")
    days = rows.groupby(rows["starts_at"].dt.date)[_CALENDAR]
    rows[_CALENDAR] = days.transform("max").astype("int64")
    return rows


def _read_file() -> str:
    # The package itself is not imported: it wants torch and much else.
    package = find_spec("ISLP")
    if package is None or not package.submodule_search_locations:
        raise DataError("the sample data are not installed: add islp==0.6.0 to the job's environment")
    return (Path(package.submodule_search_locations[0]) / "data" / "Bikeshare.csv").read_text()
