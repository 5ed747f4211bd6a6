"""What a run as of a moment may see of what runs have written, and what it may write: its own past, nothing later.

Runs come in any order: a day is repeated, a missed one is made up for. A run sees what was there at its own moment, and
a row of a later run stays as it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import pandas as pd

KEYS: Mapping[str, Sequence[str]] = {
    "metrics": ("model_name", "window_start", "window_end", "slice"),
    "decisions": ("model_name", "as_of", "rule"),
    "alerts": ("model_name", "rule", "subject", "first_seen"),
    "drift": ("week", "column", "slice"),
}
"""Of the tables that monitoring writes."""
_SINCE = {"alerts": "first_seen"}


def select_past(tables: Mapping[str, pd.DataFrame], as_of: pd.Timestamp, weeks_end: pd.Timestamp) -> dict[str, Any]:
    """What of some tables was there at a moment.

    Args:
        tables: by name; times are UTC without zone. `drift` has its weeks, `alerts` what `alerts.Alert` holds, every
            other one the moment `as_of` of the run that wrote the row.
        as_of: the moment.
        weeks_end: end of the newest week that could be judged by then; who judged a week does not matter.
    """
    past = {}
    for name, rows in tables.items():
        if name == "drift":
            past[name] = rows[rows["week"] + timedelta(days=7) <= weeks_end]
        else:
            past[name] = rows[rows[_SINCE.get(name, "as_of")] <= as_of]
    if "alerts" in past:
        then = past["alerts"]
        past["alerts"] = then.assign(
            resolved=then["resolved"].where(then["resolved"] <= as_of),
            last_seen=then["last_seen"].where(then["last_seen"] <= as_of, as_of),
        )
    return past


def find_next_run(tables: Mapping[str, pd.DataFrame], as_of: pd.Timestamp) -> pd.Timestamp | None:
    """The moment of the first run after a moment; None: there was none."""
    columns = [
        tables["decisions"]["as_of"],
        *(tables["alerts"][name] for name in ("first_seen", "last_seen", "resolved")),
    ]
    later = [column[column > as_of].min() for column in columns]
    return min((moment for moment in later if not pd.isna(moment)), default=None)


def select_writable(table: str, rows: pd.DataFrame, fresh: pd.DataFrame, as_of: pd.Timestamp) -> pd.DataFrame:
    """Of fresh rows those whose key no later run has written.

    Args:
        table: one of KEYS.
        rows: that are in the table.
        fresh: what a run has made.
        as_of: the run's moment.
    """
    if "as_of" not in rows:
        return fresh
    key = list(KEYS[table])
    later = {tuple(row) for row in rows.loc[rows["as_of"] > as_of, key].itertuples(index=False)}
    return fresh[[tuple(row) not in later for row in fresh[key].itertuples(index=False)]]


def replace_rows(table: str, rows: pd.DataFrame, fresh: pd.DataFrame) -> pd.DataFrame:
    """The rows of a table after fresh ones were merged on its key."""
    key = list(KEYS[table])
    mine = {tuple(row) for row in fresh[key].itertuples(index=False)}
    kept = [row for row in rows.to_dict("records") if tuple(row[name] for name in key) not in mine]
    return pd.DataFrame([*kept, *fresh.to_dict("records")], columns=rows.columns)
