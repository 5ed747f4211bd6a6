"""What features cost in the engine: a year, 28 days early and late in the year, and ten times as many flights.

Frames are in memory and one core is used; reading, Arrow and the write of Spark come on top. Ten times the data means
ten airport systems on the same days: each a copy with its own airports, carriers and aircraft, so that every window
holds as many rows as before and there are ten times as many of them.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import date, timedelta

import pandas as pd

from benchmarks import report
from benchmarks.bare import frames
from mlops.data.point_in_time import compute_features
from usecase import USE_CASE

_NAMES = ("flight_id", "origin", "dest", "carrier", "tailnum")
_DAYS = timedelta(days=28)


def main() -> None:
    """Print CPU seconds of the year, of an early and a late increment, and the ratio of ten times the data."""
    world = frames(date(2012, 12, 31), date(2014, 1, 2))
    report("features", "engine_year", _measure_seconds(world, None), "s", better="lower", target=60.0)
    early, late = (
        _measure_seconds(_visible_rows(world, day), day - _DAYS)
        for day in (pd.Timestamp(2013, 3, 1), pd.Timestamp(2013, 12, 1))
    )
    report("features", "engine_28_days_in_march", early, "s", better="lower", target=12.0)
    report("features", "engine_28_days_in_december", late, "s", better="lower", target=12.0)
    month = _visible_rows(world, pd.Timestamp(2013, 2, 1))
    once, tenfold = (_measure_seconds(scaled(month, times), None) for times in (1, 10))
    report("features", "engine_tenfold", tenfold / once, "ratio", better="lower", target=11.0)


def scaled(world: Mapping[str, pd.DataFrame], times: int) -> dict[str, pd.DataFrame]:
    """Copy the world `times` times, with names that no other copy has."""
    return {
        source: pd.concat(
            [
                rows.assign(**{name: rows[name] + f"~{copy}" for name in _NAMES if name in rows})
                for copy in range(times)
            ],
            ignore_index=True,
        )
        for source, rows in world.items()
    }


def _visible_rows(world: Mapping[str, pd.DataFrame], end: pd.Timestamp) -> dict[str, pd.DataFrame]:
    """The rows that a worker gets for an increment: known by `end`, and not forgotten 28 days before."""
    visible = {}
    for source in USE_CASE.sources:
        rows, known = world[source.name], world[source.name][source.known_at]
        remembered = True if source.history is None else known >= end - _DAYS - source.history
        visible[source.name] = rows[(known <= end) & remembered]
    return visible


def _measure_seconds(world: Mapping[str, pd.DataFrame], since: pd.Timestamp | None) -> float:
    """CPU seconds for the flights asked about since then; None: all."""
    entities = world[USE_CASE.entity.source]
    if since is not None:
        entities = entities[entities[USE_CASE.entity.event_time] >= since]
    start = time.process_time()
    compute_features(USE_CASE.entity, USE_CASE.features, USE_CASE.sources, entities, world)
    return time.process_time() - start
