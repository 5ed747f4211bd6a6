"""Select the rows that a monitoring run as of a moment may read and write.

Runs come in any order: a day can be repeated, and a missed day can be run later. A run reads only rows that existed at
its own moment, and it never replaces a row of a later run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import pandas as pd

from mlops.contract import Policy

KEYS: Mapping[str, Sequence[str]] = {
    "metrics": ("model_name", "window_start", "window_end", "slice"),
    "decisions": ("model_name", "as_of", "rule"),
    "alerts": ("model_name", "rule", "subject", "first_seen"),
    "drift": ("week", "column", "slice"),
}
"""Key columns of the tables that monitoring writes."""
_SINCE = {"alerts": "first_seen"}


def find_horizon(policy: Policy) -> timedelta:
    """Return how far back a run reads what earlier runs wrote: as far as table versions are kept and limits look."""
    # A week or a window within reach of the limits must not count as one that no run has written yet.
    before = policy.maturity + policy.window + policy.drift_reference
    return max(timedelta(days=400), before + (policy.drift_memory + 3) * max(policy.window, timedelta(days=7)))


def select_past(tables: Mapping[str, pd.DataFrame], as_of: pd.Timestamp, weeks_end: pd.Timestamp) -> dict[str, Any]:
    """Select the rows of each table that existed at a moment.

    Args:
        tables: frames by table name, `alerts` among them; times are UTC without zone. `drift` has the column `week`,
            `alerts` the fields of `alerts.Alert`, every other table the moment `as_of` of the run that wrote the row.
        as_of: the moment, UTC without zone.
        weeks_end: end of the newest week that could be judged by then. It decides about `drift`, whose rows are the
            same whichever run wrote them.
    """
    past: dict[str, Any] = {}
    for name, rows in tables.items():
        if name == "drift":
            past[name] = rows[rows["week"] + timedelta(days=7) <= weeks_end]
        else:
            past[name] = rows[rows[_SINCE.get(name, "as_of")] <= as_of]
    began = past["alerts"]
    past["alerts"] = began.assign(
        resolved=began["resolved"].where(began["resolved"] <= as_of),
        last_seen=began["last_seen"].where(began["last_seen"] <= as_of, as_of),
    )
    return past


def find_next_run(tables: Mapping[str, pd.DataFrame], as_of: pd.Timestamp) -> pd.Timestamp | None:
    """Find the moment of the first run after `as_of`; None: there was none."""
    columns = [
        tables["decisions"]["as_of"],
        *(tables["alerts"][name] for name in ("first_seen", "last_seen", "resolved")),
    ]
    later = [column[column > as_of].min() for column in columns]
    return min((moment for moment in later if not pd.isna(moment)), default=None)


def select_writable(table: str, rows: pd.DataFrame, fresh: pd.DataFrame, as_of: pd.Timestamp) -> pd.DataFrame:
    """Select the fresh rows whose key no later run has written.

    Args:
        table: one of KEYS.
        rows: the rows of the table.
        fresh: the rows that a run made.
        as_of: the run's moment, UTC without zone.
    """
    if "as_of" not in rows:
        return fresh
    key = list(KEYS[table])
    later = {tuple(row) for row in rows.loc[rows["as_of"] > as_of, key].itertuples(index=False)}
    return fresh[[tuple(row) not in later for row in fresh[key].itertuples(index=False)]]


def replace_rows(table: str, rows: pd.DataFrame, fresh: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of a table after fresh rows were merged on its key."""
    key = list(KEYS[table])
    replaced = {tuple(row) for row in fresh[key].itertuples(index=False)}
    kept = [row for row in rows.to_dict("records") if tuple(row[name] for name in key) not in replaced]
    return pd.DataFrame([*kept, *fresh.to_dict("records")], columns=rows.columns)
